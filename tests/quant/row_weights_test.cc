#include "quant/row_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ggufmill {
namespace {

std::vector<float> weights(const std::vector<float>& importance, size_t columns) {
  std::vector<float> w(columns);
  const std::vector<float> x(columns, 1.0f);
  RowWeights({.importance = importance}).load(0, columns, x.data(), w.data());
  return w;
}

TEST(RowWeights, AreImportanceOverItsMeanPlusAFloor) {
  const std::vector<float> w = weights({1, 2, 3, 2}, 4);
  EXPECT_EQ(w, (std::vector<float>{0.5f + 1.0f / 32, 1 + 1.0f / 32, 1.5f + 1.0f / 32, 1 + 1.0f / 32}));
}

TEST(RowWeights, AreOneWithoutImportance) {
  EXPECT_EQ(weights({}, 3), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(weights({0, 0, 0}, 3), (std::vector<float>{1, 1, 1}));
}

TEST(RowWeights, LoadAnyRange) {
  const std::vector<float> importance{4, 0, 2, 2};
  const float x[2] = {1, 1};
  float w[2];
  RowWeights({.importance = importance}).load(1, 2, x, w);
  EXPECT_EQ(w[0], 1.0f / 32);
  EXPECT_EQ(w[1], 1 + 1.0f / 32);
}

TEST(RowWeights, MayGrowWithTheValue) {
  const std::vector<float> importance{1, 1};
  const float x[2] = {0, 2};
  float w[2];
  RowWeights({.importance = importance, .objective = Objective::kImportanceTimesMagnitude}).load(0, 2, x, w);
  EXPECT_FLOAT_EQ(w[0], (1 + 1.0f / 32) * std::sqrt(2.0f));
  EXPECT_FLOAT_EQ(w[1], (1 + 1.0f / 32) * std::sqrt(6.0f));
}

TEST(RowWeights, DoNotDependOnTheUnit) {
  for (const float unit : {std::numeric_limits<float>::denorm_min(), 1e-38f, 1e30f, 1e38f}) {
    for (const float w : weights({unit, unit, unit}, 3)) EXPECT_NEAR(w, 1 + 1.0f / 32, 1e-6) << unit;
  }
  const float huge = std::numeric_limits<float>::max();
  for (const float w : weights({huge, huge}, 2)) EXPECT_NEAR(w, 1 + 1.0f / 32, 1e-6);
}

TEST(RowWeights, TakeImpossibleValuesAsZero) {
  const std::vector<float> w = weights({std::numeric_limits<float>::quiet_NaN(), INFINITY, -1, 4}, 4);
  EXPECT_EQ(w, (std::vector<float>{1.0f / 32, 1.0f / 32, 1.0f / 32, 4 + 1.0f / 32}));
}

}  // namespace
}  // namespace ggufmill
