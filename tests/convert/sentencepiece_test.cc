// tokenizer.model of sentencepiece and the tokens added to it, and each defect of theirs.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "tests/convert/nemotron_checkpoint.h"
#include "tests/convert/tokenizer_checkpoint.h"

namespace ggufmill {
namespace {

using Texts = std::vector<std::string>;
using Types = std::vector<int32_t>;
using Scores = std::vector<float>;

// Protobuf fields of lengths and numbers below 128.
std::string field(int number, const std::string& value) {
  return static_cast<char>(number << 3 | 2) + std::string(1, static_cast<char>(value.size())) + value;
}
std::string field(int number, int value) { return {static_cast<char>(number << 3), static_cast<char>(value)}; }
std::string piece(const std::string& text, float score, int type = 1) {
  std::string bits(4, '\0');
  for (size_t i = 0; i < 4; ++i) bits[i] = static_cast<char>(std::bit_cast<uint32_t>(score) >> (8 * i));
  return field(1, field(1, text) + "\x15" + bits + (type == 1 ? "" : field(3, type)));
}

const std::string kSpec = field(2, field(3, 2)) + field(3, field(4, 0));  // BPE that keeps all spaces
const TokenizerRequest kRequest = {.form = TokenizerForm::kSentencepiece, .n_tokens = 6};

struct Sentencepiece : TokenizerCheckpoint {
  explicit Sentencepiece(const std::string& model) { files["tokenizer.model"] = model; }
};

TEST(Sentencepiece, pieces_types_scores_and_holes) {
  Sentencepiece checkpoint(piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("<x>", 0, 4) + piece("<0x0A>", 0, 6) +
                           piece("\u2581a", -1.5f) + kSpec);
  checkpoint.files["tokenizer_config.json"] = R"({"chat_template": "t"})";
  const Metadata metadata = checkpoint.write(kRequest);
  EXPECT_EQ(*metadata.find_string("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(*metadata.find_string("tokenizer.ggml.pre"), "default");
  EXPECT_EQ(array_of<std::string>(metadata, "tokens"), (Texts{"<unk>", "<s>", "<x>", "<0x0A>", "\u2581a", "[PAD5]"}));
  EXPECT_EQ(array_of<int32_t>(metadata, "token_type"), (Types{2, 3, 1, 6, 1, 5}));
  EXPECT_EQ(array_of<float>(metadata, "scores"), (Scores{0, 0, 0, 0, -1.5f, -10000}));
  EXPECT_EQ(metadata.find("tokenizer.ggml.add_space_prefix"), nullptr);
  EXPECT_TRUE(checkpoint.findings.empty());
}

TEST(Sentencepiece, added_tokens_replace_and_fill) {
  Sentencepiece checkpoint(piece("<unk>", 0, 2) + piece("a", -1) + kSpec);
  checkpoint.files["added_tokens.json"] = R"({"<new>": 2, "<far>": 6})";
  checkpoint.files["tokenizer_config.json"] =
      R"({"added_tokens_decoder": {"0": {"content": "<unk>", "special": true}, "3": {"content": "\u2581b"}, "7": {"content": "c"}}})";
  const Metadata metadata = checkpoint.write(kRequest);
  EXPECT_EQ(array_of<std::string>(metadata, "tokens"), (Texts{"<unk>", "a", "<new>", " b", "[PAD4]", "[PAD5]"}));
  EXPECT_EQ(array_of<int32_t>(metadata, "token_type"), (Types{3, 1, 4, 4, 5, 5}));
  EXPECT_EQ(array_of<float>(metadata, "scores"), (Scores{-1000, -1, -1000, -1000, -10000, -10000}));
  ASSERT_EQ(warnings_of(checkpoint.findings).size(), 2u);
  EXPECT_EQ(checkpoint.findings[0].message, "token \"<far>\" is left out: its id 6 is beyond the embedding's 6 rows");
}

TEST(Sentencepiece, what_llama_cpp_does_not_do_is_a_finding) {
  Sentencepiece checkpoint(piece("a", 0) + field(3, field(2, "map") + field(3, 0)));
  const Metadata metadata = checkpoint.write(kRequest);
  EXPECT_EQ(std::get<bool>(*metadata.find("tokenizer.ggml.add_space_prefix")), false);
  ASSERT_EQ(checkpoint.findings.size(), 4u);  // and no tokenizer_config.json
  EXPECT_TRUE(says(checkpoint.findings[0].message, "is no BPE model"));
  EXPECT_TRUE(says(checkpoint.findings[1].message, "normalizes characters"));
  EXPECT_TRUE(says(checkpoint.findings[2].message, "removes repeated spaces"));
}

TEST(Sentencepiece, ids_of_kinds_hold_whatever_the_files_say) {
  Sentencepiece checkpoint(piece("a", 0) + kSpec);
  checkpoint.files["config.json"] = R"({"pad_token_id": 5, "bos_token_id": 6})";
  TokenizerRequest request = kRequest;
  request.ids_of_kinds = {{"pad", 0}};
  const Metadata metadata = checkpoint.write(request);
  EXPECT_EQ(metadata.find_uint("tokenizer.ggml.padding_token_id"), 0u);
  EXPECT_EQ(metadata.find("tokenizer.ggml.bos_token_id"), nullptr);  // beyond the tokens: a finding
  EXPECT_TRUE(says(checkpoint.findings[0].message, "the bos token's id 6 is beyond the 6 tokens of the model: ignored"));
}

TEST(Sentencepiece, each_defect_is_named) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"", "tokenizer.model: holds no pieces"},
      {kSpec, "tokenizer.model: holds no pieces"},
      {piece("a", 0) + piece("b", 0) + piece("a", 0), "piece 2: \"a\" is piece 0 too"},
      {piece("", 0), "piece 0: has no text"},
      {piece("\xFF", 0), "piece 0: not UTF-8"},
      {piece("a", 0, 7), "piece 0: type 7, expected 1 to 6"},
      {piece("a", NAN), "piece 0: the score is not finite"},
      {piece("a", 0) + piece("b", 0) + piece("c", 0) + piece("d", 0) + piece("e", 0) + piece("f", 0) + piece("g", 0),
       "piece 6, but the embedding has 6 rows (vocab_size)"},
      {piece("abc", 0).substr(0, 6), "tokenizer.model: byte 2: a field has 10 bytes, the message 4 more (truncated?)"},
      {field(1, field(1, 5)), "tokenizer.model: byte 4: field 1 has wire type 0, expected 2"},
      {"version https://git-lfs.github.com/spec/v1\n", "(no protobuf?)"},
  };
  for (const auto& [model, message] : rows) EXPECT_TRUE(says(Sentencepiece(model).error(kRequest), message));
  EXPECT_TRUE(says(TokenizerCheckpoint().error(kRequest), "tokenizer.model: missing: the vocabulary is read from it"));
}

TEST(Sentencepiece, every_cut_and_every_flipped_bit_is_read_or_refused) {
  const std::string model = piece("<unk>", 0, 2) + piece("a", -1) + kSpec;
  for (size_t bytes = 0; bytes < model.size(); ++bytes) {
    const std::string error = Sentencepiece(model.substr(0, bytes)).error(kRequest);
    EXPECT_FALSE(error.empty());
  }
  for (size_t bit = 0; bit < model.size() * 8; ++bit) {
    std::string flipped = model;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(Sentencepiece(flipped).error(kRequest).empty());
  }
}

TEST(Sentencepiece, defects_of_added_tokens) {
  const auto error_with = [](const std::string& file, const std::string& text) {
    Sentencepiece checkpoint(piece("a", 0) + kSpec);
    checkpoint.files[file] = text;
    return checkpoint.error(kRequest);
  };
  EXPECT_TRUE(says(error_with("added_tokens.json", "[]"), "added_tokens.json: the root is not an object"));
  EXPECT_TRUE(says(error_with("added_tokens.json", R"({"b": -1})"), "token \"b\": id is not a number from 0 on"));
  EXPECT_TRUE(says(error_with("added_tokens.json", R"({"a": 1})"), "token \"a\" has two ids: 0 and 1"));
  const std::string config = "tokenizer_config.json";
  EXPECT_TRUE(says(error_with(config, R"({"added_tokens_decoder": 1})"), "added_tokens_decoder: not an object"));
  EXPECT_TRUE(says(error_with(config, R"({"added_tokens_decoder": {"1x": {"content": "b"}}})"), "entry \"1x\": expected an id"));
  EXPECT_TRUE(says(error_with(config, R"({"added_tokens_decoder": {"1": {}}})"), "entry \"1\": expected an id with a content"));
}

}  // namespace
}  // namespace ggufmill
