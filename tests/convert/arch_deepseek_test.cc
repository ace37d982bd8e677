// DeepSeek V2 to V3.2, Kimi, GLM 5: what config.json decides, and its errors. Names, shapes and bytes are the goldens' to
// compare.
#include "tests/convert/config_fields.h"

namespace ggufmill {
namespace {

nlohmann::json deepseek(const std::string& name = "DeepseekV32ForCausalLM") {
  return {{"architectures", {name}},
          {"hidden_size", 32},
          {"intermediate_size", 48},
          {"moe_intermediate_size", 16},
          {"vocab_size", 64},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 4},
          {"q_lora_rank", 12},
          {"kv_lora_rank", 10},
          {"qk_nope_head_dim", 6},
          {"qk_rope_head_dim", 4},
          {"v_head_dim", 5},
          {"n_routed_experts", 4},
          {"num_experts_per_tok", 2},
          {"n_shared_experts", 1},
          {"first_k_dense_replace", 1},
          {"index_n_heads", 2},
          {"index_head_dim", 8},
          {"index_topk", 16},
          {"max_position_embeddings", 128},
          {"num_nextn_predict_layers", 1}};
}

TEST(ArchDeepSeek, blocks_are_dense_first_and_multi_token_prediction_stands_behind) {
  const ArchDescription d = describe_config(deepseek());
  EXPECT_EQ(d.layout.block_kinds, "DEE");
  EXPECT_EQ(d.layout.mtp_kinds, "N");
  EXPECT_EQ(d.layout.mtp_block, 3);
  EXPECT_EQ(d.metadata.find_uint("deepseek32.block_count"), 4u);
  EXPECT_EQ(d.metadata.find_uint("deepseek32.nextn_predict_layers"), 1u);
  const ArchDescription without = describe_config(deepseek(), {.mtp = MtpMode::kLeaveOut});
  EXPECT_EQ(without.layout.mtp_block, -1);
  EXPECT_EQ(without.metadata.find_uint("deepseek32.block_count"), 3u);
  EXPECT_EQ(without.metadata.find("deepseek32.nextn_predict_layers"), nullptr);
}

TEST(ArchDeepSeek, v3_has_no_block_of_multi_token_prediction_in_llama_cpp) {
  const ArchDescription d = describe_config(deepseek("DeepseekV3ForCausalLM"));
  EXPECT_EQ(d.layout.mtp_block, -1);
  EXPECT_EQ(d.metadata.find_uint("deepseek2.block_count"), 3u);
  EXPECT_TRUE(says(config_error(deepseek("DeepseekV3ForCausalLM"), {.mtp = MtpMode::kOnly}),
                   "llama.cpp knows no MTP block in this architecture"));
}

TEST(ArchDeepSeek, widths_of_latent_attention) {
  const Metadata m = describe_config(deepseek()).metadata;
  EXPECT_EQ(m.find_uint("deepseek32.attention.head_count_kv"), 1u);
  EXPECT_EQ(m.find_uint("deepseek32.attention.key_length"), 14u);
  EXPECT_EQ(m.find_uint("deepseek32.attention.value_length"), 10u);
  EXPECT_EQ(m.find_uint("deepseek32.attention.key_length_mla"), 10u);
  EXPECT_EQ(m.find_uint("deepseek32.attention.value_length_mla"), 5u);
  EXPECT_EQ(std::get<float>(*m.find("deepseek32.attention.layer_norm_rms_epsilon")), 1e-6f);
}

TEST(ArchDeepSeek, heads_need_not_share_the_width) {
  nlohmann::json config = deepseek();
  config["num_attention_heads"] = 5;
  EXPECT_EQ(config_error(config), "");
}

TEST(ArchDeepSeek, blocks_that_share_an_indexer_have_none) {
  nlohmann::json config = deepseek("GlmMoeDsaForCausalLM");
  config["indexer_types"] = {"full", "shared", "full"};
  const ArchDescription d = describe_config(config);
  EXPECT_EQ(d.layout.block_dims[0].values, (std::vector<uint64_t>{1, 0, 1, 1}));
  EXPECT_EQ(std::get<std::vector<bool>>(*d.metadata.find("glm-dsa.attention.indexer.types")),
            (std::vector<bool>{true, false, true}));
  EXPECT_EQ(d.tokenizer.pre_tokenizers, std::vector<std::string_view>{"glm4"});
}

TEST(ArchDeepSeek, each_bad_field_is_named) {
  expect_bad_fields(
      deepseek(),
      {{"kv_lora_rank", nullptr, "\"kv_lora_rank\": missing"},
       {"qk_rope_head_dim", nullptr, "\"qk_rope_head_dim\": missing"},
       {"v_head_dim", 0, "\"v_head_dim\": found 0, expected an integer from 1"},
       {"num_experts_per_tok", 5, "\"num_experts_per_tok\": found 5, but there are 4 experts"},
       {"first_k_dense_replace", 4, "\"first_k_dense_replace\": found 4, expected an integer from 0 to 3"},
       {"moe_layer_freq", 2, "\"moe_layer_freq\": is not 1"},
       {"mlp_layer_types", {"dense", "dense", "sparse"}, "\"mlp_layer_types\": does not have first_k_dense_replace 1 dense of 3"},
       {"attention_bias", true, "\"attention_bias\": found true, but biases are not known"},
       {"q_lora_rank", nullptr, "\"q_lora_rank\": missing: the indexer reads that latent"},
       {"index_topk", nullptr, "\"index_topk\": missing"},
       {"indexer_types", {"full", "full"}, "\"indexer_types\": has 2 entries, but num_hidden_layers is 3"},
       {"indexer_types", {"full", "half", "full"}, "\"indexer_types\": found \"half\", known are full and shared"},
       {"num_attention_heads", 1 << 23, "\"num_attention_heads\": a product of heads and widths exceeds"},
       {"num_nextn_predict_layers", 2, "\"num_nextn_predict_layers\": found 2, only 0 and 1 are known"}});
}

}  // namespace
}  // namespace ggufmill
