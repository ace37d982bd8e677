#include "quant/iq3_grids.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

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

void check(const Iq3Grid& grid, const Iq3Neighbours& near) {
  for (size_t cell = 0; cell < Iq3Neighbours::kCells; ++cell) {
    std::set<uint16_t> listed(near.index[cell], near.index[cell] + Iq3Neighbours::kNear);
    ASSERT_EQ(listed.size(), Iq3Neighbours::kNear) << "no point twice";
    int farthest = 0;
    for (size_t c = 0; c < Iq3Neighbours::kNear; ++c) {
      const uint16_t point = grid.points[near.index[cell][c]];
      ASSERT_GE(distance(grid, cell, point), farthest) << "the nearest first";
      farthest = distance(grid, cell, point);
      for (size_t e = 0; e < 4; ++e) ASSERT_EQ(near.magnitude[cell][e][c], grid.magnitude(point, e));
    }
    for (size_t k = 0; k < grid.points.size(); ++k) {
      if (!listed.contains(static_cast<uint16_t>(k))) {
        ASSERT_GE(distance(grid, cell, grid.points[k]), farthest) << "no nearer point left out";
      }
    }
    for (size_t e = 0; e < 4; ++e) ASSERT_EQ(near.nearest[cell] >> (8 * e) & 255, near.magnitude[cell][e][0]);
  }
}

TEST(Iq3Grids, ListTheNearestPointsOfEveryCell) {
  check(kIq3SGrid, iq3_s_neighbours());
  check(kIq3XxsGrid, iq3_xxs_neighbours());
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

TEST(Iq3Grids, AreBuiltOnceByManyThreads) {
  std::vector<const Iq3Neighbours*> seen(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < seen.size(); ++i)
    threads.emplace_back([&, i] { seen[i] = i % 2 == 0 ? &iq3_s_neighbours() : &iq3_xxs_neighbours(); });
  for (std::thread& t : threads) t.join();
  for (size_t i = 2; i < seen.size(); ++i) EXPECT_EQ(seen[i], seen[i % 2]);
}

}  // namespace
}  // namespace ggufmill
