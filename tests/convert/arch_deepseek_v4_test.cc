// DeepSeek V4: what config.json decides of each block, and its errors. Names, shapes and bytes are the goldens' to compare.
#include "tests/convert/config_fields.h"

namespace ggufmill {
namespace {

nlohmann::json deepseek_v4() {
  return {{"architectures", {"DeepseekV4ForCausalLM"}},
          {"hidden_size", 32},
          {"moe_intermediate_size", 16},
          {"vocab_size", 64},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 1},
          {"head_dim", 8},
          {"q_lora_rank", 12},
          {"qk_rope_head_dim", 4},
          {"o_groups", 2},
          {"o_lora_rank", 6},
          {"n_routed_experts", 4},
          {"num_experts_per_tok", 2},
          {"n_shared_experts", 1},
          {"num_hash_layers", 1},
          {"hc_mult", 4},
          {"hc_eps", 1e-6},
          {"hc_sinkhorn_iters", 20},
          {"index_n_heads", 2},
          {"index_head_dim", 8},
          {"index_topk", 16},
          {"compress_ratios", {0, 4, 128, 0}},
          {"compress_rope_theta", 160000},
          {"scoring_func", "sqrtsoftplus"},
          {"swiglu_limit", 10.0},
          {"sliding_window", 16},
          {"norm_topk_prob", true},
          {"routed_scaling_factor", 1.5},
          {"rms_norm_eps", 1e-6},
          {"max_position_embeddings", 128},
          {"num_nextn_predict_layers", 1}};
}

const std::vector<uint64_t>& values_of(const Layout& layout, std::string_view name) {
  return std::ranges::find(layout.block_dims, name, &BlockDim::name)->values;
}

TEST(ArchDeepSeekV4, ratios_of_compression_decide_what_a_block_has) {
  const Layout layout = describe_config(deepseek_v4()).layout;
  EXPECT_EQ(layout.block_kinds, "HRR");
  EXPECT_EQ(values_of(layout, "ratio"), (std::vector<uint64_t>{0, 4, 128, 0}));
  EXPECT_EQ(values_of(layout, "compressor_rows"), (std::vector<uint64_t>{8, 16, 8, 8}));
  EXPECT_EQ(values_of(layout, "indexer"), (std::vector<uint64_t>{0, 1, 0, 0}));
}

TEST(ArchDeepSeekV4, multi_token_prediction_is_a_file_of_its_own) {
  const ArchDescription whole = describe_config(deepseek_v4());
  EXPECT_EQ(whole.layout.mtp_block, -1);
  EXPECT_EQ(whole.metadata.find("deepseek4.nextn_predict_layers"), nullptr);
  const ArchDescription alone = describe_config(deepseek_v4(), {.mtp = MtpMode::kOnly});
  EXPECT_EQ(alone.layout.mtp_block, 3);
  EXPECT_EQ(alone.metadata.find_uint("deepseek4.block_count"), 4u);
  EXPECT_EQ(std::get<std::vector<float>>(*alone.metadata.find("deepseek4.swiglu_clamp_exp")).size(), 4u);
  nlohmann::json config = deepseek_v4();
  config["compress_ratios"] = {0, 4, 128};
  EXPECT_EQ(config_error(config), "");
  EXPECT_TRUE(says(config_error(config, {.mtp = MtpMode::kOnly}), "\"compress_ratios\": has no entry for the MTP block"));
}

TEST(ArchDeepSeekV4, each_bad_field_is_named) {
  expect_bad_fields(deepseek_v4(),
                    {{"o_groups", 3, "\"o_groups\": 3 groups do not divide the 32 values of all heads"},
                     {"compress_ratios", {0, 4}, "\"compress_ratios\": missing, or shorter than the 3 blocks"},
                     {"compress_ratios", nullptr, "\"compress_ratios\": missing, or shorter than the 3 blocks"},
                     {"compress_ratios", {0, 8, 128}, "\"compress_ratios\": found 8, llama.cpp knows 0, 4 and 128"},
                     {"num_hash_layers", 4, "\"num_hash_layers\": found 4, expected an integer from 0 to 3"},
                     {"hc_mult", 0, "\"hc_mult\": found 0"},
                     {"hc_eps", nullptr, "\"hc_eps\": missing"},
                     {"swiglu_limit", nullptr, "\"swiglu_limit\": missing"},
                     {"rms_norm_eps", nullptr, "\"rms_norm_eps\": missing"},
                     {"scoring_func", "tanh", "\"scoring_func\": found \"tanh\", known are softmax, sigmoid and sqrtsoftplus"}});
}

}  // namespace
}  // namespace ggufmill
