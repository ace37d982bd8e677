#include "formats/contradictions.h"

#include <gtest/gtest.h>

#include <limits>

namespace ggufmill {
namespace {

struct Model {
  Metadata metadata;
  std::vector<std::pair<std::string, std::vector<uint64_t>>> tensors;

  // Two blocks of 4 heads that share 2 kv heads of 8, 3 experts, 16 tokens.
  Model() {
    metadata.set("general.architecture", std::string("m"));
    set("block_count", 2);
    set("embedding_length", 32);
    set("attention.head_count", 4);
    set("attention.head_count_kv", 2);
    set("feed_forward_length", 48);
    set("expert_count", 3);
    set("expert_used_count", 2);
    metadata.set("tokenizer.ggml.tokens", std::vector<std::string>(16));
    tensors = {{"token_embd.weight", {32, 16}},
               {"blk.0.attn_k.weight", {32, 16}},
               {"blk.0.ffn_up.weight", {32, 48}},
               {"blk.1.ffn_gate_inp.weight", {32, 3}},
               {"blk.1.ffn_up_exps.weight", {32, 24, 3}}};
  }
  void set(const std::string& key, uint32_t value) { metadata.set("m." + key, value); }
  void set(const std::string& key, std::vector<int32_t> values) { metadata.set("m." + key, std::move(values)); }
  // "TENSOR: MESSAGE" for each.
  std::vector<std::string> contradictions() const {
    std::vector<NamedShape> shapes;
    for (const auto& [name, ne] : tensors) shapes.push_back({name, ne});
    std::vector<std::string> texts;
    for (const Finding& f : find_contradictions(metadata, shapes))
      texts.push_back((f.tensor.empty() ? "" : f.tensor + ": ") + f.message);
    return texts;
  }
};

using Texts = std::vector<std::string>;

TEST(Contradictions, none_in_a_sound_model) { EXPECT_EQ(Model().contradictions(), Texts{}); }

TEST(Contradictions, all_head_counts_zero) {
  Model m;
  m.set("attention.head_count_kv", std::vector<int32_t>{0, 0});
  EXPECT_EQ(m.contradictions(), Texts{"blk.0.attn_k.weight: has 16 rows, but attention.head_count_kv of block 0 is 0"});
  m.set("attention.head_count_kv", 0);
  EXPECT_EQ(m.contradictions(), Texts{"blk.0.attn_k.weight: has 16 rows, but attention.head_count_kv is 0"});
}

TEST(Contradictions, no_heads_at_all) {
  Model m;
  m.tensors.push_back({"blk.1.attn_q.weight", {32, 32}});
  EXPECT_EQ(m.contradictions(), Texts{});
  m.set("attention.head_count", 0);
  EXPECT_EQ(m.contradictions(), Texts{"blk.1.attn_q.weight: has 32 rows, but attention.head_count is 0"});
}

TEST(Contradictions, experts_that_no_block_has) {
  Model m;
  std::erase_if(m.tensors, [](const auto& t) {
    return t.first.find("ffn_gate_inp") != std::string::npos || t.first.find("_exps") != std::string::npos;
  });
  m.tensors.push_back({"blk.1.ffn_up.weight", {32, 48}});
  EXPECT_EQ(m.contradictions(), Texts{"expert_count is 3, but no block has experts"});
}

TEST(Contradictions, rows_that_are_no_whole_heads) {
  Model m;
  m.set("attention.head_count_kv", 3);
  EXPECT_EQ(m.contradictions(), Texts{"blk.0.attn_k.weight: has 16 rows, but attention.head_count_kv is 3"});
}

TEST(Contradictions, a_feed_forward_of_width_zero) {
  Model m;
  m.set("feed_forward_length", std::vector<int32_t>{0, 48});
  EXPECT_EQ(m.contradictions(), Texts{"blk.0.ffn_up.weight: has 48 rows, but feed_forward_length of block 0 is 0"});
}

TEST(Contradictions, arrays_of_another_length) {
  Model m;
  m.set("attention.head_count", std::vector<int32_t>{4, 4, 4});
  EXPECT_EQ(m.contradictions(), Texts{"attention.head_count has 3 numbers, block_count is 2"});
}

TEST(Contradictions, blocks_beyond_and_without_tensors) {
  Model m;
  m.set("block_count", 1);
  EXPECT_EQ(m.contradictions(), Texts{"blk.1.ffn_gate_inp.weight: block 1, but block_count is 1"});
  m.set("block_count", 5);
  EXPECT_EQ(m.contradictions(), Texts{"block_count is 5, but 3 blocks have no tensors, block 2 first"});
}

TEST(Contradictions, a_block_count_beyond_all_models_takes_no_time) {
  Model m;
  m.metadata.set("m.block_count", std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(m.contradictions(),
            Texts{"block_count is 18446744073709551615, but 18446744073709551613 blocks have no tensors, block 2 first"});
  m.set("attention.head_count", std::vector<int32_t>{4, 4});
  m.set("feed_forward_length", std::vector<int32_t>{48, 48});
  EXPECT_EQ(m.contradictions(), (Texts{"attention.head_count has 2 numbers, block_count is 18446744073709551615",
                                       "feed_forward_length has 2 numbers, block_count is 18446744073709551615"}));
}

TEST(Contradictions, blocks_with_neither_heads_nor_feed_forward_are_empty) {
  Model m;
  m.set("block_count", 3);
  m.set("attention.head_count", std::vector<int32_t>{4, 4, 0});
  m.set("attention.head_count_kv", std::vector<int32_t>{2, 2, 0});
  m.set("feed_forward_length", std::vector<int32_t>{48, 48, 0});
  EXPECT_EQ(m.contradictions(), Texts{});
}

TEST(Contradictions, multi_token_prediction_may_stand_in_another_file) {
  Model m;
  m.set("block_count", 3);
  m.set("nextn_predict_layers", 1);
  EXPECT_EQ(m.contradictions(), Texts{});
  m.tensors = {{"token_embd.weight", {32, 16}}, {"blk.2.attn_k.weight", {32, 16}}, {"blk.2.ffn_up_exps.weight", {32, 24, 3}}};
  EXPECT_EQ(m.contradictions(), Texts{});
}

TEST(Contradictions, multi_token_prediction_stands_last) {
  Model m;
  m.tensors.push_back({"blk.1.nextn.eh_proj.weight", {64, 32}});
  m.set("nextn_predict_layers", 1);
  EXPECT_EQ(m.contradictions(), Texts{});
  m.set("block_count", 3);
  EXPECT_EQ(
      m.contradictions(),
      Texts{"blk.1.nextn.eh_proj.weight: is of multi-token prediction, but block_count is 3 and nextn_predict_layers is 1"});
}

TEST(Contradictions, numbers_of_experts) {
  Model m;
  m.set("expert_count", 4);
  EXPECT_EQ(m.contradictions(), (Texts{"blk.1.ffn_gate_inp.weight: is of 3 experts, but expert_count is 4",
                                       "blk.1.ffn_up_exps.weight: is of 3 experts, but expert_count is 4"}));
  m.set("expert_count", 1);
  EXPECT_EQ(m.contradictions(), (Texts{"expert_used_count is 2, but expert_count is 1",
                                       "blk.1.ffn_up_exps.weight: is of 3 experts, but expert_count is 1"}));
}

TEST(Contradictions, embeddings_of_another_size) {
  Model m;
  m.set("embedding_length", 64);
  m.metadata.set("tokenizer.ggml.tokens", std::vector<std::string>(15));
  EXPECT_EQ(m.contradictions(), (Texts{"token_embd.weight: has rows of 32, but embedding_length is 64",
                                       "token_embd.weight: has 16 rows, but the vocabulary has 15 tokens"}));
}

TEST(Contradictions, what_is_no_model_is_not_judged) {
  Model m;
  m.set("block_count", 1);
  m.metadata.set("general.type", std::string("imatrix"));
  EXPECT_EQ(m.contradictions(), Texts{});
  EXPECT_TRUE(find_contradictions(m.metadata, {}).empty());
}

}  // namespace
}  // namespace ggufmill
