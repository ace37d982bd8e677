#include "convert/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/convert/quantized_files.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

using enum DType;

std::vector<std::string> names(const Weights& weights) {
  std::vector<std::string> out;
  for (const Weight& w : weights.all) out.push_back(w.name);
  return out;
}

Weights bound(const QuantizedFiles& files) { return bind_weights(files.open(), {}); }

// The one weight of these files.
Weight only(const QuantizedFiles& files) {
  const Weights weights = bound(files);
  EXPECT_EQ(weights.all.size(), 1u) << testing::PrintToString(names(weights));
  return weights.all.empty() ? Weight() : weights.all[0];
}

// The same with its scales of whole tensors read.
Weight read(const QuantizedFiles& files) {
  const Checkpoint checkpoint = files.open();
  Weights weights = bind_weights(checkpoint, {});
  read_tensor_scales(checkpoint.shards(), std::vector<uint32_t>{0}, weights.all);
  return weights.all[0];
}

TEST(Weights, Nvfp4IsOneWeightOfTheUnquantizedShape) {
  QuantizedFiles files;
  files.add("up.weight", U8, {6, 16}).add("up.weight_scale", F8_E4M3, {6, 2});
  files.add_f32("up.weight_scale_2", {0.25f}).add_f32("up.input_scale", {3}).add("norm.weight", BF16, {32});
  const Weights weights = bound(files);
  ASSERT_EQ(names(weights), (std::vector<std::string>{"norm.weight", "up.weight"}));
  const Weight &norm = weights.all[0], &up = weights.all[1];
  EXPECT_EQ(norm.scheme(), "BF16");
  EXPECT_EQ(norm.form, nullptr);
  EXPECT_EQ(up.problem, "");
  EXPECT_EQ(up.shape, (std::vector<uint64_t>{6, 32}));
  EXPECT_EQ(up.elems(), 6u * 32);
  EXPECT_EQ(up.scheme_name(), "NVFP4");
  EXPECT_EQ(up.scheme(), "NVFP4, groups of 16");
  EXPECT_EQ(up.form->as_auto, GgmlType::NVFP4);
  EXPECT_EQ(up.scales->name, "up.weight_scale");
  const Weight with_values = [&] {
    QuantizedFiles alone;
    alone.add("up.weight", U8, {6, 16}).add("up.weight_scale", F8_E4M3, {6, 2});
    alone.add_f32("up.weight_scale_2", {0.25f}).add_f32("up.input_scale", {3});
    return read(alone);
  }();
  EXPECT_EQ(with_values.tensor_scales, (std::vector<float>{0.25f}));
  EXPECT_EQ(with_values.input_scales, (std::vector<float>{3}));
  EXPECT_EQ(with_values.tensor_scale_of(5), 0.25f);
}

// Every form with the least that it needs; what the weight is called and what it is.
struct FormCase {
  std::string codes;
  DType codes_dtype;
  std::vector<uint64_t> codes_shape;
  std::string scales;
  DType scales_dtype;
  std::vector<uint64_t> scales_shape;
  std::string name, scheme;
  std::vector<uint64_t> shape;
  std::string tensor_scale = {};
};

const std::vector<FormCase>& form_cases() {
  static const std::vector<FormCase> cases = {
      {"x.weight",
       U8,
       {4, 16},
       "x.weight_scale",
       F8_E4M3,
       {4, 2},
       "x.weight",
       "NVFP4, groups of 16",
       {4, 32},
       "x.weight_scale_2"},
      {"e.up_proj",
       U8,
       {3, 4, 16},
       "e.up_proj_weight_scale",
       F8_E4M3,
       {3, 4, 2},
       "e.up_proj",
       "NVFP4, groups of 16",
       {3, 4, 32},
       "e.up_proj_weight_scale_2"},
      {"x.weight_packed",
       U8,
       {4, 16},
       "x.weight_scale",
       F8_E4M3,
       {4, 2},
       "x.weight",
       "NVFP4, groups of 16",
       {4, 32},
       "x.weight_global_scale"},
      {"x.weight", U8, {4, 16}, "x.weight_scale", U8, {4, 1}, "x.weight", "MXFP4, groups of 32", {4, 32}},
      {"x.weight_packed", U8, {4, 16}, "x.weight_scale", U8, {4, 1}, "x.weight", "MXFP4, groups of 32", {4, 32}},
      {"x.weight", I8, {4, 16}, "x.scale", F8_E8M0, {4, 1}, "x.weight", "MXFP4, groups of 32", {4, 32}},
      {"x.weight", U8, {4, 16}, "x.scale", F8_E8M0, {4, 1}, "x.weight", "MXFP4, groups of 32", {4, 32}},
      {"e.down_proj_blocks",
       U8,
       {3, 4, 2, 16},
       "e.down_proj_scales",
       U8,
       {3, 4, 2},
       "e.down_proj",
       "MXFP4, groups of 32",
       {3, 4, 64}},
      {"x.weight", F8_E4M3, {4, 32}, "x.weight_scale", F32, {}, "x.weight", "FP8, one scale", {4, 32}},
      {"x.weight", F8_E5M2, {4, 32}, "x.weight_scale", F32, {1}, "x.weight", "FP8, one scale", {4, 32}},
      {"x.weight", F8_E4M3, {4, 32}, "x.weight_scale", BF16, {4, 1}, "x.weight", "FP8, a scale per row", {4, 32}},
      {"x.weight", F8_E4M3, {4, 32}, "x.weight_scale", F16, {4}, "x.weight", "FP8, a scale per row", {4, 32}},
      {"x.weight", F8_E4M3, {3, 4, 32}, "x.weight_scale", F32, {3, 1, 1}, "x.weight", "FP8, a scale per matrix", {3, 4, 32}},
      {"e.up_proj", F8_E4M3, {3, 4, 32}, "e.up_proj_weight_scale", F32, {3}, "e.up_proj", "FP8, a scale per matrix", {3, 4, 32}},
      {"x.weight", F8_E4M3, {200, 300}, "x.weight_scale_inv", F32, {2, 3}, "x.weight", "FP8, blocks of 128x128", {200, 300}},
      {"x.weight", F8_E4M3, {200, 300}, "x.weight_scale_inv", F8_E8M0, {2, 3}, "x.weight", "FP8, blocks of 128x128", {200, 300}},
      {"x.weight", F8_E4M3, {200, 300}, "x.scale", F8_E8M0, {2, 3}, "x.weight", "FP8, blocks of 128x128", {200, 300}},
      {"x.weight", F8_E4M3, {4, 64}, "x.weight_scale", U8, {4, 2}, "x.weight", "MXFP8, groups of 32", {4, 64}},
      {"x.weight", F8_E4M3, {4, 64}, "x.weight_scale", F8_E8M0, {4, 2}, "x.weight", "MXFP8, groups of 32", {4, 64}},
      {"x.weight_packed", I32, {4, 8}, "x.weight_scale", BF16, {4, 2}, "x.weight", "INT4, groups of 32", {4, 64}},
      {"x.weight_packed", I32, {4, 16}, "x.weight_scale", F32, {4, 1}, "x.weight", "INT4, a scale per row", {4, 128}},
  };
  return cases;
}

QuantizedFiles& add_case(QuantizedFiles& files, const FormCase& c) {
  files.add(c.codes, c.codes_dtype, c.codes_shape).add(c.scales, c.scales_dtype, c.scales_shape);
  if (!c.tensor_scale.empty()) files.add_f32(c.tensor_scale, {0.5f});
  return files;
}

TEST(Weights, EveryForm) {
  std::set<const WeightForm*> seen;
  for (const FormCase& c : form_cases()) {
    QuantizedFiles files;
    const Weight w = only(add_case(files, c));
    const std::string what =
        c.codes + " " + std::string(name(c.codes_dtype)) + " " + c.scales + " " + std::string(name(c.scales_dtype));
    EXPECT_EQ(w.problem, "") << what;
    EXPECT_EQ(w.name, c.name) << what;
    EXPECT_EQ(w.shape, c.shape) << what;
    EXPECT_EQ(w.scheme(), c.scheme) << what;
    seen.insert(w.form);
  }
  EXPECT_EQ(seen.size(), weight_forms().size()) << "a form without a case";
}

TEST(Weights, CompanionsInOtherShards) {
  for (const FormCase& c : form_cases()) {
    QuantizedFiles files;
    files.add(c.codes, c.codes_dtype, c.codes_shape);
    files.shard = 1;
    files.add(c.scales, c.scales_dtype, c.scales_shape);
    files.shard = 2;
    files.add_f32(c.tensor_scale.empty() ? "other.weight" : c.tensor_scale, {0.5f});
    const Checkpoint checkpoint = files.open();
    Weights weights = bind_weights(checkpoint, {});
    const auto w = std::ranges::find(weights.all, c.name, &Weight::name);
    ASSERT_NE(w, weights.all.end()) << c.codes;
    EXPECT_EQ(w->problem, "");
    EXPECT_EQ(w->codes.shard, 0u);
    EXPECT_EQ((w->scales ? *w->scales : *w->tensor_scale).shard, 1u);
    read_tensor_scales(checkpoint.shards(), std::vector<uint32_t>{static_cast<uint32_t>(w - weights.all.begin())}, weights.all);
    if (c.tensor_scale.empty()) continue;
    EXPECT_EQ(w->tensor_scale_of(0), w->form->tensor_scale_divides ? 2 : 0.5f) << c.codes;
  }
}

TEST(Weights, EveryMatrixOfAStackHasItsScale) {
  QuantizedFiles files;
  files.add("e.up_proj", U8, {3, 4, 16}).add("e.up_proj_weight_scale", F8_E4M3, {3, 4, 2});
  files.add_f32("e.up_proj_weight_scale_2", {0.5f, 1, 4}, {3}).add_f32("e.up_proj_input_scale", {7, 8, 9}, {3, 1, 1});
  const Weight w = read(files);
  EXPECT_EQ(w.tensor_scales, (std::vector<float>{0.5f, 1, 4}));
  EXPECT_EQ(w.input_scales, (std::vector<float>{7, 8, 9}));
  EXPECT_EQ(w.tensor_scale_of(3), 0.5f);
  EXPECT_EQ(w.tensor_scale_of(4), 1);
  EXPECT_EQ(w.tensor_scale_of(11), 4);
}

TEST(Weights, CompressedTensorsScalesDivide) {
  QuantizedFiles files;
  files.add("x.weight_packed", U8, {4, 16}).add("x.weight_scale", F8_E4M3, {4, 2});
  files.add_f32("x.weight_global_scale", {3}, {1}).add_f32("x.input_global_scale", {8}, {1});
  const Weight w = read(files);
  EXPECT_EQ(w.tensor_scales, (std::vector<float>{1.0f / 3}));
  EXPECT_EQ(w.input_scales, (std::vector<float>{0.125f}));
}

TEST(Weights, BlockSizeIsTheConfigs) {
  QuantizedFiles files;
  files.add("x.weight", F8_E4M3, {70, 100}).add("x.weight_scale_inv", F32, {3, 2});
  const Weights weights = bind_weights(files.open(), {32, 64});
  EXPECT_EQ(weights.all[0].scheme(), "FP8, blocks of 32x64");
  EXPECT_EQ(weights.all[0].problem, "");
  EXPECT_NE(only(files).problem, "") << "blocks of 128";
}

TEST(Weights, ScalesOfTheKvCacheAreDroppedAlsoWhereNothingIsQuantized) {
  QuantizedFiles files;
  for (const char* name : {"a.k_proj.k_scale", "a.v_proj.v_scale", "a.q_scale", "a.prob_scale", "a.kv_scale"})
    files.add_f32(name, {1});
  files.add("a.k_proj.weight", BF16, {4, 4});
  const Weights weights = bound(files);
  EXPECT_EQ(names(weights), (std::vector<std::string>{"a.k_proj.weight"}));
  EXPECT_EQ(weights.dropped.size(), 5u);
}

TEST(Weights, CacheScaleOfManyValuesIsNone) {
  QuantizedFiles files;
  files.add_f32("a.k_scale", {1, 2}, {2}).add("b.v_scale", U8, {});
  EXPECT_EQ(names(bound(files)), (std::vector<std::string>{"a.k_scale", "b.v_scale"}));
}

TEST(Weights, ScalesThatBelongToNothingStayTensors) {
  QuantizedFiles files;
  files.add("x.weight", BF16, {4, 32}).add_f32("x.weight_scale", {1}).add_f32("y.input_scale", {1});
  EXPECT_EQ(names(bound(files)), (std::vector<std::string>{"x.weight", "x.weight_scale", "y.input_scale"}));
}

TEST(Weights, OneTensorTwoFormsIsBoundOnce) {  // U8 codes with scales of either kind: the scales' dtype tells
  QuantizedFiles files;
  files.add("x.weight", U8, {4, 16}).add("x.weight_scale", U8, {4, 1}).add("x.scale", F8_E8M0, {4, 1});
  const Weights weights = bound(files);
  EXPECT_EQ(names(weights), (std::vector<std::string>{"x.scale", "x.weight"}));
}

// ---- problems: one per message

std::string problem(const QuantizedFiles& files) { return only(files).problem; }

TEST(WeightProblem, MissingScales) {
  QuantizedFiles nvfp4, fp8, packed, words, blocks;
  EXPECT_EQ(problem(nvfp4.add("x.weight", U8, {4, 16})),
            "is U8, and the scales of a quantized weight are missing (*.weight_scale, *.scale, of a known dtype)");
  EXPECT_EQ(
      problem(fp8.add("x.weight", F8_E4M3, {4, 16})),
      "is F8_E4M3, and the scales of a quantized weight are missing (*.weight_scale, *.weight_scale_inv, *.scale, of a known "
      "dtype)");
  EXPECT_EQ(problem(packed.add("x.weight_packed", U8, {4, 16})),
            "is U8, and the scales of a quantized weight are missing (*.weight_scale, of a known dtype)");
  EXPECT_EQ(problem(words.add("x.weight_packed", I32, {4, 16})),
            "is I32, and the scales of a quantized weight are missing (*.weight_scale, of a known dtype)");
  EXPECT_EQ(problem(blocks.add("x_blocks", U8, {4, 2, 16})),
            "is U8, and the scales of a quantized weight are missing (*_scales, of a known dtype)");
}

TEST(WeightProblem, ScalesOfAnUnknownDType) {
  QuantizedFiles files;
  files.add("x.weight", U8, {4, 16}).add("x.weight_scale", I64, {4, 2});
  const Weights weights = bound(files);
  EXPECT_TRUE(weights.all[0].problem.starts_with("is U8, and the scales of a quantized weight are missing"));
}

TEST(WeightProblem, MissingTensorScale) {
  QuantizedFiles model_opt, compressed;
  EXPECT_EQ(problem(model_opt.add("x.weight", U8, {4, 16}).add("x.weight_scale", F8_E4M3, {4, 2})),
            "NVFP4 without tensor \"x.weight_scale_2\"");
  EXPECT_EQ(problem(compressed.add("x.weight_packed", U8, {4, 16}).add("x.weight_scale", F8_E4M3, {4, 2})),
            "NVFP4 without tensor \"x.weight_global_scale\"");
}

TEST(WeightProblem, CodesThatAreNoMatrix) {
  QuantizedFiles vector, four, empty;
  EXPECT_EQ(problem(vector.add("x.weight", U8, {16}).add("x.weight_scale", F8_E4M3, {2}).add_f32("x.weight_scale_2", {1})),
            "NVFP4 codes of shape [16], expected a matrix or a stack of them");
  EXPECT_EQ(problem(four.add("x_blocks", U8, {2, 2, 2, 2, 16}).add("x_scales", U8, {2, 2, 2, 2})),
            "MXFP4 codes of shape [2, 2, 2, 2, 16], expected a matrix or a stack of them");
  EXPECT_EQ(problem(empty.add("x.weight", F8_E4M3, {0, 16}).add_f32("x.weight_scale", {1})),
            "FP8 codes of shape [0, 16], expected a matrix or a stack of them");
}

TEST(WeightProblem, ScalesOfAnotherShape) {
  QuantizedFiles groups, ragged, words, blocks;
  EXPECT_EQ(problem(groups.add("x.weight", U8, {4, 16}).add("x.weight_scale", F8_E4M3, {2, 4}).add_f32("x.weight_scale_2", {1})),
            "tensor \"x.weight_scale\" of shape [2, 4] for NVFP4 values [4, 32], expected [4, 2] for groups of 16");
  EXPECT_EQ(problem(ragged.add("x.weight", U8, {4, 12}).add("x.weight_scale", F8_E4M3, {4, 2}).add_f32("x.weight_scale_2", {1})),
            "tensor \"x.weight_scale\" of shape [4, 2] for NVFP4 values [4, 24], expected [4, 1] for groups of 16")
      << "24 values are no whole groups";
  EXPECT_EQ(problem(words.add("x.weight_packed", I32, {4, 8}).add("x.weight_scale", BF16, {4, 3})),
            "tensor \"x.weight_scale\" of shape [4, 3] for INT4 values [4, 64], expected [4, 64] divided along rows");
  EXPECT_EQ(
      problem(blocks.add("x.weight", F8_E4M3, {200, 300}).add("x.weight_scale_inv", F32, {2, 2})),
      "tensor \"x.weight_scale_inv\" of shape [2, 2] for FP8 values [200, 300], expected one, [200] or [2, 3] for blocks of "
      "128x128");
}

TEST(WeightProblem, TensorScaleOfAnotherShapeOrDType) {
  QuantizedFiles many, text, input;
  const auto nvfp4 = [](QuantizedFiles& files) -> QuantizedFiles& {
    return files.add("e.up", U8, {3, 4, 16}).add("e.up_weight_scale", F8_E4M3, {3, 4, 2});
  };
  EXPECT_EQ(problem(nvfp4(many).add_f32("e.up_weight_scale_2", {1, 2}, {2})),
            "tensor \"e.up_weight_scale_2\" is F32 [2], expected one number or 3");
  EXPECT_EQ(problem(nvfp4(text).add("e.up_weight_scale_2", U8, {})),
            "tensor \"e.up_weight_scale_2\" is U8 [], expected one number or 3");
  EXPECT_EQ(problem(input.add("x.weight", F8_E4M3, {4, 32}).add_f32("x.weight_scale", {1}).add_f32("x.input_scale", {1, 2}, {2})),
            "tensor \"x.input_scale\" is F32 [2], expected one number");
}

TEST(WeightProblem, StoredShapeThatIsNone) {
  QuantizedFiles floats, three;
  floats.add("x.weight_packed", I32, {4, 8}).add("x.weight_scale", BF16, {4, 2}).add("x.weight_shape", F32, {2});
  EXPECT_EQ(problem(floats), "tensor \"x.weight_shape\" is no shape of 2 dimensions");
  three.add("x.weight_packed", I32, {4, 8}).add("x.weight_scale", BF16, {4, 2}).add("x.weight_shape", I32, {3});
  EXPECT_EQ(problem(three), "tensor \"x.weight_shape\" is no shape of 2 dimensions");
}

TEST(WeightProblem, AsymmetricAndReorderedCodes) {
  for (const std::string what : {"weight_zero_point", "weight_g_idx"}) {
    QuantizedFiles files;
    files.add("x.weight_packed", I32, {4, 8}).add("x.weight_scale", BF16, {4, 2}).add("x." + what, I32, {4});
    const Weights weights = bound(files);
    const auto w = std::ranges::find(weights.all, "x.weight", &Weight::name);
    ASSERT_NE(w, weights.all.end());
    EXPECT_EQ(w->problem, "has tensor \"x." + what + "\": asymmetric or reordered codes are not known");
  }
}

// ---- reading

QuantizedFiles& with_tensor_scale(QuantizedFiles& files, const std::string& name, float value) {
  files.add(name + ".weight", U8, {4, 16}).add(name + ".weight_scale", F8_E4M3, {4, 2});
  return files.add_f32(name + ".weight_scale_2", {value});
}

TEST(TensorScales, ZeroNegativeOrNoNumberIsRefused) {
  const std::pair<float, std::string> bad[] = {{0.0f, "0"},
                                               {-0.0f, "-0"},
                                               {-1.5f, "-1.5"},
                                               {std::numeric_limits<float>::infinity(), "inf"},
                                               {std::numeric_limits<float>::quiet_NaN(), "nan"}};
  for (const auto& [value, text] : bad) {
    QuantizedFiles files;
    with_tensor_scale(files, "x", value);
    expect_error(Exit::kBadInput,
                 "model.safetensors: tensor \"x.weight_scale_2\": is " + text + ", expected a finite number above zero",
                 [&] { read(files); });
  }
}

TEST(TensorScales, DivisorWhoseReciprocalIsNoNumberIsRefused) {
  QuantizedFiles files;
  files.add("x.weight_packed", U8, {4, 16})
      .add("x.weight_scale", F8_E4M3, {4, 2})
      .add_f32("x.weight_global_scale", {1e-39f}, {1});
  expect_error(
      Exit::kBadInput,
      "model.safetensors: tensor \"x.weight_global_scale\": is 1.00000022e-39, expected a finite number above zero whose "
      "reciprocal is one too",
      [&] { read(files); });
}

TEST(TensorScales, AllBadOnesAreCounted) {
  QuantizedFiles files;
  with_tensor_scale(files, "a", 1);
  for (const char* name : {"b", "c", "d"}) with_tensor_scale(files, name, 0);
  const Checkpoint checkpoint = files.open();
  Weights weights = bind_weights(checkpoint, {});
  expect_error(Exit::kBadInput,
               "model.safetensors: tensor \"b.weight_scale_2\": is 0, expected a finite number above zero (and 2 more scales)",
               [&] {
                 read_tensor_scales(checkpoint.shards(), std::vector<uint32_t>{0, 1, 2, 3}, weights.all);
               });
  read_tensor_scales(checkpoint.shards(), std::vector<uint32_t>{0}, weights.all);  // of what is used alone
}

TEST(TensorScales, BadScaleOfActivationsIsLeftToWhoWritesIt) {
  QuantizedFiles files;
  EXPECT_EQ(read(with_tensor_scale(files, "x", 1).add_f32("x.input_scale", {-1})).input_scales, (std::vector<float>{-1}));
}

std::string words_of(const std::vector<int32_t>& values) {
  std::string bytes(values.size() * 4, '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

TEST(TensorScales, StoredShapeIsCompared) {
  const auto files_with = [](const std::vector<int32_t>& shape) {
    QuantizedFiles files;
    files.add("x.weight_packed", I32, {4, 8})
        .add("x.weight_scale", BF16, {4, 2})
        .add("x.weight_shape", I32, {2}, words_of(shape));
    return read(files).shape;
  };
  EXPECT_EQ(files_with({4, 64}), (std::vector<uint64_t>{4, 64}));
  expect_error(
      Exit::kBadInput,
      "model.safetensors: tensor \"x.weight_shape\": says [4, 60], the codes are [4, 64]: rows padded to whole words are not "
      "known",
      [&] {
        files_with({4, 60});
      });
  expect_error(Exit::kBadInput, "model.safetensors: tensor \"x.weight_shape\": says [5, 64], the codes are [4, 64]", [&] {
    files_with({5, 64});
  });
}

TEST(TensorScales, OfAnFp8TensorWithPowersOfTwo) {
  QuantizedFiles files;
  files.add("x.weight", F8_E4M3, {4, 32}).add("x.scale", F8_E8M0, {1, 1}, "\x7e");
  EXPECT_EQ(read(files).tensor_scales, (std::vector<float>{0.5f}));
}

TEST(TensorScales, FileThatChangedIsRefused) {
  QuantizedFiles files;
  const Checkpoint checkpoint = with_tensor_scale(files, "x", 1).open();
  Weights weights = bind_weights(checkpoint, {});
  files.folder.write("model.safetensors", "something else");
  expect_error(Exit::kBadInput, "model.safetensors: changed while it was read",
               [&] { read_tensor_scales(checkpoint.shards(), std::vector<uint32_t>{0}, weights.all); });
}

}  // namespace
}  // namespace ggufmill
