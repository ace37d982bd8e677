#include "quant/grid8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace ggufmill {
namespace {

std::array<int, 8> digits(unsigned number) {
  std::array<int, 8> level;
  for (int& l : level) {
    l = static_cast<int>(number % 3);
    number /= 3;
  }
  return level;
}

int distance(const std::array<int, 8>& a, const std::array<int, 8>& b, const std::array<int, 3>& values) {
  int sum = 0;
  for (size_t e = 0; e < 8; ++e) {
    const int off = values[static_cast<size_t>(a[e])] - values[static_cast<size_t>(b[e])];
    sum += off * off;
  }
  return sum;
}

constexpr std::array<int, 3> kIq2 = {8, 25, 43}, kIq1 = {-1, 0, 1};

template <size_t kPoints>
void check(const std::array<uint16_t, kPoints>& points, const Grid8<kPoints>& grid,
           const std::array<Grid8Values, kPoints>& values, const int32_t* nearest, const std::array<int, 3>& level_values) {
  EXPECT_TRUE(std::ranges::adjacent_find(points, std::ranges::greater_equal()) == points.end()) << "ascending, none twice";
  EXPECT_LT(points.back(), kGrid8Cells);
  std::vector<std::array<int, 8>> levels;
  for (size_t k = 0; k < kPoints; ++k) {
    levels.push_back(digits(points[k]));
    for (size_t e = 0; e < 8; ++e) {
      const int level = levels[k][e];
      ASSERT_EQ(grid.levels[k] >> (2 * e) & 3, level);
      ASSERT_EQ(e % 2 == 0 ? grid.pair[e / 2][k] % 3 : grid.pair[e / 2][k] / 3, level);
      ASSERT_EQ(values[k][e], static_cast<float>(level_values[static_cast<size_t>(level)]));
    }
  }
  for (unsigned cell = 0; cell < kGrid8Cells; ++cell) {
    const auto index = static_cast<size_t>(nearest[cell]) >> 16;
    ASSERT_LT(index, kPoints);
    ASSERT_EQ(nearest[cell] & 0xFFFF, grid.levels[index]);
    const auto middle = digits(cell);
    const int least = distance(middle, levels[index], level_values);
    for (size_t k = 0; k < kPoints; ++k) {
      const int other = distance(middle, levels[k], level_values);
      ASSERT_TRUE(k < index ? other > least : other >= least) << "cell " << cell << ", point " << k;
    }
  }
}

TEST(Grid8, HoldsThePointsAndTheNearestOfEveryCell) {
  check(kIq2XxsPoints, kIq2XxsGrid, kIq2XxsValues, kIq2XxsNearest, kIq2);
  check(kIq2XsPoints, kIq2XsGrid, kIq2XsValues, kIq2XsNearest, kIq2);
  check(kIq2SPoints, kIq2SGrid, kIq2SValues, kIq2SNearest, kIq2);
  check(kIq1Points, kIq1Grid, kIq1Values, kIq1Nearest, kIq1);
}

TEST(Grid8, SignsOfEight) {
  for (unsigned s = 0; s < 256; ++s) {
    for (size_t e = 0; e < 8; ++e) ASSERT_EQ(kSignsOfEight[s][e], (s >> e & 1) != 0 ? -1.0f : 1.0f);
  }
  EXPECT_EQ(even_signs(0), 0u);
  EXPECT_EQ(even_signs(0x51), 0xD1u);
  EXPECT_EQ(even_signs(0x50), 0x50u);
}

}  // namespace
}  // namespace ggufmill
