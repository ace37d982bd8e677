// tokenizer.json of sentencepiece's BPE: scores from merges, types, the space before the first word, which form a Llama has.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/convert/nemotron_checkpoint.h"
#include "tests/convert/tokenizer_checkpoint.h"

namespace ggufmill {
namespace {

using nlohmann::json;
using Texts = std::vector<std::string>;
using Types = std::vector<int32_t>;
using Scores = std::vector<float>;

const TokenizerRequest kRequest = {.form = TokenizerForm::kLlama, .pre_tokenizers = {"llama-bpe"}, .n_tokens = 8};
const json kPrepend = {{"type", "Prepend"}, {"prepend", "\u2581"}};
const json kReplace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};

struct Metaspace : TokenizerCheckpoint {
  json tokenizer = {{"normalizer", {{"type", "Sequence"}, {"normalizers", {kPrepend, kReplace}}}},
                    {"decoder", {{"type", "Sequence"}}},
                    {"added_tokens", {{{"id", 0}, {"content", "<unk>"}, {"special", true}}}},
                    {"model",
                     {{"type", "BPE"},
                      {"byte_fallback", true},
                      {"vocab", {{"<unk>", 0}, {"<0x0A>", 1}, {"a", 2}, {"ab", 3}, {"b", 4}, {"\u2581", 5}, {"\u2581ab", 6}}},
                      {"merges", {"a b", "\u2581 ab", "\u2581a b"}}}}};
  Metadata read(const TokenizerRequest& request = kRequest) {
    files["tokenizer.json"] = tokenizer.dump();
    return write(request);
  }
  std::string broken(const TokenizerRequest& request = kRequest) {
    files["tokenizer.json"] = tokenizer.dump();
    return error(request);
  }
  bool adds_prefix() { return read().find("tokenizer.ggml.add_space_prefix") == nullptr; }
};

TEST(Metaspace, scores_are_the_ranks_of_first_merges) {
  const Metadata metadata = Metaspace().read();
  EXPECT_EQ(*metadata.find_string("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(*metadata.find_string("tokenizer.ggml.pre"), "default");
  EXPECT_EQ(array_of<std::string>(metadata, "tokens"),
            (Texts{"<unk>", "<0x0A>", "a", "ab", "b", "\u2581", "\u2581ab", "[PAD7]"}));
  EXPECT_EQ(array_of<int32_t>(metadata, "token_type"), (Types{3, 6, 1, 1, 1, 1, 1, 5}));
  EXPECT_EQ(array_of<float>(metadata, "scores"), (Scores{0, 0, -3, 0, -3, -3, -1, -10000}));
  EXPECT_EQ(metadata.find("tokenizer.ggml.merges"), nullptr);
}

TEST(Metaspace, the_space_before_the_first_word) {
  Metaspace checkpoint;
  EXPECT_TRUE(checkpoint.adds_prefix());
  checkpoint.tokenizer["normalizer"] = kReplace;
  EXPECT_FALSE(checkpoint.adds_prefix());
  checkpoint.tokenizer["normalizer"] = nullptr;
  checkpoint.tokenizer["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}, {"split", false}};
  EXPECT_TRUE(checkpoint.adds_prefix());
  checkpoint.tokenizer["pre_tokenizer"]["prepend_scheme"] = "never";
  EXPECT_FALSE(checkpoint.adds_prefix());
  checkpoint.files["tokenizer_config.json"] = R"({"add_prefix_space": true})";
  EXPECT_EQ(std::get<bool>(*checkpoint.read().find("tokenizer.ggml.add_space_prefix")), true);
}

TEST(Metaspace, unknown_structures_are_refused_unless_pre_is_given) {
  const std::vector<std::pair<std::string, json>> rows = {
      {"normalizer: unknown for a vocabulary with byte_fallback: {\"type\":\"NFKC\"}", {{"/normalizer", {{"type", "NFKC"}}}}},
      {"normalizer: unknown", {{"/normalizer/normalizers", {kReplace, kPrepend}}}},
      {"pre_tokenizer: unknown", {{"/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "\u2581"}}}}},
      {"pre_tokenizer: missing, and no normalizer writes U+2581", {{"/normalizer", nullptr}}},
  };
  for (const auto& [message, changes] : rows) {
    Metaspace checkpoint;
    for (const auto& [path, value] : changes.items()) checkpoint.tokenizer[json::json_pointer(path)] = value;
    EXPECT_TRUE(says(checkpoint.broken(), message));
    TokenizerRequest given = kRequest;
    given.given_pre_tokenizer = "default";
    EXPECT_EQ(checkpoint.broken(given), "(no error)");
  }
}

TEST(Metaspace, a_llama_without_byte_fallback_is_byte_level) {
  TokenizerCheckpoint checkpoint;
  checkpoint.files["tokenizer.json"] = NemotronCheckpoint().tokenizer.dump();
  const Metadata metadata = checkpoint.write(kRequest);
  EXPECT_EQ(*metadata.find_string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(*metadata.find_string("tokenizer.ggml.pre"), "llama-bpe");
  checkpoint.files.erase("tokenizer.json");
  EXPECT_TRUE(says(checkpoint.error(kRequest), "tokenizer.json: missing: the vocabulary is read from it"));
}

}  // namespace
}  // namespace ggufmill
