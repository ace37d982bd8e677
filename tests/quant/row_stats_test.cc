#include "quant/row_stats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/quant/each_target.h"

namespace ggufmill {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// The order of additions that row_stats.h promises, written from its words.
double lane_sum(std::span<const double> terms) {
  double lane[8] = {};
  for (size_t i = 0; i < terms.size(); ++i) lane[i % 8] += terms[i];
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

TEST(RowError, SumsSquaresOfARow) {
  const std::vector<float> source{3, 0, -4, 0};
  const std::vector<float> decoded{3, 1, -2, 0};
  const RowError row = row_error(source, decoded, 4);
  EXPECT_EQ(row.squared_error, 5);
  EXPECT_EQ(row.squared_value, 25);
  EXPECT_EQ(row.worst_block, std::sqrt(5.0 / 25.0));
}

TEST(RowError, AddsInTheOrderItPromises) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const uint32_t block_elems : {1u, 32u, 64u, 256u}) {
    std::vector<float> source(block_elems == 1 ? 77 : 3 * block_elems), decoded(source.size());
    for (float& x : source) x = normal(random) * std::exp(4 * normal(random));
    for (size_t i = 0; i < source.size(); ++i) decoded[i] = source[i] * (1 + 0.1f * normal(random));
    const size_t step = block_elems == 1 ? kFloatBlockElems : block_elems;
    double error = 0, value = 0, worst = 0;
    for (size_t start = 0; start < source.size(); start += step) {
      std::vector<double> e2, x2;
      for (size_t i = start; i < std::min(start + step, source.size()); ++i) {
        const double x = source[i], d = static_cast<double>(decoded[i]) - x;
        e2.push_back(d * d);
        x2.push_back(x * x);
      }
      error += lane_sum(e2);
      value += lane_sum(x2);
      worst = std::max(worst, std::sqrt(lane_sum(e2) / lane_sum(x2)));
    }
    on_each_simd_target([&](const std::string& target) {
      const RowError row = row_error(source, decoded, block_elems);
      EXPECT_EQ(row.squared_error, error) << block_elems << " " << target;
      EXPECT_EQ(row.squared_value, value) << block_elems << " " << target;
      EXPECT_EQ(row.worst_block, worst) << block_elems << " " << target;
    });
  }
}

TEST(RowError, FindsTheWorstBlock) {
  std::vector<float> source(96, 1.0f), decoded(96, 1.0f);
  decoded[5] = 1.5f;    // block 0
  decoded[40] = -1.0f;  // block 1: error 2 of norm sqrt(32)
  EXPECT_EQ(row_error(source, decoded, 32).worst_block, std::sqrt(4.0 / 32.0));
}

TEST(RowError, TakesABlockOfZerosAsPerfectOnlyIfItStaysZero) {
  std::vector<float> source(32, 0.0f), decoded(32, 0.0f);
  EXPECT_EQ(row_error(source, decoded, 32).worst_block, 0);
  decoded[3] = 1e-3f;
  EXPECT_EQ(row_error(source, decoded, 32).worst_block, std::numeric_limits<double>::infinity());
}

TEST(RowError, CountsNonFiniteValuesAndLeavesThemOut) {
  std::vector<float> source(40, 2.0f), decoded(40, 2.0f);
  source[1] = kNan;
  source[2] = kInf;
  source[33] = -kInf;
  decoded[3] = kInf;  // what F16 makes of 1e6
  decoded[4] = kNan;
  decoded[39] = 1.0f;
  const RowError row = row_error(source, decoded, 1);
  EXPECT_EQ(row.nan_count, 1u);
  EXPECT_EQ(row.inf_count, 2u);
  EXPECT_EQ(row.overflow_count, 2u);
  EXPECT_EQ(row.squared_error, 1.0);
  EXPECT_EQ(row.squared_value, 4.0 * 35);
}

TEST(RowError, HoldsTheLargestFloats) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const std::vector<float> source(64, kMax), decoded(64, -kMax);
  const RowError row = row_error(source, decoded, 32);
  EXPECT_EQ(row.squared_error, 64 * 4 * static_cast<double>(kMax) * static_cast<double>(kMax));
  EXPECT_EQ(row.worst_block, 2.0);
}

TEST(RowError, IsZeroForNoValues) {
  const RowError row = row_error({}, {}, 256);
  EXPECT_EQ(row.squared_value, 0);
  EXPECT_EQ(row.worst_block, 0);
}

}  // namespace
}  // namespace ggufmill
