#include "convert/scale_tensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

PlannedTensor tensor(const std::string& name, GgmlType type, std::vector<uint64_t> ne) {
  PlannedTensor t;
  t.name = name;
  t.type = type;
  t.ne = std::move(ne);
  t.tensor_class = classify(name, -1);
  return t;
}

std::vector<float> values(const PlannedTensor& t) {
  std::vector<float> out(t.literal.size() / sizeof(float));
  std::memcpy(out.data(), t.literal.data(), t.literal.size());
  return out;
}

std::vector<std::string> names(const std::vector<PlannedTensor>& tensors) {
  std::vector<std::string> out;
  for (const PlannedTensor& t : tensors) out.push_back(t.name);
  return out;
}

TEST(ScaleTensors, StandBehindTheirTensor) {
  std::vector<PlannedTensor> tensors = {tensor("blk.0.attn_q.weight", GgmlType::Q8_0, {256, 128}),
                                        tensor("blk.1.ffn_up_exps.weight", GgmlType::NVFP4, {256, 64, 5}),
                                        tensor("blk.1.ffn_down_shexp.weight", GgmlType::NVFP4, {64, 256}),
                                        tensor("output.weight", GgmlType::NVFP4, {256, 1000})};
  std::vector<Finding> findings;
  add_scale_tensors({}, tensors, findings);
  EXPECT_EQ(names(tensors), (std::vector<std::string>{"blk.0.attn_q.weight", "blk.1.ffn_up_exps.weight",
                                                      "blk.1.ffn_up_exps.scale", "blk.1.ffn_down_shexp.weight",
                                                      "blk.1.ffn_down_shexp.scale", "output.weight", "output.scale"}));
  EXPECT_TRUE(findings.empty());
  EXPECT_EQ(tensors[0].scale, 1.0f) << "a type without scale";
  for (const size_t scaled : {1, 3, 5}) {
    const PlannedTensor &t = tensors[scaled], &scale = tensors[scaled + 1];
    EXPECT_EQ(t.scale, kNvfp4Scale) << t.name;
    EXPECT_TRUE(t.literal.empty()) << t.name;
    EXPECT_EQ(scale.type, GgmlType::F32) << scale.name;
    EXPECT_EQ(scale.tensor_class, t.tensor_class) << scale.name;
    EXPECT_EQ(scale.reason, "scale of " + t.name);
    EXPECT_TRUE(scale.pieces.empty()) << scale.name;
    EXPECT_EQ(scale.literal.size(), scale.rows() * scale.row_bytes()) << "the bytes of its shape";
  }
}

TEST(ScaleTensors, HoldOneValueOfEachStackedMatrix) {
  std::vector<PlannedTensor> tensors = {tensor("blk.1.ffn_up_exps.weight", GgmlType::NVFP4, {256, 64, 5}),
                                        tensor("blk.1.attn_v.weight", GgmlType::NVFP4, {256, 64})};
  std::vector<Finding> findings;
  add_scale_tensors({}, tensors, findings);
  EXPECT_EQ(tensors[1].ne, (std::vector<uint64_t>{5}));
  EXPECT_EQ(values(tensors[1]), std::vector<float>(5, kNvfp4Scale));
  EXPECT_EQ(tensors[3].ne, (std::vector<uint64_t>{1}));
  EXPECT_EQ(values(tensors[3]), (std::vector<float>{kNvfp4Scale}));
}

TEST(ScaleTensors, TensorWhoseScaleNobodyReadsIsAFinding) {
  std::vector<PlannedTensor> tensors = {tensor("token_embd.weight", GgmlType::NVFP4, {256, 1000}),
                                        tensor("blk.1.ffn_latent_up.weight", GgmlType::NVFP4, {256, 64}),
                                        tensor("token_types.weight", GgmlType::Q4_K, {256, 2})};
  std::vector<Finding> findings;
  add_scale_tensors({}, tensors, findings);
  EXPECT_EQ(tensors.size(), 3u);
  for (const PlannedTensor& t : tensors) EXPECT_EQ(t.scale, 1.0f) << t.name;
  ASSERT_EQ(findings.size(), 1u) << "for all of them";
  EXPECT_EQ(findings[0].severity, Severity::kWarning);
  EXPECT_EQ(findings[0].tensor, "token_embd.weight");
  EXPECT_EQ(findings[0].message, "NVFP4 without a scale tensor, since llama.cpp reads none for it: less exact (and 1 more)");
}

TEST(ScaleTensors, NamesThatTakeOne) {
  for (const char* name : {"blk.0.attn_q.weight", "blk.17.attn_output.weight", "blk.107.ffn_up_exps.weight",
                           "blk.3.ffn_down.weight", "blk.3.ffn_up_shexp.weight", "blk.3.ssm_in.weight", "blk.3.ssm_out.weight",
                           "blk.88.nextn.eh_proj.weight", "output.weight"}) {
    EXPECT_TRUE(takes_scale(name)) << name;
  }
  for (const char* name : {"token_embd.weight", "output_norm.weight", "attn_q.weight", "blk.0.attn_q.bias", "blk.0.attn_q.scale",
                           "blk.0.attn_q", "blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ssm_conv1d.weight",
                           "blk.0.attn_q.norm.weight", "blk.0.weight", "blk.weight", "blk.0..weight", ".weight", ""}) {
    EXPECT_FALSE(takes_scale(name)) << name;
  }
}

// Sources with scales of their own, as from blocks that are moved as they are.
Weight source_with(std::vector<float> scales, std::vector<float> inputs) {
  Weight w;
  w.shape = {64, 256};
  w.tensor_scales = std::move(scales);
  w.input_scales = std::move(inputs);
  return w;
}

TEST(ScaleTensors, OfRepackedBlocksAreTheSources) {
  const std::vector<Weight> weights = {source_with({0.5f}, {2}), source_with({0.25f}, {}), source_with({1, 8}, {3, 4})};
  PlannedTensor t = tensor("blk.1.ffn_up_exps.weight", GgmlType::NVFP4, {256, 64, 4});
  t.repack = true;
  t.pieces = {{0, 0, 64}, {1, 64, 64}, {2, 128, 128}};
  std::vector<PlannedTensor> tensors = {t};
  std::vector<Finding> findings;
  add_scale_tensors(weights, tensors, findings);
  EXPECT_EQ(names(tensors),
            (std::vector<std::string>{"blk.1.ffn_up_exps.weight", "blk.1.ffn_up_exps.scale", "blk.1.ffn_up_exps.input_scale"}));
  EXPECT_EQ(values(tensors[1]), (std::vector<float>{0.5f, 0.25f, 1, 8}));
  EXPECT_EQ(values(tensors[2]), (std::vector<float>{2, 1, 3, 4})) << "1 where a source has none";
  EXPECT_EQ(tensors[0].scale, 1.0f);
}

TEST(ScaleTensors, OfOneAreLeftOut) {
  const std::vector<Weight> weights = {source_with({1 + 5e-7f}, {})};
  PlannedTensor t = tensor("output.weight", GgmlType::MXFP4, {256, 64});
  t.repack = true;
  t.pieces = {{0, 0, 64}};
  std::vector<PlannedTensor> tensors = {t};
  std::vector<Finding> findings;
  add_scale_tensors(weights, tensors, findings);
  EXPECT_EQ(tensors.size(), 1u);
}

TEST(ScaleTensors, BadScaleOfActivationsIsRefused) {
  for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const std::vector<Weight> weights = {source_with({0.5f}, {bad})};
    PlannedTensor t = tensor("output.weight", GgmlType::NVFP4, {256, 64});
    t.repack = true;
    t.pieces = {{0, 0, 64}};
    std::vector<PlannedTensor> tensors = {t};
    std::vector<Finding> findings;
    const Error error = error_of([&] { add_scale_tensors(weights, tensors, findings); });
    EXPECT_EQ(error.code(), Exit::kBadInput);
    EXPECT_NE(error.message().find("\"output.weight\": a scale of its activations"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace ggufmill
