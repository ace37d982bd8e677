// Qwen 2.5, 3, 3-Next and 3.5, GLM 4.5, gpt-oss: what config.json decides, and its errors. Names, shapes and bytes are the
// goldens' to compare.
#include "tests/convert/config_fields.h"

namespace ggufmill {
namespace {

nlohmann::json text_model(const std::string& name) {
  return {{"architectures", {name}},        {"hidden_size", 32},        {"intermediate_size", 48},  {"vocab_size", 64},
          {"num_hidden_layers", 4},         {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"head_dim", 8},
          {"max_position_embeddings", 128}, {"rms_norm_eps", 1e-6}};
}

nlohmann::json with(nlohmann::json config, const nlohmann::json& more) {
  config.update(more);
  return config;
}

nlohmann::json qwen3_moe() {
  return with(text_model("Qwen3MoeForCausalLM"), {{"num_experts", 4}, {"num_experts_per_tok", 2}, {"moe_intermediate_size", 16}});
}

nlohmann::json qwen35_moe() {
  return with(text_model("Qwen3_5MoeForCausalLM"), {{"num_experts", 4},
                                                    {"num_experts_per_tok", 2},
                                                    {"moe_intermediate_size", 16},
                                                    {"shared_expert_intermediate_size", 24},
                                                    {"linear_num_key_heads", 2},
                                                    {"linear_num_value_heads", 6},
                                                    {"linear_key_head_dim", 4},
                                                    {"linear_value_head_dim", 4},
                                                    {"linear_conv_kernel_dim", 4},
                                                    {"partial_rotary_factor", 0.25},
                                                    {"mtp_num_hidden_layers", 1}});
}

nlohmann::json glm4_moe() {
  return with(text_model("Glm4MoeForCausalLM"), {{"n_routed_experts", 4},
                                                 {"num_experts_per_tok", 2},
                                                 {"moe_intermediate_size", 16},
                                                 {"n_shared_experts", 1},
                                                 {"first_k_dense_replace", 1},
                                                 {"num_nextn_predict_layers", 1}});
}

nlohmann::json gpt_oss() {
  return with(text_model("GptOssForCausalLM"), {{"num_local_experts", 4}, {"num_experts_per_tok", 2}, {"sliding_window", 16}});
}

uint64_t dim_of(const ArchDescription& d, std::string_view name) {
  return std::ranges::find(d.layout.dims, name, &Dim::name)->value;
}

TEST(ArchQwen, two_has_biases_and_three_norms) {
  const ArchDescription two = describe_config(text_model("Qwen2ForCausalLM")),
                        three = describe_config(text_model("Qwen3ForCausalLM"));
  EXPECT_EQ(dim_of(two, "qkv_bias"), 1u);
  EXPECT_EQ(dim_of(two, "qk_norm"), 0u);
  EXPECT_EQ(dim_of(three, "qkv_bias"), 0u);
  EXPECT_EQ(dim_of(three, "qk_norm"), 1u);
}

TEST(ArchQwen, a_sliding_window_that_llama_cpp_does_not_know_is_a_finding) {
  const ArchDescription d = describe_config(with(text_model("Qwen2ForCausalLM"), {{"use_sliding_window", true}}));
  ASSERT_EQ(d.findings.size(), 1u);
  EXPECT_TRUE(says(d.findings[0].message, "attends to all positions"));
}

TEST(ArchQwen, each_bad_field_is_named) {
  expect_bad_fields(text_model("Qwen3ForCausalLM"),
                    {{"hidden_act", "gelu", "\"hidden_act\": found \"gelu\", llama.cpp knows silu here"},
                     {"attention_bias", true, "\"attention_bias\": found true, but llama.cpp knows no such biases"},
                     {"intermediate_size", nullptr, "\"intermediate_size\": missing"},
                     {"num_nextn_predict_layers", 1, "\"num_nextn_predict_layers\": found 1, but the family has no MTP block"}});
  expect_bad_fields(qwen3_moe(), {{"decoder_sparse_step", 2, "\"decoder_sparse_step\": is not 1"},
                                  {"mlp_only_layers", {1}, "\"mlp_only_layers\": is not empty"},
                                  {"num_experts", nullptr, "\"num_local_experts\": missing (nor num_experts)"},
                                  {"moe_intermediate_size", nullptr, "\"moe_intermediate_size\": missing"}});
}

TEST(ArchQwenNext, every_fourth_block_has_attention) {
  const ArchDescription d = describe_config(qwen35_moe());
  EXPECT_EQ(d.layout.block_kinds, "LLLA");
  EXPECT_EQ(d.metadata.find("qwen35moe.attention.recurrent_layers"), nullptr);
  EXPECT_EQ(d.metadata.find_uint("qwen35moe.full_attention_interval"), 4u);
  EXPECT_EQ(std::get<std::vector<int32_t>>(*d.metadata.find("qwen35moe.rope.dimension_sections")),
            (std::vector<int32_t>{11, 11, 10, 0}));
}

TEST(ArchQwenNext, blocks_that_do_not_stand_evenly_are_written_one_by_one) {
  const nlohmann::json types = {"linear_attention", "full_attention", "linear_attention", "full_attention"};
  const ArchDescription d = describe_config(with(qwen35_moe(), {{"layer_types", types}}));
  EXPECT_EQ(d.layout.block_kinds, "LALA");
  EXPECT_EQ(std::get<std::vector<bool>>(*d.metadata.find("qwen35moe.attention.recurrent_layers")),
            (std::vector<bool>{true, false, true, false, false}));
  const ArchDescription even = describe_config(with(qwen35_moe(), {{"layer_types", types}, {"full_attention_interval", 2}}));
  EXPECT_EQ(even.metadata.find("qwen35moe.attention.recurrent_layers"), nullptr);
}

TEST(ArchQwenNext, multi_token_prediction_is_announced_or_just_there) {
  nlohmann::json config = qwen35_moe();
  config.erase("mtp_num_hidden_layers");
  EXPECT_EQ(describe_config(config).layout.mtp_block, -1);
  const ModelOptions there = {.has_tensor = [](std::string_view name) { return name == "mtp.fc.weight"; }};
  EXPECT_EQ(describe_config(config, there).layout.mtp_block, 4);
  EXPECT_TRUE(says(config_error(config, {.mtp = MtpMode::kOnly}), "\"mtp_num_hidden_layers\": missing or 0"));
}

TEST(ArchQwenNext, each_bad_field_is_named) {
  expect_bad_fields(qwen35_moe(),
                    {{"linear_num_value_heads", 5, "\"linear_num_value_heads\": 5 is not a multiple of linear_num_key_heads 2"},
                     {"linear_value_head_dim", 8, "\"linear_value_head_dim\": is not linear_key_head_dim"},
                     {"layer_types", {"full_attention"}, "\"layer_types\": has 1 entries, but num_hidden_layers is 4"},
                     {"layer_types",
                      {"linear_attention", "mamba", "mamba", "mamba"},
                      "\"layer_types\": found \"mamba\", known are full_attention"},
                     {"partial_rotary_factor", 0, "\"partial_rotary_factor\": expected a number above 0 and up to 1"},
                     {"mtp_num_hidden_layers", 2, "\"mtp_num_hidden_layers\": found 2, only 0 and 1 are known"},
                     {"mlp_only_layers", {0}, "\"mlp_only_layers\": is not empty"},
                     {"attention_bias", true, "\"attention_bias\": found true"},
                     {"attn_output_gate", false, "\"attn_output_gate\": found false"},
                     {"shared_expert_intermediate_size", nullptr, "\"shared_expert_intermediate_size\": missing"}});
}

TEST(ArchGlm4Moe, half_of_a_head_is_turned) {
  const ArchDescription d = describe_config(glm4_moe());
  EXPECT_EQ(d.layout.block_kinds, "DEEE");
  EXPECT_EQ(d.metadata.find_uint("glm4moe.rope.dimension_count"), 4u);
  EXPECT_EQ(d.metadata.find_uint("glm4moe.block_count"), 5u);
  EXPECT_EQ(d.loads.from, "b10573");
  EXPECT_EQ(describe_config(glm4_moe(), {.mtp = MtpMode::kOnly}).loads.from, "v0.5.0");
}

TEST(ArchGlm4Moe, each_bad_field_is_named) {
  expect_bad_fields(glm4_moe(),
                    {{"first_k_dense_replace", 5, "\"first_k_dense_replace\": found 5, expected an integer from 0 to 4"},
                     {"n_shared_experts", nullptr, "\"n_shared_experts\": missing"},
                     {"partial_rotary_factor", 2, "\"partial_rotary_factor\": expected a number above 0"}});
}

TEST(ArchGptOss, plain_experts_are_in_columns) {
  EXPECT_EQ(dim_of(describe_config(gpt_oss()), "in_rows"), 1u);
  const ModelOptions plain = {
      .has_tensor = [](std::string_view name) { return name == "model.layers.0.mlp.experts.gate_up_proj"; }};
  EXPECT_EQ(dim_of(describe_config(gpt_oss(), plain), "in_columns"), 1u);
}

TEST(ArchGptOss, each_bad_field_is_named) {
  expect_bad_fields(gpt_oss(),
                    {{"swiglu_limit", 3, "\"swiglu_limit\": is not 7"},
                     {"attention_bias", false, "\"attention_bias\": found false"},
                     {"layer_types",
                      {"full_attention", "sliding_attention"},
                      "\"layer_types\": is not sliding_attention and full_attention in turns"},
                     {"rope_theta", -1, "\"rope_theta\": expected a number above 0"},
                     {"rms_norm_eps", 0, "\"rms_norm_eps\": expected a number above 0"},
                     {"n_group", 3, "\"n_group\": found 3, which does not part the 4 experts"},
                     {"n_group", 2, "\"topk_group\": found 0, expected 1 to 1 of n_group"},
                     {"sliding_window", nullptr, "\"sliding_window\": missing"},
                     {"num_local_experts", nullptr, "\"num_local_experts\": missing"},
                     {"num_key_value_heads", 3, "\"num_attention_heads\": 4 heads are not a multiple of num_key_value_heads 3"}});
}

}  // namespace
}  // namespace ggufmill
