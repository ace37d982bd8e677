// DeciLM: blocks that lack parts, and every way in which block_configs, its neighbours and the tensors can contradict each other.
#include <gtest/gtest.h>

#include "tests/convert/nemotron_checkpoint.h"

namespace ggufmill {
namespace {

using nlohmann::json;
using Counts = std::vector<int32_t>;

json attention(const json& heads_in_group, bool linear = false) {
  return {{"n_heads_in_group", heads_in_group},
          {"no_op", heads_in_group.is_null() && !linear},
          {"replace_with_linear", linear},
          {"window_length", nullptr}};
}
json ffn(const json& mult) {
  return {{"ffn_mult", mult}, {"no_op", mult.is_null()}, {"replace_with_linear", false}, {"sparsify", nullptr}};
}

// Four blocks of width 8: 2 heads with one kv head, linear attention, feed-forward alone, nothing.
struct DeciCheckpoint : NemotronCheckpoint {
  DeciCheckpoint() {
    config = {{"architectures", {"DeciLMForCausalLM"}},
              {"hidden_size", 8},
              {"intermediate_size", nullptr},
              {"vocab_size", 16},
              {"num_hidden_layers", 4},
              {"num_attention_heads", 2},
              {"num_key_value_heads", nullptr},
              {"max_position_embeddings", 64},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 10000},
              {"tie_word_embeddings", false},
              {"block_configs",
               {{{"attention", attention(2)}, {"ffn", ffn(48.1)}},
                {{"attention", attention(nullptr, true)}, {"ffn", ffn(48.2)}},
                {{"attention", attention(nullptr)}, {"ffn", ffn(1)}},
                {{"attention", attention(nullptr)}, {"ffn", ffn(nullptr)}}}}};
    tensors = {{"model.embed_tokens.weight", {16, 8}},
               {"model.norm.weight", {8}},
               {"lm_head.weight", {16, 8}},
               {"model.layers.0.input_layernorm.weight", {8}},
               {"model.layers.0.self_attn.q_proj.weight", {8, 8}},
               {"model.layers.0.self_attn.k_proj.weight", {4, 8}},
               {"model.layers.0.self_attn.v_proj.weight", {4, 8}},
               {"model.layers.0.self_attn.o_proj.weight", {8, 8}},
               {"model.layers.1.input_layernorm.weight", {8}},
               {"model.layers.1.self_attn.linear_attn.weight", {8, 8}}};
    const std::vector<uint64_t> widths = {256, 512, 256};
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string block = "model.layers." + std::to_string(i) + ".";
      tensors.insert({{block + "post_attention_layernorm.weight", {8}},
                      {block + "mlp.gate_proj.weight", {widths[i], 8}},
                      {block + "mlp.up_proj.weight", {widths[i], 8}},
                      {block + "mlp.down_proj.weight", {8, widths[i]}}});
    }
  }
  json& part(size_t block, const std::string& name) { return config["block_configs"][block][name]; }
};

TEST(ArchDeci, counts_of_the_blocks_are_arrays_with_zeros_for_what_is_not_there) {
  const Model model = DeciCheckpoint().describe();
  EXPECT_EQ(std::get<Counts>(*model.metadata.find("deci.attention.head_count")), (Counts{2, 2, 0, 0}));
  EXPECT_EQ(std::get<Counts>(*model.metadata.find("deci.attention.head_count_kv")), (Counts{1, 0, 0, 0}));
  EXPECT_EQ(std::get<Counts>(*model.metadata.find("deci.feed_forward_length")),
            (Counts{256, 512, 256, 0}));  // 256.53 is cut to 256, 257.07 above it
  EXPECT_EQ(model.gqa_ratio, 4);
  for (const ModelTensor& tensor : model.tensors) EXPECT_FALSE(tensor.name.starts_with("blk.3.")) << tensor.name;
}

// A file of such a model went round in which all head counts were zero.
TEST(ArchDeci, counts_and_tensors_that_disagree_are_refused) {
  DeciCheckpoint none;
  none.part(0, "attention") = attention(nullptr);
  none.part(1, "attention") = attention(nullptr);
  EXPECT_TRUE(says(none.error(), "\"block_configs\": no block has attention"));
  DeciCheckpoint shifted;
  std::swap(shifted.part(0, "attention"), shifted.part(1, "attention"));
  for (const char* part : {"(5 unknown, 5 missing)", "\"model.layers.0.self_attn.k_proj.weight\" unknown: block 0 has none",
                           "\"model.layers.1.self_attn.q_proj.weight\" missing"}) {
    EXPECT_TRUE(says(shifted.error(), part));
  }
  DeciCheckpoint grouped;
  grouped.part(0, "attention") = attention(1);
  EXPECT_TRUE(says(grouped.error(), "\"model.layers.0.self_attn.k_proj.weight\" shape [4, 8], expected [8, 8]"));
  DeciCheckpoint without_ffn;
  without_ffn.part(2, "ffn") = ffn(nullptr);
  EXPECT_TRUE(says(without_ffn.error(), "\"model.layers.2.mlp.down_proj.weight\" unknown: block 2 has none"));
}

TEST(ArchDeci, each_bad_field_is_named) {
  struct BadPart {
    std::string part, field;
    json value;
    std::string message;
  };
  const std::vector<BadPart> rows = {
      {"attention", "n_heads_in_group", 3, ".attention.n_heads_in_group\": does not divide the 2 heads"},
      {"attention", "n_heads_in_group", 0.5, ".attention.n_heads_in_group\": does not divide the 2 heads"},
      {"attention", "n_heads_in_group", 0, ".attention.n_heads_in_group\": found 0, expected null or a number above 0"},
      {"attention", "n_heads_in_group", "2", ".attention.n_heads_in_group\": found \"2\", expected null"},
      {"attention", "no_op", true, ".attention.n_heads_in_group\": is a number in a block without attention"},
      {"attention", "replace_with_linear", true, ".attention.n_heads_in_group\": is a number in a block without attention"},
      {"attention", "window_length", 8192, ".attention.window_length\": is set, and llama.cpp knows no such attention here"},
      {"attention", "num_sink_tokens", 4, ".attention.num_sink_tokens\": is set"},
      {"ffn", "ffn_mult", -1, ".ffn.ffn_mult\": found -1, expected null or a number above 0"},
      {"ffn", "ffn_mult", 1e9, ".ffn.ffn_mult\": a feed-forward wider than 16777216"},
      {"ffn", "no_op", true, ".ffn.ffn_mult\": is a number in a block without feed-forward (no_op)"},
      {"ffn", "replace_with_linear", true, ".ffn.replace_with_linear\": is set, and llama.cpp knows no such feed-forward here"},
  };
  for (const BadPart& row : rows) {
    DeciCheckpoint checkpoint;
    checkpoint.part(0, row.part)[row.field] = row.value;
    EXPECT_TRUE(says(checkpoint.error(), "config.json: field \"block_configs[0]" + row.message)) << row.field;
  }
  for (const char* part : {"attention", "ffn"}) {
    DeciCheckpoint checkpoint;
    checkpoint.config["block_configs"][3].erase(part);
    EXPECT_TRUE(says(checkpoint.error(), "\"block_configs[3]." + std::string(part))) << part;
  }
}

TEST(ArchDeci, each_bad_field_beside_the_blocks_is_named) {
  const std::vector<std::pair<std::pair<std::string, json>, std::string>> rows = {
      {{"block_configs", nullptr}, "\"block_configs\": missing, expected a list"},
      {{"num_hidden_layers", 5}, "\"num_hidden_layers\": found 5, but block_configs has 4 blocks"},
      {{"head_dim", 8}, "\"num_attention_heads\": 2 heads of 8 are not the 8 of hidden_size in pairs"},
      {{"attention_bias", true}, "\"attention_bias\": found true, but biases are not known in this family"},
      {{"mlp_bias", true}, "\"mlp_bias\": found true"},
      {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}}},
       "\"rope_scaling.rope_type\": found \"yarn\", known are default and llama3"},
  };
  for (const auto& [field, message] : rows) {
    DeciCheckpoint checkpoint;
    checkpoint.config[field.first] = field.second;
    EXPECT_TRUE(says(checkpoint.error(), "config.json: field " + message)) << field.first;
  }
}

}  // namespace
}  // namespace ggufmill
