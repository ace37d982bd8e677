// tokenizer_tool: the tokenizer's keys of a checkpoint as a GGUF file without tensors, for tests that compare llama.cpp with
// other tokenizers before, or without, an architecture of the model.
//   tokenizer_tool FOLDER OUT.gguf FORM TOKENS PRE [KIND=TEXT ...]
// FOLDER holds the tokenizer's files, a config.json and a .safetensors file; FORM is byte-level, llama, sentencepiece or
// tiktoken; TOKENS the rows of the embedding; PRE the pre-tokenizer that the family would ask for; KIND=TEXT a special token it
// names. Exit 1 with the message where the files are refused, 2 on wrong usage.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "convert/arch/config.h"
#include "convert/tokenizer/tokenizer.h"
#include "formats/gguf.h"

namespace ggufmill {
namespace {

// What llama.cpp asks of any model besides its tokenizer.
Metadata smallest_model(uint64_t n_tokens) {
  Metadata metadata;
  metadata.set("general.architecture", std::string("llama"));
  for (const char* key : {"context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"})
    metadata.set("llama." + std::string(key), uint32_t{32});
  metadata.set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  metadata.set("llama.vocab_size", static_cast<uint32_t>(n_tokens));
  return metadata;
}

TokenizerForm form_of(std::string_view name) {
  if (name == "llama") return TokenizerForm::kLlama;
  if (name == "sentencepiece") return TokenizerForm::kSentencepiece;
  if (name == "tiktoken") return TokenizerForm::kTiktoken;
  if (name == "byte-level") return TokenizerForm::kByteLevel;
  std::fprintf(stderr, "tokenizer_tool: no form %.*s\n", static_cast<int>(name.size()), name.data());
  std::exit(2);
}

void run(int argc, char** argv) {
  const Checkpoint checkpoint{std::filesystem::path(argv[1])};
  const Config config(JsonDocument::load(checkpoint.file("config.json"), kMaxSmallFileBytes));
  TokenizerRequest request;
  request.form = form_of(argv[3]);
  request.n_tokens = std::strtoull(argv[4], nullptr, 10);
  request.pre_tokenizers = {argv[5]};
  request.tiktoken_pre_tokenizer = argv[5];
  for (int i = 6; i < argc; ++i) {
    const std::string_view entry = argv[i];
    const size_t equals = entry.find('=');
    request.tokens_of_kinds.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  Metadata metadata = smallest_model(request.n_tokens);
  std::vector<Finding> findings;
  add_tokenizer_metadata(checkpoint, config, request, metadata, findings);
  for (const Finding& finding : findings) std::fprintf(stderr, "%s: %s\n", finding.file.c_str(), finding.message.c_str());
  const std::vector<std::byte> bytes = gguf_header_bytes(metadata, {}, 32);
  std::ofstream(argv[2], std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace
}  // namespace ggufmill

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: tokenizer_tool FOLDER OUT.gguf FORM TOKENS PRE [KIND=TEXT ...]\n");
    return 2;
  }
  try {
    ggufmill::run(argc, argv);
  } catch (const ggufmill::Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
    return 1;
  }
  return 0;
}
