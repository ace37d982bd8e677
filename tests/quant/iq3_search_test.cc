// The search of IQ3_S and IQ3_XXS: every effort on every SIMD target, and its points against the whole codebook.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "quant/f16.h"
#include "quant/iq3_grids.h"
#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

constexpr Effort kEfforts[] = {Effort::kFast, Effort::kDefault, Effort::kMax};
constexpr size_t kColumns = 11 * 256;  // an odd number of super-blocks: they are searched in pairs

std::vector<std::byte> encoded(const Codec& codec, std::span<const float> row, std::span<const float> importance, Effort effort) {
  const GgmlTypeInfo& type = info(codec.type);
  std::vector<std::byte> blocks(row.size() / type.block_elems * type.block_bytes);
  codec.encode(row, {.importance = importance, .effort = effort}, blocks);
  return blocks;
}

class Iq3Search : public testing::TestWithParam<GgmlType> {
 protected:
  const Codec& codec() const { return *find_codec(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Types, Iq3Search, testing::Values(GgmlType::IQ3_S, GgmlType::IQ3_XXS),
                         [](const auto& type) { return std::string(name(type.param)); });

TEST_P(Iq3Search, FindsLessErrorWithMoreEffort) {
  const std::vector<float> row = sample_row(kColumns, 1), importance = sample_importance(kColumns, 2);
  for (const std::vector<float>& weights : {std::vector<float>(), importance}) {
    double before = std::numeric_limits<double>::max();
    for (const Effort effort : kEfforts) {
      const double error = relative_error(row, decode_row(codec(), encoded(codec(), row, weights, effort)), weights);
      EXPECT_LT(error, 0.998 * before);
      before = error;
    }
  }
}

TEST_P(Iq3Search, WritesTheSameBytesOnEverySimdTargetWithEveryEffort) {
  std::vector<float> row = sample_row(kColumns, 3), importance = sample_importance(kColumns, 4);
  for (size_t i = 256; i < 512; ++i) row[i] *= 1e-5f;  // denormal scales
  for (size_t i = 512; i < 768; ++i) row[i] = 0.02f;   // every choice a tie
  for (size_t i = 768; i < 1024; ++i) importance[i] = i == 800 ? 1e20f : 0.0f;
  row[1030] = 1e6f;
  for (size_t i = 1280; i < 1536; ++i) row[i] *= 1e30f;
  for (const Effort effort : kEfforts) {
    const std::vector<std::byte> flat = encoded(codec(), row, {}, effort), weighted = encoded(codec(), row, importance, effort);
    on_each_simd_target([&](const std::string& target) {
      EXPECT_EQ(encoded(codec(), row, {}, effort), flat) << target;
      EXPECT_EQ(encoded(codec(), row, importance, effort), weighted) << target;
    });
  }
}

// A lone large value among small ones: no point of the codebooks is like (15, 1, 1, 1), but zeros are never the better answer.
TEST_P(Iq3Search, SurvivesOutliers) {
  for (const float outlier : {1.0f, 30.0f, 1e6f}) {
    std::vector<float> row = sample_row(kColumns, 5);
    for (size_t i = 77; i < kColumns; i += 256) row[i] = i % 512 < 256 ? outlier : -outlier;
    for (const Effort effort : kEfforts) {
      const std::vector<float> back = decode_row(codec(), encoded(codec(), row, {}, effort));
      EXPECT_LT(relative_error(row, back), 0.55) << outlier;
      for (size_t i = 77; i < kColumns; i += 256) EXPECT_NEAR(back[i] / row[i], 1, 0.3) << outlier;
    }
  }
}

// Signs are free in IQ3_S, so a group of four stands alone: the points chosen are compared with the best of all 512.
TEST(Iq3Points, CostLittleMoreThanTheBestOfTheWholeCodebook) {
  const Codec& codec = *find_codec(GgmlType::IQ3_S);
  const std::vector<float> row = sample_row(kColumns, 6), importance = sample_importance(kColumns, 7);
  const std::vector<std::byte> blocks = encoded(codec, row, importance, Effort::kDefault);
  const std::vector<float> back = decode_row(codec, blocks);
  double chosen = 0, best = 0;
  for (size_t i = 0; i < kColumns; i += 4) {
    const std::byte* block = &blocks[i / 256 * 110];
    const size_t sub_block = i % 256 / 32;
    const unsigned level = std::to_integer<unsigned>(block[106 + sub_block / 2]) >> (sub_block % 2 * 4) & 15;
    const float scale = load_f16(block) * static_cast<float>(2 * level + 1);
    const auto cost_of = [&](auto decoded) {
      double cost = 0;
      for (size_t e = 0; e < 4; ++e) {
        const double off = decoded(e) - static_cast<double>(std::fabs(row[i + e]));
        cost += importance[i + e] * off * off;
      }
      return cost;
    };
    chosen += cost_of([&](size_t e) { return std::fabs(back[i + e]); });
    double least = std::numeric_limits<double>::max();
    for (const std::array<float, 4>& point : kIq3SGrid.values) {
      least = std::min(least, cost_of([&](size_t e) { return scale * point[e]; }));
    }
    best += least;
  }
  EXPECT_LE(best, chosen * (1 + 1e-6));
  EXPECT_LE(chosen, 1.02 * best);
}

}  // namespace
}  // namespace ggufmill
