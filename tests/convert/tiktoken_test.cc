// tiktoken.model: ranks, the merges that follow from them, special tokens, and each defect.
#include <gtest/gtest.h>

#include "tests/convert/nemotron_checkpoint.h"
#include "tests/convert/tokenizer_checkpoint.h"

namespace ggufmill {
namespace {

using Texts = std::vector<std::string>;
using Types = std::vector<int32_t>;

const TokenizerRequest kRequest = {.form = TokenizerForm::kTiktoken, .tiktoken_pre_tokenizer = "kimi-k2", .n_tokens = 10};

struct Tiktoken : TokenizerCheckpoint {
  explicit Tiktoken(const std::string& model) { files["tiktoken.model"] = model; }
};

// a b c, ab, bc, abc, and " " in the byte alphabet; the lines' order does not matter.
const std::string kModel = "YQ== 0\nYg== 1\nYw== 2\nYWI= 4\nYmM= 3\nYWJj 5\nIA== 6\n";

TEST(Tiktoken, merges_follow_the_ranks) {
  Tiktoken checkpoint(kModel);
  const Metadata metadata = checkpoint.write(kRequest);
  EXPECT_EQ(*metadata.find_string("tokenizer.ggml.pre"), "kimi-k2");
  EXPECT_EQ(array_of<std::string>(metadata, "tokens"), (Texts{"a", "b", "c", "bc", "ab", "abc", "\u0120", "<|reserved_token_7|>",
                                                              "<|reserved_token_8|>", "<|reserved_token_9|>"}));
  EXPECT_EQ(array_of<int32_t>(metadata, "token_type"), (Types{1, 1, 1, 1, 1, 1, 1, 3, 3, 3}));
  EXPECT_EQ(array_of<std::string>(metadata, "merges"), (Texts{"b c", "a b", "a bc"}));  // bc comes before ab
}

TEST(Tiktoken, tokens_that_no_two_parts_make_have_no_merge) {
  Tiktoken checkpoint("YQ== 0\nYg== 1\nYw== 2\nYWJj 3\n");
  const Metadata metadata = checkpoint.write(kRequest);
  EXPECT_EQ(metadata.find("tokenizer.ggml.merges"), nullptr);
}

TEST(Tiktoken, special_tokens_by_name_and_ids_from_text_config) {
  Tiktoken checkpoint(kModel);
  checkpoint.files["config.json"] = R"({"bos_token_id": null, "text_config": {"bos_token_id": 7, "eos_token_id": 8}})";
  checkpoint.files["tokenizer_config.json"] = R"({"added_tokens_decoder": {"8": {"content": "[EOS]"}}, "eos_token": "[EOS]"})";
  const Metadata metadata = checkpoint.write(kRequest);
  EXPECT_EQ(array_of<std::string>(metadata, "tokens")[8], "[EOS]");
  EXPECT_EQ(metadata.find_uint("tokenizer.ggml.bos_token_id"), 7u);
  EXPECT_EQ(metadata.find_uint("tokenizer.ggml.eos_token_id"), 8u);
}

TEST(Tiktoken, more_than_256_ids_behind_the_last_rank_are_holes) {
  Tiktoken checkpoint("YQ== 0\n");
  TokenizerRequest request = kRequest;
  request.n_tokens = 258;
  const Texts tokens = array_of<std::string>(checkpoint.write(request), "tokens");
  EXPECT_EQ(tokens[256], "<|reserved_token_256|>");
  EXPECT_EQ(tokens[257], "[PAD257]");
}

TEST(Tiktoken, each_defect_is_named) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"", "tiktoken.model: holds no tokens"},
      {"YQ==\n", "line 1: expected base64, a space and a rank, found \"YQ==\""},
      {"YQ== 0\n\nYQ=  1\n", "line 3: expected base64"},
      {"YR== 0\n", "line 1: expected base64"},
      {"Y=== 0\n", "line 1: expected base64"},
      {" 0\n", "line 1: expected base64"},
      {"YQ== 0\r\n", "line 1: the rank is not a number: \"0\\x0d\""},
      {"YQ== -1\n", "line 1: the rank is not a number"},
      {"YQ== 99999999999999999999\n", "line 1: the rank is not a number"},
      {"YQ== 10\n", "line 1: rank 10, but the embedding has 10 rows (vocab_size)"},
      {"YQ== 0\nYg== 0\n", "line 2: rank 0 stands there twice"},
      {"YQ== 0\nYQ== 1\n", "line 2: the token of rank 1 has rank 0 too"},
      {"YQ== 0\nYg== 2\n", "the ranks have a hole: one is 2"},
      {std::string(684, 'Y') + " 0\n", "line 1: a token of 513 bytes, expected at most 512"},
  };
  for (const auto& [model, message] : rows) EXPECT_TRUE(says(Tiktoken(model).error(kRequest), message));
  EXPECT_TRUE(says(TokenizerCheckpoint().error(kRequest), "tiktoken.model: missing"));
  Tiktoken checkpoint(kModel);
  for (const char* id : {"6", "10"}) {
    checkpoint.files["tokenizer_config.json"] = R"({"added_tokens_decoder": {")" + std::string(id) + R"(": {"content": "x"}}})";
    EXPECT_TRUE(says(checkpoint.error(kRequest), "id " + std::string(id) + ", expected one of the 3 from 7 on"));
  }
}

}  // namespace
}  // namespace ggufmill
