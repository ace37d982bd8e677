// The pre-tokenizers that llama.cpp knows by name, which are what --pre accepts.
//
// Source: llama.cpp b10573, src/llama-vocab.cpp, the names that llama_vocab::impl::load compares tokenizer.ggml.pre with.
#include <algorithm>

#include "convert/nearest.h"
#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {
namespace {

constexpr std::string_view kNames[] = {"a.x-4.0",
                                       "afmoe",
                                       "bailingmoe",
                                       "bailingmoe2",
                                       "bloom",
                                       "chameleon",
                                       "chatglm-bpe",
                                       "codeshell",
                                       "cohere2moe",
                                       "command-r",
                                       "dbrx",
                                       "deepseek-coder",
                                       "deepseek-llm",
                                       "deepseek-r1-qwen",
                                       "deepseek-v3",
                                       "default",
                                       "exaone",
                                       "exaone-moe",
                                       "exaone4",
                                       "f2llmv2",
                                       "falcon",
                                       "falcon-h1",
                                       "falcon3",
                                       "gemma4",
                                       "gigachat",
                                       "glm4",
                                       "gpt-2",
                                       "gpt-4o",
                                       "gpt3-finnish",
                                       "granite-docling",
                                       "granite-embed-multi-311m",
                                       "granite-embed-multi-97m",
                                       "grok-2",
                                       "hunyuan",
                                       "hunyuan-dense",
                                       "jais",
                                       "jais-2",
                                       "jina-de",
                                       "jina-es",
                                       "jina-v1-en",
                                       "jina-v2-code",
                                       "jina-v2-de",
                                       "jina-v2-es",
                                       "jina-v5-nano",
                                       "joyai-llm",
                                       "kanana2",
                                       "kimi-k2",
                                       "kormo",
                                       "laguna",
                                       "lfm2",
                                       "llada-moe",
                                       "llama-bpe",
                                       "llama-v3",
                                       "llama3",
                                       "llama4",
                                       "megrez",
                                       "mellum",
                                       "mellum2",
                                       "midm-2.0",
                                       "minerva-7b",
                                       "minicpm5",
                                       "minimax-m2",
                                       "modern-bert",
                                       "mpt",
                                       "olmo",
                                       "phi-2",
                                       "pixtral",
                                       "poro-chat",
                                       "qwen2",
                                       "qwen35",
                                       "refact",
                                       "roberta-bpe",
                                       "sarvam-moe",
                                       "seed-coder",
                                       "smaug-bpe",
                                       "smollm",
                                       "solar-open",
                                       "stablelm2",
                                       "starcoder",
                                       "superbpe",
                                       "talkie",
                                       "tekken",
                                       "tiny_aya",
                                       "trillion",
                                       "viking",
                                       "whitespace",
                                       "youtu"};

}  // namespace

void check_pre_tokenizer_name(std::string_view name) {
  if (std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames)) return;
  const std::vector<std::string> known(std::begin(kNames), std::end(kNames));
  const std::string near = nearest_word(name, known);
  throw Error(Exit::kUsage, "--pre " + printable(name) + ": llama.cpp has no pre-tokenizer of this name",
              near.empty() ? listed(known, known.size()) : "did you mean " + near + "?");
}

}  // namespace ggufmill
