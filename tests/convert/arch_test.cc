// The architecture tables: matching of tensors, and every error that config.json or the tensors' names and shapes can give.
#include "convert/arch/arch.h"

#include <gtest/gtest.h>

#include "tests/convert/nemotron_checkpoint.h"

namespace ggufmill {
namespace {

using Block = std::vector<int32_t>;

const ModelTensor* find(const Model& model, const std::string& name) {
  for (const ModelTensor& tensor : model.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

TEST(Arch, experts_are_stacked_in_the_order_of_their_numbers) {
  NemotronCheckpoint checkpoint;
  checkpoint.config["n_routed_experts"] = 11;  // by name, 10 comes before 2
  for (int i = 2; i < 11; ++i) {
    const std::string expert = "backbone.layers.1.mixer.experts." + std::to_string(i);
    checkpoint.tensors[expert + ".up_proj.weight"] = {6, 8};
    checkpoint.tensors[expert + ".down_proj.weight"] = {8, 6};
  }
  checkpoint.tensors["backbone.layers.1.mixer.gate.weight"] = {11, 16};
  checkpoint.tensors["backbone.layers.1.mixer.gate.e_score_correction_bias"] = {11};
  const Model model = checkpoint.describe();
  const ModelTensor* up = find(model, "blk.1.ffn_up_exps.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->ne, (std::vector<uint64_t>{8, 6, 11}));
  ASSERT_EQ(up->pieces.size(), 11u);
  // Sources are sorted by name; experts 0, 1, 10, 2, ... follow each other with their down projection first.
  EXPECT_EQ(up->pieces[10].source, up->pieces[1].source + 2);
  EXPECT_EQ(up->pieces[2].source, up->pieces[10].source + 2);
  EXPECT_EQ(up->pieces[10].out_row, 60u);
}

TEST(Arch, dense_models_fall_out_of_the_same_table) {
  const Model model = NemotronCheckpoint("M-*-").describe();
  EXPECT_EQ(model.architecture, "nemotron_h");
  EXPECT_EQ(std::get<Block>(*model.metadata.find("nemotron_h.feed_forward_length")), (Block{0, 12, 0, 12}));
  EXPECT_EQ(std::get<Block>(*model.metadata.find("nemotron_h.attention.head_count_kv")), (Block{0, 0, 1, 0}));
  EXPECT_EQ(model.metadata.find("nemotron_h.expert_count"), nullptr);
  EXPECT_EQ(find(model, "blk.1.ffn_up.weight")->ne, (std::vector<uint64_t>{16, 12}));
  EXPECT_EQ(std::get<bool>(*model.metadata.find("tokenizer.ggml.add_bos_token")), true);
}

TEST(Arch, both_forms_of_the_block_list_and_both_names_of_the_bias_are_read) {
  NemotronCheckpoint checkpoint;
  checkpoint.config.erase("hybrid_override_pattern");
  checkpoint.config.erase("num_hidden_layers");
  checkpoint.config["layers_block_type"] = {"mamba", "moe", "attention"};
  checkpoint.tensors.erase("backbone.layers.1.mixer.gate.e_score_correction_bias");
  checkpoint.tensors["backbone.layers.1.mixer.gate.e_score_correction.bias"] = {2};
  EXPECT_TRUE(find(checkpoint.describe(), "blk.1.exp_probs_b.bias")->fixed_type);
}

TEST(Arch, without_lm_head_a_tied_model_has_no_output) {
  NemotronCheckpoint checkpoint;
  checkpoint.tensors.erase("lm_head.weight");
  checkpoint.config["tie_word_embeddings"] = true;
  const Model model = checkpoint.describe();
  EXPECT_TRUE(model.tied_output);
  EXPECT_EQ(find(model, "output.weight"), nullptr);
}

TEST(Arch, kv_cache_scales_are_dropped_by_name) {
  NemotronCheckpoint checkpoint;
  checkpoint.tensors["backbone.layers.2.mixer.k_proj.k_scale"] = {};
  EXPECT_EQ(checkpoint.describe().dropped, std::vector<std::string>{"backbone.layers.2.mixer.k_proj.k_scale"});
}

TEST(Arch, mtp_folds_into_one_block_and_its_router_is_not_forced_to_f32) {
  const NemotronCheckpoint checkpoint("ME*", true);
  const Model model = checkpoint.describe();
  EXPECT_EQ(model.mtp_block, 3);
  EXPECT_EQ(model.n_layers, 3u);
  EXPECT_FALSE(find(model, "blk.3.ffn_gate_inp.weight")->fixed_type);
  EXPECT_TRUE(find(model, "blk.1.ffn_gate_inp.weight")->fixed_type);
  EXPECT_EQ(find(model, "blk.3.attn_q.weight")->row_map.group_rows(), 4u);
  EXPECT_TRUE(model.left_out.empty());
  const Model without = checkpoint.describe({.mtp = MtpMode::kLeaveOut});
  EXPECT_EQ(without.left_out.size(), 20u);
  EXPECT_EQ(without.tensors.size() + 18, model.tensors.size());
  EXPECT_TRUE(warnings_of(without.findings).empty());
}

TEST(Arch, mtp_that_the_config_does_not_announce_is_left_out_with_a_finding) {
  NemotronCheckpoint checkpoint("ME*", true);
  checkpoint.config["num_nextn_predict_layers"] = 0;
  const Model model = checkpoint.describe();
  const std::vector<Finding> warnings = warnings_of(model.findings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].message,
            "20 tensors of an MTP block that config.json does not announce (num_nextn_predict_layers) are left out");
}

TEST(Arch, missing_mtp_is_an_error_unless_left_out) {
  NemotronCheckpoint checkpoint;
  checkpoint.config["num_nextn_predict_layers"] = 1;
  EXPECT_TRUE(says(checkpoint.error(), "20 missing): tensor \"mtp.layers.0.enorm.weight\" missing"));
  EXPECT_EQ(checkpoint.error({.mtp = MtpMode::kLeaveOut}), "(no error)");
}

TEST(Arch, all_problems_are_counted_and_the_first_listed) {
  NemotronCheckpoint checkpoint;
  checkpoint.tensors["backbone.layers.1.mixer.gate.weight"] = {3, 16};
  checkpoint.tensors.erase("backbone.layers.1.mixer.experts.1.up_proj.weight");
  checkpoint.tensors["backbone.layers.0.mixer.extra.weight"] = {1};
  checkpoint.tensors["backbone.layers.7.norm.weight"] = {16};
  checkpoint.tensors["backbone.layers.1.mixer.experts.2.up_proj.weight"] = {6, 8};
  checkpoint.tensors["backbone.layers.2.mixer.D"] = {2};
  checkpoint.dtypes["lm_head.weight"] = "U8";
  const std::string error = checkpoint.error();
  EXPECT_TRUE(says(error,
                   "Tiny-Nemotron: the tensors are not those of NemotronHForCausalLM with this config.json "
                   "(4 unknown, 2 of another shape or type, 1 missing): "));
  for (const char* part : {"\"backbone.layers.0.mixer.extra.weight\" unknown; ",
                           "\"backbone.layers.1.mixer.gate.weight\" shape [3, 16], "
                           "expected [2, 16]",
                           "\"backbone.layers.1.mixer.experts.1.up_proj.weight\" missing",
                           "\"backbone.layers.7.norm.weight\" unknown: the model has 3 blocks",
                           "\"backbone.layers.1.mixer.experts.2.up_proj.weight\" unknown: the model has 2 experts",
                           "\"backbone.layers.2.mixer.D\" unknown: block 2 has none",
                           "\"lm_head.weight\" is U8, and the scales of a quantized weight are missing (*.weight_scale, *.scale, "
                           "of a known dtype)"}) {
    EXPECT_TRUE(says(error, part));
  }
}

TEST(Arch, a_long_list_is_cut) {
  NemotronCheckpoint checkpoint;
  for (int i = 100; i < 130; ++i) checkpoint.tensors["stray." + std::to_string(i)] = {1};
  EXPECT_TRUE(says(checkpoint.error(), "\"stray.107\" unknown; and 22 more"));
}

TEST(Arch, the_same_tensor_under_both_names_is_an_error) {
  NemotronCheckpoint checkpoint;
  checkpoint.tensors["backbone.layers.1.mixer.gate.e_score_correction.bias"] = {2};
  EXPECT_TRUE(says(checkpoint.error(), "is the same tensor as tensor \"backbone.layers.1.mixer.gate.e_score_correction.bias\""));
}

TEST(Arch, numbers_with_leading_zeros_are_other_names) {
  NemotronCheckpoint checkpoint;
  checkpoint.tensors["backbone.layers.00.norm.weight"] = {16};
  EXPECT_TRUE(says(checkpoint.error(), "\"backbone.layers.00.norm.weight\" unknown"));
}

TEST(Arch, unknown_architectures_name_the_known_ones) {
  NemotronCheckpoint checkpoint;
  checkpoint.config["architectures"] = {"NemotronHForCausalLm2"};
  EXPECT_TRUE(
      says(checkpoint.error(),
           "field \"architectures\": found \"NemotronHForCausalLm2\", known are: DeciLMForCausalLM, DeepseekV2ForCausalLM, "));
  EXPECT_TRUE(says(checkpoint.error(), "| did you mean NemotronHForCausalLM?"));
  checkpoint.config.erase("architectures");
  EXPECT_TRUE(says(checkpoint.error(), "field \"architectures\": missing, expected a list"));
}

struct BadField {
  std::string field;
  nlohmann::json value;  // null: the field is taken out
  std::string message;
};

// One row per way in which config.json can contradict itself or the limits; the model is "ME*" with MTP.
TEST(Arch, each_bad_field_is_named) {
  const std::vector<BadField> rows = {
      {"hidden_size", nullptr, "\"hidden_size\": missing"},
      {"hidden_size", "16", "\"hidden_size\": found \"16\", expected an integer from 1 to 16777216"},
      {"hidden_size", 2147483648u, "\"hidden_size\": found 2147483648, expected"},
      {"vocab_size", 2147483648u, "\"vocab_size\": found 2147483648, expected an integer from 1 to 2097152"},
      {"n_routed_experts", 2147483648u, "\"n_routed_experts\": found 2147483648, expected an integer from 1 to 1024"},
      {"n_routed_experts", -1, "\"n_routed_experts\": found -1, expected"},
      {"num_attention_heads", 0, "\"num_attention_heads\": found 0, expected an integer from 1"},
      {"num_key_value_heads", 3, "\"num_attention_heads\": 2 heads are not a multiple of num_key_value_heads 3"},
      {"head_dim", 5, "\"head_dim\": found 5, expected an even number"},
      {"head_dim", nullptr, "\"head_dim\": missing (nor attention_head_dim)"},
      {"n_groups", 3, "\"n_groups\": 3 does not divide the 8 inner channels"},
      {"mamba_head_dim", 16777216, "\"mamba_head_dim\": a product of heads and widths exceeds 16777216"},
      {"hybrid_override_pattern", nullptr, "\"hybrid_override_pattern\": missing or empty (nor layers_block_type)"},
      {"hybrid_override_pattern", "MX*", "\"hybrid_override_pattern\": found 'X' at position 1, known are M, *, E and -"},
      {"hybrid_override_pattern", "ME", "\"num_hidden_layers\": found 3, but hybrid_override_pattern has 2 blocks"},
      {"hybrid_override_pattern", "M-E", "plain MLP blocks beside experts"},
      {"hybrid_override_pattern", std::string(513, 'M'), "has 513 blocks, at most 512 are possible"},
      {"num_hidden_layers", 2147483648u, "\"num_hidden_layers\": found 2147483648, expected"},
      {"layers_block_type",
       {"mamba", "moe", "linear_attention"},
       "found \"linear_attention\", known are mamba, attention, moe and mlp"},
      {"layers_block_type", {"mamba"}, "\"hybrid_override_pattern\": contradicts layers_block_type, which reads M"},
      {"layers_block_type", {1}, "\"layers_block_type\": found 1 in the list, expected strings"},
      {"num_experts_per_tok", nullptr, "\"num_experts_per_tok\": missing, but the model has blocks with experts"},
      {"num_experts_per_tok", 3, "\"num_experts_per_tok\": found 3, but n_routed_experts is 2"},
      {"norm_topk_prob", 1, "\"norm_topk_prob\": found 1, expected true or false"},
      {"routed_scaling_factor", "x", "\"routed_scaling_factor\": found \"x\", expected a finite number"},
      {"norm_eps", nullptr, "\"rms_norm_eps\": missing (nor norm_eps)"},
      {"num_nextn_predict_layers", 2, "\"num_nextn_predict_layers\": found 2, only 0 and 1 are known"},
      {"mtp_hybrid_override_pattern", "*E*E", "\"mtp_hybrid_override_pattern\": found *E*E, only *E"},
  };
  for (const BadField& row : rows) {
    NemotronCheckpoint checkpoint("ME*", true);
    if (row.value.is_null())
      checkpoint.config.erase(row.field);
    else
      checkpoint.config[row.field] = row.value;
    EXPECT_TRUE(says(checkpoint.error(), "config.json: field ")) << row.field;
    EXPECT_TRUE(says(checkpoint.error(), row.message)) << row.field;
  }
}

TEST(Arch, mtp_alone_needs_mtp) {
  EXPECT_TRUE(says(NemotronCheckpoint("ME*").error({.mtp = MtpMode::kOnly}), "the model has no MTP block to write alone"));
  NemotronCheckpoint dense("M-*");
  dense.config["num_nextn_predict_layers"] = 1;
  EXPECT_TRUE(says(dense.error(), "found 1 in a model without experts"));
}

TEST(Arch, converter_forces_f32_by_name_and_dimensions) {
  EXPECT_TRUE(converter_forces_f32("blk.0.ssm_a", 2));
  EXPECT_TRUE(converter_forces_f32("blk.0.attn_norm.weight", 1));
  EXPECT_TRUE(converter_forces_f32("blk.0.ssm_norm.weight", 2));
  EXPECT_TRUE(converter_forces_f32("blk.0.ssm_conv1d.weight", 2));
  EXPECT_TRUE(converter_forces_f32("blk.0.ffn_gate_inp.weight", 2));
  EXPECT_FALSE(converter_forces_f32("blk.0.nextn.eh_proj.weight", 2));
  EXPECT_FALSE(converter_forces_f32("token_embd.weight", 2));
}

}  // namespace
}  // namespace ggufmill
