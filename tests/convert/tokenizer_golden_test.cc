// The tokenizer's keys of every family against those of llama.cpp's own converter (b10573): names, types, values, order. The
// checkpoints' weights are not needed here; a shard with one small tensor stands for them.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/convert/golden_value.h"
#include "tests/convert/tokenizer_checkpoint.h"

namespace ggufmill {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct TokenizerCase {
  std::string name, folder, checkpoint;  // below tests/data/goldens
  TokenizerRequest request;              // n_tokens is the golden's
};

const std::vector<TokenizerCase>& cases() {
  const TokenizerRequest deepseek = {.pre_tokenizers = {"deepseek-v3"}};
  const TokenizerRequest glm = {
      .pre_tokenizers = {"glm4"},
      .tokens_of_kinds = {{"bos", "[gMASK]"}, {"eot", "<|user|>"}, {"unk", "<|endoftext|>"}, {"eom", "<|observation|>"}}};
  static const std::vector<TokenizerCase> all = {
      {"nano", "a-nano-bf16", "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {.pre_tokenizers = {"pixtral"}}},
      {"super", "b-super-bf16", "NVIDIA-Nemotron-3-Super-120B-A12B-BF16", {.pre_tokenizers = {"pixtral"}}},
      {"deci", "e-deci253b-bf16", "Llama-3_1-Nemotron-Ultra-253B-v1", {.pre_tokenizers = {"llama-bpe"}}},
      {"llama",
       "f-llama31-405b-bf16",
       "Meta-Llama-3.1-405B-Instruct",
       {.form = TokenizerForm::kLlama, .pre_tokenizers = {"llama-bpe", "tekken"}}},
      {"nemotron4",
       "g-minitron-bf16",
       "Minitron-8B-Base",
       {.form = TokenizerForm::kSentencepiece, .ids_of_kinds = {{"pad", 0}, {"unk", 1}}}},
      {"deepseek32", "h1-dsv32-bf16", "DeepSeek-V3.2", deepseek},
      {"deepseek32_fp8", "h2-dsv32-fp8", "DeepSeek-V3.2-Exp", deepseek},
      {"deepseek4", "h3-dsv4-mxfp4", "DeepSeek-V4-Flash", deepseek},
      {"qwen35", "h4-qwen35moe-bf16", "Qwen3.5-397B-A17B", {.pre_tokenizers = {"qwen35"}}},
      {"glm", "h5-glm52-bf16", "GLM-5.2", glm},
      {"kimi", "h6-kimi-k25-int4", "Kimi-K2.5", {.form = TokenizerForm::kTiktoken, .tiktoken_pre_tokenizer = "kimi-k2"}},
      {"gpt_oss", "i-gptoss-mxfp4", "gpt-oss-120b", {.pre_tokenizers = {"gpt-4o"}}},
  };
  return all;
}

bool is_tokenizers(const std::string& key) {
  // DeepSeek-V4's built-in chat template stands among the architecture's keys.
  return key.starts_with("tokenizer.ggml.") || key == "tokenizer.chat_template";
}

class TokenizerGolden : public testing::TestWithParam<TokenizerCase> {};

TEST_P(TokenizerGolden, keys_are_the_converters_in_value_and_order) {
  const fs::path folder = fs::path(GGUFMILL_TEST_DATA) / "goldens" / GetParam().folder;
  std::ifstream file(folder / "golden.json");
  const json golden = json::parse(file);
  std::vector<json> expected;
  uint64_t n_tokens = 0;
  for (const json& entry : golden["kv"]) {
    const std::string key = entry["key"];
    if (key == "tokenizer.ggml.tokens") n_tokens = entry["length"];
    if (is_tokenizers(key) && (key != "tokenizer.chat_template" || n_tokens > 0)) expected.push_back(entry);
  }
  TokenizerRequest request = GetParam().request;
  request.n_tokens = n_tokens;
  const Metadata metadata = TokenizerCheckpoint(folder / GetParam().checkpoint).write(request);

  ASSERT_EQ(metadata.entries().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& [key, value] = metadata.entries()[i];
    EXPECT_EQ(key, expected[i]["key"]);
    expect_same_value(expected[i], value);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden, testing::ValuesIn(cases()), [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ggufmill
