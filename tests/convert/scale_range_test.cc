#include "convert/scale_range.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/convert/quantized_files.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

using enum DType;

struct Found {
  std::vector<Weight> weights;
  std::vector<WeightScales> scales;
  std::vector<Finding> findings;
};

Found ranges_of(const QuantizedFiles& files, bool groups = true) {
  const Checkpoint checkpoint = files.open();
  Found found{bind_weights(checkpoint, {}).all, {}, {}};
  found.scales = scale_ranges(checkpoint.shards(), found.weights, groups, found.findings);
  return found;
}

QuantizedFiles& nvfp4(QuantizedFiles& files, const std::string& name, const std::string& scales, float tensor_scale = 0.25f) {
  files.add(name + ".weight", U8, {2, 16}).add(name + ".weight_scale", F8_E4M3, {2, 2}, scales);
  return files.add_f32(name + ".weight_scale_2", {tensor_scale});
}

TEST(ScaleRange, OfGroupsAndOfTheWhole) {
  QuantizedFiles files;
  nvfp4(files, "a", "\x38\x40\x30\x7e").add("b.weight", BF16, {4, 4});
  files.add("c.weight", F8_E4M3, {4, 4}).add_f32("c.weight_scale", {3});
  const Found found = ranges_of(files);
  ASSERT_EQ(found.scales.size(), 3u);
  EXPECT_EQ(found.scales[0].groups->least, 0.5f);
  EXPECT_EQ(found.scales[0].groups->most, 448);
  EXPECT_EQ(found.scales[0].tensor->least, 0.25f);
  EXPECT_EQ(found.scales[0].tensor->most, 0.25f);
  EXPECT_FALSE(found.scales[1].groups || found.scales[1].tensor) << "not quantized";
  EXPECT_FALSE(found.scales[2].groups);
  EXPECT_EQ(found.scales[2].tensor->most, 3);
  EXPECT_TRUE(found.findings.empty());
  EXPECT_EQ(group_scale_bytes(found.weights), 4u);
}

TEST(ScaleRange, GroupsOnlyWhereTheyAreWanted) {
  QuantizedFiles files;
  const Found found = ranges_of(nvfp4(files, "a", "\x38\x40\x30\x7e"), false);
  EXPECT_FALSE(found.scales[0].groups);
  EXPECT_TRUE(found.scales[0].tensor);
}

TEST(ScaleRange, BadScalesAreFindingsAndTheOthersStillCount) {
  QuantizedFiles files;
  nvfp4(nvfp4(nvfp4(files, "a", "\x38\x7f\x40\xff"), "b", "\x38\x38\x38\x38", -1), "c", "\xb8\x38\x38\x38", 0);
  const Found found = ranges_of(files);
  EXPECT_EQ(found.scales[0].groups->least, 1);
  EXPECT_EQ(found.scales[0].groups->most, 2);
  EXPECT_FALSE(found.scales[1].tensor);
  EXPECT_EQ(found.scales[1].groups->most, 1);
  std::vector<std::string> texts;
  for (const Finding& f : found.findings) {
    EXPECT_EQ(f.severity, Severity::kError);
    EXPECT_EQ(f.file, "model.safetensors");
    texts.push_back(f.tensor + " " + f.message);
  }
  EXPECT_EQ(texts,
            (std::vector<std::string>{"b.weight_scale_2 is -1, expected a finite number above zero",
                                      "c.weight_scale_2 is 0, expected a finite number above zero",
                                      "a.weight_scale scale 1 of row 0 is NaN", "c.weight_scale scale 0 of row 0 is negative"}));
}

TEST(ScaleRange, WeightsWithAProblemArePassedOver) {
  QuantizedFiles files;
  files.add("a.weight", U8, {2, 16}).add("a.weight_scale", F8_E4M3, {2, 3}).add_f32("a.weight_scale_2", {1});
  const Found found = ranges_of(files);
  EXPECT_NE(found.weights[0].problem, "");
  EXPECT_FALSE(found.scales[0].groups || found.scales[0].tensor);
}

TEST(ScaleRange, ManyPieces) {
  std::string scales(3'000'000 * 2, '\x38');
  scales[5'999'999] = '\x7f';
  scales[2] = '\x30';
  scales[4'500'000] = '\x40';
  QuantizedFiles files;
  files.add("a.weight", U8, {3'000'000, 16}).add("a.weight_scale", F8_E4M3, {3'000'000, 2}, scales);
  const Found found = ranges_of(files.add_f32("a.weight_scale_2", {1}));
  EXPECT_EQ(found.scales[0].groups->least, 0.5f);
  EXPECT_EQ(found.scales[0].groups->most, 2);
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_EQ(found.findings[0].message, "scale 1 of row 2999999 is NaN");
}

TEST(ScaleRange, FileThatChangedIsRefused) {
  QuantizedFiles files;
  files.add("a.weight", U8, {2, 32}).add("a.weight_scale", U8, {2, 2});
  const Checkpoint checkpoint = files.open();
  std::vector<Weight> weights = bind_weights(checkpoint, {}).all;
  files.folder.write("model.safetensors", "something else");
  std::vector<Finding> findings;
  expect_error(Exit::kBadInput, "model.safetensors: changed while it was read",
               [&] { scale_ranges(checkpoint.shards(), weights, true, findings); });
}

}  // namespace
}  // namespace ggufmill
