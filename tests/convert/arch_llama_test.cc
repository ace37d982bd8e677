// Llama, Mistral and Mixtral: forms that the goldens do not have, and every error of their config.json.
#include <gtest/gtest.h>

#include "tests/convert/config_fields.h"

namespace ggufmill {
namespace {

// Two blocks, 2 heads of 4, one kv head; the tokenizer and the files around are the base's.
struct LlamaCheckpoint : NemotronCheckpoint {
  explicit LlamaCheckpoint(uint64_t n_experts = 0) {
    config = {{"architectures", {n_experts > 0 ? "MixtralForCausalLM" : "LlamaForCausalLM"}},
              {"model_type", n_experts > 0 ? "mixtral" : "llama"},
              {"hidden_size", 8},
              {"intermediate_size", 12},
              {"vocab_size", 16},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"max_position_embeddings", 64},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 10000},
              {"tie_word_embeddings", false},
              {"hidden_act", "silu"}};
    tensors = {{"model.embed_tokens.weight", {16, 8}}, {"model.norm.weight", {8}}, {"lm_head.weight", {16, 8}}};
    if (n_experts > 0) config.update({{"num_local_experts", n_experts}, {"num_experts_per_tok", 1}});
    for (const char* block : {"model.layers.0.", "model.layers.1."}) {
      add(block, {{"input_layernorm.weight", {8}},
                  {"post_attention_layernorm.weight", {8}},
                  {"self_attn.q_proj.weight", {8, 8}},
                  {"self_attn.k_proj.weight", {4, 8}},
                  {"self_attn.v_proj.weight", {4, 8}},
                  {"self_attn.o_proj.weight", {8, 8}}});
      if (n_experts == 0)
        add(block, {{"mlp.gate_proj.weight", {12, 8}}, {"mlp.up_proj.weight", {12, 8}}, {"mlp.down_proj.weight", {8, 12}}});
      else
        add(block, {{"block_sparse_moe.gate.weight", {n_experts, 8}}});
      for (uint64_t i = 0; i < n_experts; ++i) {
        const std::string expert = "block_sparse_moe.experts." + std::to_string(i);
        add(block, {{expert + ".w1.weight", {12, 8}}, {expert + ".w2.weight", {8, 12}}, {expert + ".w3.weight", {12, 8}}});
      }
    }
  }
  void add(const std::string& prefix, const std::map<std::string, std::vector<uint64_t>>& more) {
    for (const auto& [name, shape] : more) tensors[prefix + name] = shape;
  }
};

const ModelTensor* find(const Model& model, const std::string& name) {
  for (const ModelTensor& tensor : model.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

nlohmann::json llama3_rope() {
  return {{"rope_type", "llama3"},
          {"factor", 8.0},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", 4.0},
          {"original_max_position_embeddings", 8192}};
}

TEST(ArchLlama, what_an_old_config_leaves_out_is_written_as_transformers_fills_it_in) {
  LlamaCheckpoint checkpoint;
  checkpoint.config.erase("num_key_value_heads");
  checkpoint.config.erase("rope_theta");
  for (const char* block : {"model.layers.0.", "model.layers.1."}) {
    checkpoint.add(
        block,
        {{"self_attn.k_proj.weight", {8, 8}}, {"self_attn.v_proj.weight", {8, 8}}, {"self_attn.rotary_emb.inv_freq", {2}}});
  }
  const Model model = checkpoint.describe();
  EXPECT_EQ(model.metadata.find_uint("llama.attention.head_count_kv"), 2u);
  EXPECT_EQ(model.metadata.find_uint("llama.attention.key_length"), 4u);
  EXPECT_EQ(std::get<float>(*model.metadata.find("llama.rope.freq_base")), 10000.0f);
  EXPECT_EQ(model.dropped, (std::vector<std::string>{"model.layers.0.self_attn.rotary_emb.inv_freq",
                                                     "model.layers.1.self_attn.rotary_emb.inv_freq"}));
}

TEST(ArchLlama, other_model_types_spell_head_dim_out_only_where_the_config_does) {
  LlamaCheckpoint checkpoint;
  checkpoint.config["model_type"] = "mistral";
  EXPECT_EQ(checkpoint.describe().metadata.find("llama.attention.key_length"), nullptr);
  checkpoint.config["head_dim"] = 4;
  EXPECT_EQ(checkpoint.describe().metadata.find_uint("llama.attention.key_length"), 4u);
}

TEST(ArchLlama, experts_are_gate_down_and_up) {
  const Model model = LlamaCheckpoint(3).describe();
  EXPECT_EQ(model.n_experts, 3u);
  EXPECT_EQ(find(model, "blk.1.ffn_gate_exps.weight")->ne, (std::vector<uint64_t>{8, 12, 3}));
  EXPECT_EQ(find(model, "blk.1.ffn_down_exps.weight")->ne, (std::vector<uint64_t>{12, 8, 3}));
  EXPECT_TRUE(find(model, "blk.0.ffn_gate_inp.weight")->fixed_type);
  EXPECT_EQ(model.metadata.find_uint("llama.expert_used_count"), 1u);
}

TEST(ArchLlama, a_tied_model_may_have_an_output_all_the_same) {
  LlamaCheckpoint checkpoint;
  checkpoint.config["tie_word_embeddings"] = true;
  EXPECT_FALSE(checkpoint.describe().tied_output);
  checkpoint.tensors.erase("lm_head.weight");
  EXPECT_TRUE(checkpoint.describe().tied_output);
  checkpoint.config["tie_word_embeddings"] = false;
  EXPECT_TRUE(says(checkpoint.error(), "tensor \"lm_head.weight\" missing"));
}

TEST(ArchLlama, biases_are_those_that_the_config_announces) {
  LlamaCheckpoint checkpoint;
  for (const char* block : {"model.layers.0.self_attn.", "model.layers.1.self_attn."})
    checkpoint.add(block, {{"q_proj.bias", {8}}, {"k_proj.bias", {4}}, {"v_proj.bias", {4}}, {"o_proj.bias", {8}}});
  EXPECT_TRUE(says(checkpoint.error(), "\"model.layers.0.self_attn.k_proj.bias\" unknown"));
  checkpoint.config["attention_bias"] = true;
  const Model model = checkpoint.describe();
  EXPECT_EQ(find(model, "blk.1.attn_q.bias")->ne, std::vector<uint64_t>{8});
  // Halves of a head in turn, as the rows of the weight.
  EXPECT_EQ(find(model, "blk.1.attn_q.bias")->row_map.columns, (std::vector<Axis>{{2, 4}, {2, 1}, {2, 2}}));
}

TEST(ArchLlama, vocabularies_that_the_converter_knows_by_their_size) {
  LlamaCheckpoint code, granite;
  code.config["vocab_size"] = 32016;
  granite.config["vocab_size"] = 49152;
  EXPECT_EQ(describe_config(code.config).tokenizer.ids_of_kinds.at(0).second, 32010u);
  EXPECT_EQ(describe_config(granite.config).tokenizer.add_bos, false);
}

TEST(ArchLlama, a_sliding_window_is_a_finding) {
  LlamaCheckpoint checkpoint;
  checkpoint.config["sliding_window"] = 32;
  const std::vector<Finding> warnings = warnings_of(checkpoint.describe().findings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].message, "sliding_window 32: llama.cpp attends to all positions in this architecture");
  checkpoint.config["sliding_window"] = 64;  // no position is out of sight
  EXPECT_TRUE(warnings_of(checkpoint.describe().findings).empty());
}

TEST(ArchLlama, rope_is_stretched_by_a_tensor_or_by_keys) {
  LlamaCheckpoint checkpoint;
  checkpoint.config["rope_scaling"] = llama3_rope();
  // Waves of 6 and 628 positions: both are shorter than 2048.
  EXPECT_EQ(find(checkpoint.describe(), "rope_freqs.weight")->values, (std::vector<float>{1, 1}));
  checkpoint.config["rope_scaling"]["original_max_position_embeddings"] = 512;
  EXPECT_EQ(find(checkpoint.describe(), "rope_freqs.weight")->values, (std::vector<float>{1, 8}));
  checkpoint.config["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  const Model linear = checkpoint.describe();
  EXPECT_EQ(find(linear, "rope_freqs.weight"), nullptr);
  EXPECT_EQ(*linear.metadata.find_string("llama.rope.scaling.type"), "linear");
}

TEST(ArchLlama, mtp_is_unknown) {
  EXPECT_TRUE(says(LlamaCheckpoint().error({.mtp = MtpMode::kOnly}), "there is none to write alone"));
}

TEST(ArchLlama, each_bad_field_is_named) {
  struct BadField {
    std::string field;
    nlohmann::json value;
    std::string message;
  };
  nlohmann::json no_factor = llama3_rope(), zero = llama3_rope(), crossed = llama3_rope();
  no_factor.erase("factor");
  zero["low_freq_factor"] = 0;
  crossed["high_freq_factor"] = 1.0;
  const std::vector<BadField> rows = {
      {"intermediate_size", nullptr, "\"intermediate_size\": missing"},
      {"max_position_embeddings", nullptr, "\"max_position_embeddings\": missing"},
      {"rms_norm_eps", nullptr, "\"rms_norm_eps\": missing (nor norm_eps)"},
      {"num_key_value_heads", 3, "\"num_attention_heads\": 2 heads are not a multiple of num_key_value_heads 3"},
      {"hidden_size", 9, "\"hidden_size\": 9 is not a multiple of 2 heads"},
      {"hidden_size", 10, "\"head_dim\": found 5, expected an even number"},
      {"head_dim", 16777216, "\"head_dim\": times 2 heads exceeds 16777216"},
      {"hidden_act", "gelu", "\"hidden_act\": found \"gelu\", llama.cpp knows silu here"},
      {"partial_rotary_factor", 0.5, "\"partial_rotary_factor\": is not 1"},
      {"num_nextn_predict_layers", 1, "\"num_nextn_predict_layers\": found 1, but the family has no MTP block"},
      {"rope_scaling",
       {{"type", "dynamic"}, {"factor", 2.0}},
       "\"rope_scaling.rope_type\": found \"dynamic\", known are default, linear, yarn and llama3"},
      {"rope_scaling", {{"type", "linear"}}, "\"rope_scaling.factor\": missing"},
      {"rope_scaling", no_factor, "\"rope_scaling.factor\": missing"},
      {"rope_scaling", zero, "\"rope_scaling.low_freq_factor\": found 0.000000, expected more than 0"},
      {"rope_scaling", crossed, "\"rope_scaling.high_freq_factor\": is not above low_freq_factor"},
  };
  for (const BadField& row : rows) {
    LlamaCheckpoint checkpoint;
    checkpoint.config[row.field] = row.value;
    EXPECT_TRUE(says(checkpoint.error(), "config.json: field " + row.message)) << row.field;
  }
  LlamaCheckpoint mixtral(3);
  mixtral.config["num_experts_per_tok"] = 4;
  EXPECT_TRUE(says(mixtral.error(), "\"num_experts_per_tok\": found 4, but there are 3 experts"));
}

}  // namespace
}  // namespace ggufmill
