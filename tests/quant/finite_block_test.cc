#include "quant/finite_block.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace ggufmill {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

TEST(FiniteBlock, PutsTheLargestBetweenOneAndTwo) {
  const std::vector<float> values{0.02f, -0.05f, 0};
  float x[3];
  const BlockUnit unit = load_block(values.data(), 3, x);
  EXPECT_FALSE(unit.zero);
  EXPECT_EQ(unit.up, 0x1p-5f);
  EXPECT_EQ(x[1], -0.05f * 32);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(x[i] * unit.up, values[i]);
}

TEST(FiniteBlock, ReplacesNanAndInfinity) {
  const std::vector<float> values{kNan, INFINITY, -INFINITY, 3};
  float x[4];
  EXPECT_EQ(copy_finite(values.data(), 4, x), 3);
  EXPECT_EQ((std::vector<float>(x, x + 4)), (std::vector<float>{0, 3, -3, 3}));
}

TEST(FiniteBlock, TakesInfinityAloneAsTheLargestHalf) {
  const std::vector<float> values{-INFINITY, 0, kNan};
  float x[3];
  EXPECT_EQ(copy_finite(values.data(), 3, x), kF16Max);
  EXPECT_EQ((std::vector<float>(x, x + 3)), (std::vector<float>{-kF16Max, 0, 0}));
}

TEST(FiniteBlock, HoldsTheLargestFloats) {
  const std::vector<float> values{kMax, -kMax / 2};
  float x[2];
  const BlockUnit unit = load_block(values.data(), 2, x);
  EXPECT_LT(x[0], 2);
  EXPECT_GE(x[0], 1);
  EXPECT_EQ(unit.scale_bits(1), 0x7BFF) << "saturates";
}

TEST(FiniteBlock, IsZeroWhereNothingReachesHalfAStep) {
  float x[2];
  const std::vector<float> tiny{0x1.fp-26f, -1e-30f}, enough{0x1p-25f, 0}, none{0, -0.0f}, nan{kNan, kNan};
  EXPECT_TRUE(load_block(tiny.data(), 2, x).zero);
  EXPECT_FALSE(load_block(enough.data(), 2, x).zero);
  EXPECT_TRUE(load_block(none.data(), 2, x).zero);
  EXPECT_TRUE(load_block(nan.data(), 2, x).zero);
}

TEST(BlockUnit, RoundsScalesAsTheBlockWillHoldThem) {
  const std::vector<float> values{1e-5f};
  float x[1];
  const BlockUnit unit = load_block(values.data(), 1, x);
  const float scale = x[0] / 100;  // 1e-7: between 1 and 2 of the smallest steps
  EXPECT_EQ(unit.scale_bits(scale), 2);
  EXPECT_EQ(unit.rounded(scale) * unit.up, 2 * kF16Tiny);
  EXPECT_EQ(unit.rounded(x[0] / 1000) * unit.up, kF16Tiny) << "not zero";
  EXPECT_EQ(unit.rounded(-x[0] / 1000) * unit.up, -kF16Tiny);
  EXPECT_EQ(unit.rounded(0), 0);
  EXPECT_EQ(unit.rounded_up(x[0] / 150) * unit.up, 2 * kF16Tiny);
  EXPECT_EQ(unit.rounded_up(-x[0] / 150) * unit.up, -2 * kF16Tiny);
}

}  // namespace
}  // namespace ggufmill
