#include "quant/iq3_grids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ggufmill {
namespace {

int distance(const Iq3Grid& grid, size_t cell, uint16_t point) {
  int sum = 0;
  for (size_t e = 0; e < 4; ++e) {
    const int off = grid.magnitude(point, e) - grid.unit * (2 * static_cast<int>(cell >> (3 * e) & 7) + 1);
    sum += off * off;
  }
  return sum;
}

void check(const Iq3Grid& grid, const Iq3Neighbours& near, int step) {
  for (size_t cell = 0; cell < Iq3Neighbours::kCells; ++cell) {
    std::set<size_t> listed;
    int farthest = 0;
    for (size_t c = 0; c < Iq3Neighbours::kNear; ++c) {
      uint16_t point = 0;
      uint32_t magnitudes = 0;
      for (size_t e = 0; e < 4; ++e) {
        const int off = static_cast<int8_t>(near.offsets[cell][c] >> (8 * e) & 255) * step;
        const int magnitude = grid.unit * (2 * static_cast<int>(cell >> (3 * e) & 7) + 1) + off;
        const auto level = std::ranges::find(grid.magnitudes, magnitude) - grid.magnitudes.begin();
        ASSERT_LT(level, 8);
        point |= static_cast<uint16_t>(level << (3 * e));
        magnitudes |= static_cast<uint32_t>(magnitude / step) << (8 * e);
      }
      if (c == 0) {
        ASSERT_EQ(near.nearest[cell], magnitudes);
      }
      ASSERT_NE(near.index[point], Iq3Neighbours::kNoPoint);
      listed.insert(near.index[point]);
      ASSERT_GE(distance(grid, cell, point), farthest) << "the nearest first";
      farthest = distance(grid, cell, point);
    }
    ASSERT_EQ(listed.size(), Iq3Neighbours::kNear) << "no point twice";
    for (size_t k = 0; k < grid.points.size(); ++k) {
      if (listed.contains(k)) continue;
      ASSERT_GE(distance(grid, cell, grid.points[k]), farthest) << "no nearer point left out";
    }
  }
  size_t points = 0;
  for (size_t cell = 0; cell < Iq3Neighbours::kCells; ++cell) {
    if (near.index[cell] == Iq3Neighbours::kNoPoint) continue;
    ++points;
    ASSERT_EQ(grid.points[near.index[cell]], cell);
  }
  EXPECT_EQ(points, grid.points.size());
}

TEST(Iq3Grids, ListTheNearestPointsOfEveryCell) {
  check(kIq3SGrid, kIq3SNeighbours, static_cast<int>(Iq3SSteps::kStep));
  check(kIq3XxsGrid, kIq3XxsNeighbours, static_cast<int>(Iq3XxsSteps::kStep));
}

TEST(Iq3Grids, HoldEachPointOnceInTheFormatsOrder) {
  for (const Iq3Grid* grid : {&kIq3SGrid, &kIq3XxsGrid}) {
    const std::set<uint16_t> points(grid->points.begin(), grid->points.end());
    EXPECT_EQ(points.size(), grid->points.size());
    EXPECT_LT(*points.rbegin(), 4096);
    for (size_t k = 0; k < grid->points.size(); ++k) {
      for (size_t e = 0; e < 4; ++e) ASSERT_EQ(grid->values[k][e], grid->magnitude(grid->points[k], e));
    }
  }
  EXPECT_EQ(kIq3SGrid.points.size(), 512u);
  EXPECT_EQ(kIq3XxsGrid.points.size(), 256u);
}

}  // namespace
}  // namespace ggufmill
