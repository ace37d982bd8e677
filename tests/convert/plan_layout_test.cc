#include "convert/plan_layout.h"

#include <gtest/gtest.h>

#include "formats/metadata.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

// `sizes` rows of one F32 value each: a tensor of n rows has 4 n bytes.
Plan plan_with(const std::vector<uint64_t>& rows) {
  Plan plan;
  plan.stem = "m";
  for (size_t i = 0; i < rows.size(); ++i) {
    PlannedTensor t;
    t.name = "tensor." + std::to_string(i);
    t.ne = {1, rows[i]};
    plan.tensors.push_back(std::move(t));
  }
  return plan;
}

Metadata some_metadata() {
  Metadata metadata;
  metadata.set("general.architecture", "none");
  return metadata;
}

std::vector<uint32_t> tensors_per_file(const Plan& plan) {
  std::vector<uint32_t> counts;
  for (const PlannedFile& f : plan.files) counts.push_back(f.n_tensors);
  return counts;
}

TEST(PlanLayout, OneFileWithEveryTensorAtItsPaddedOffset) {
  Plan plan = plan_with({1, 8, 9});  // 4, 32 and 36 bytes
  lay_out(plan, some_metadata(), {});
  ASSERT_EQ(plan.files.size(), 1u);
  EXPECT_EQ(plan.files[0].name, "m.gguf");
  const uint64_t data = plan.files[0].header.size();
  EXPECT_EQ(data % kGgufAlignment, 0u);
  EXPECT_EQ(plan.tensors[0].extent, (Extent{data, 4}));
  EXPECT_EQ(plan.tensors[1].extent, (Extent{data + 32, 32}));
  EXPECT_EQ(plan.tensors[2].extent, (Extent{data + 64, 36}));
  EXPECT_EQ(plan.files[0].bytes, data + 128) << "the last padding belongs to the file";
}

TEST(PlanLayout, SplitByTensors) {
  Plan plan = plan_with({1, 1, 1, 1, 1});
  lay_out(plan, some_metadata(), {SplitOptions::Mode::kTensors, 0, 2});
  EXPECT_EQ(tensors_per_file(plan), (std::vector<uint32_t>{2, 2, 1}));
  EXPECT_EQ(plan.files[2].name, "m-00003-of-00003.gguf");
  EXPECT_EQ(plan.tensors[4].file, 2u);
  lay_out(plan, some_metadata(), {SplitOptions::Mode::kTensors, 0, 1ull << 40});
  EXPECT_EQ(tensors_per_file(plan), std::vector<uint32_t>{5});
}

TEST(PlanLayout, SplitBySizeNeverExceedsItUnlessOneTensorDoes) {
  Plan plan = plan_with({1000, 1000, 1000, 20000, 10, 10});  // 4 KB each, one of 80 KB
  constexpr uint64_t kLimit = 10'000;
  lay_out(plan, some_metadata(), {SplitOptions::Mode::kSize, kLimit, 0});
  EXPECT_EQ(tensors_per_file(plan), (std::vector<uint32_t>{2, 1, 1, 2}));
  for (const PlannedFile& f : plan.files) EXPECT_TRUE(f.bytes <= kLimit || f.n_tensors == 1) << f.name << " " << f.bytes;
  EXPECT_GT(plan.files[2].bytes, 80'000u) << "a tensor is never cut";
}

TEST(PlanLayout, SizeLimitCountsTheHeaderToo) {
  Plan whole = plan_with({100, 100});
  lay_out(whole, some_metadata(), {SplitOptions::Mode::kSize, 1 << 20, 0});
  ASSERT_EQ(whole.files.size(), 1u);
  // split keys are the header's in the cut, so the exact size of one file without them is not enough to decide: a byte less cuts.
  Plan cut = plan_with({100, 100});
  lay_out(cut, some_metadata(), {SplitOptions::Mode::kSize, whole.files[0].bytes - 1, 0});
  EXPECT_EQ(cut.files.size(), 2u);
}

TEST(PlanLayout, MoreThan64ShardsAreRefusedWithWhatIsEnough) {
  Plan plan = plan_with(std::vector<uint64_t>(100, 1000));
  const Error by_tensors = error_of([&] { lay_out(plan, some_metadata(), {SplitOptions::Mode::kTensors, 0, 1}); });
  EXPECT_EQ(by_tensors.code(), Exit::kUsage);
  EXPECT_EQ(by_tensors.message(), "--split-max-tensors: 100 shards, but llama.cpp's readers open at most 64");
  EXPECT_EQ(by_tensors.hint(), "--split-max-tensors 2 is enough");
  lay_out(plan, some_metadata(), {SplitOptions::Mode::kTensors, 0, 2});
  EXPECT_EQ(plan.files.size(), 50u);

  const Error by_size = error_of([&] { lay_out(plan, some_metadata(), {SplitOptions::Mode::kSize, 4096, 0}); });
  EXPECT_EQ(by_size.code(), Exit::kUsage);
  EXPECT_EQ(by_size.message(), "--split-max-size: 100 shards, but llama.cpp's readers open at most 64");
  const std::string enough = by_size.hint().substr(std::string("--split-max-size ").size());
  lay_out(plan, some_metadata(), {SplitOptions::Mode::kSize, std::stoull(enough), 0});
  EXPECT_LE(plan.files.size(), 64u) << "the hint holds";
}

TEST(PlanLayout, DefaultIsOneFileUpTo50GAnd50GShardsAbove) {
  Plan plan = plan_with({10'000'000'000});
  plan.tensors[0].ne = {1'000'000'000, 10};  // 40 GB
  lay_out(plan, some_metadata(), {});
  EXPECT_EQ(plan.files.size(), 1u);
  plan = plan_with({1, 1, 1, 1});
  for (PlannedTensor& t : plan.tensors) t.ne = {1'000'000'000, 6};  // 24 GB each
  lay_out(plan, some_metadata(), {});
  EXPECT_EQ(tensors_per_file(plan), (std::vector<uint32_t>{2, 2}));
  lay_out(plan, some_metadata(), {SplitOptions::Mode::kNone, 0, 0});
  EXPECT_EQ(plan.files.size(), 1u);
  plan = plan_with(std::vector<uint64_t>(100, 1));
  for (PlannedTensor& t : plan.tensors) t.ne = {1'000'000'000, 12};  // 48 GB each, 100 shards of 50 G would be too many
  lay_out(plan, some_metadata(), {});
  EXPECT_LE(plan.files.size(), kMaxShards);
}

TEST(PlanLayout, NoTensorsIsAHeader) {
  Plan plan = plan_with({});
  lay_out(plan, some_metadata(), {SplitOptions::Mode::kSize, 1000, 0});
  ASSERT_EQ(plan.files.size(), 1u);
  EXPECT_EQ(plan.files[0].bytes, plan.files[0].header.size());
}

}  // namespace
}  // namespace ggufmill
