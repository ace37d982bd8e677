#include "convert/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "tests/convert/small_plan.h"

namespace ggufmill {
namespace {

// A plan of one F32 tensor with `rows` rows of 4 values.
Plan plan_of_rows(uint64_t rows) {
  Plan plan;
  plan.stem = "m";
  PlannedTensor t;
  t.name = "t";
  t.ne = {4, rows};
  plan.tensors.push_back(t);
  lay_out(plan, {}, {});
  plan.shards.resize(1);
  return plan;
}

RowsRecord rows(uint64_t first, uint64_t n, double error = 0) {
  RowsRecord record;
  record.first_row = first, record.rows = n;
  record.squared_error.add(error * error);
  record.squared_value.add(static_cast<double>(n));
  if (error > 0) record.worst = WorstBlock{first, 0, error};
  return record;
}

TEST(Ledger, KnowsWhatIsDone) {
  const Plan plan = plan_of_rows(10);
  Ledger ledger(plan);
  EXPECT_FALSE(ledger.add(rows(4, 3)));
  const std::vector<RowRange> missing = ledger.missing(0, 0, 10);
  ASSERT_EQ(missing.size(), 2u);
  EXPECT_EQ(missing[0].first, 0u);
  EXPECT_EQ(missing[0].rows, 4u);
  EXPECT_EQ(missing[1].first, 7u);
  EXPECT_EQ(missing[1].rows, 3u);
  EXPECT_EQ(ledger.done_bytes(), 3 * 16u);
  EXPECT_FALSE(ledger.add(rows(0, 4)));
  EXPECT_FALSE(ledger.tensor_complete(0));
  EXPECT_TRUE(ledger.add(rows(7, 3))) << "the rows that complete it";
  EXPECT_TRUE(ledger.tensor_complete(0));
  EXPECT_TRUE(ledger.missing(0, 0, 10).empty());
}

TEST(Ledger, IntervalsInRandomOrderAgainstABitmap) {
  std::mt19937 random(3);
  for (int turn = 0; turn < 60; ++turn) {
    constexpr uint64_t kRows = 40;
    const Plan plan = plan_of_rows(kRows);
    Ledger ledger(plan);
    std::vector<RowsRecord> pieces;
    for (uint64_t first = 0; first < kRows;) {
      const uint64_t n = std::min<uint64_t>(kRows - first, 1 + random() % 6);
      pieces.push_back(rows(first, n));
      first += n;
    }
    std::ranges::shuffle(pieces, random);
    std::vector<bool> done(kRows, false);
    for (size_t p = 0; p < pieces.size(); ++p) {
      EXPECT_EQ(ledger.add(pieces[p]), p + 1 == pieces.size());
      for (uint64_t r = 0; r < pieces[p].rows; ++r) done[pieces[p].first_row + r] = true;
      const uint64_t from = random() % kRows, count = 1 + random() % (kRows - from);
      std::vector<bool> missing(kRows, false);
      uint64_t end_before = 0;
      for (const RowRange& range : ledger.missing(0, from, count)) {
        ASSERT_GT(range.rows, 0u);
        ASSERT_TRUE(end_before == 0 || range.first > end_before) << "in order, merged";
        end_before = range.end();
        for (uint64_t r = range.first; r < range.end(); ++r) missing[r] = true;
      }
      for (uint64_t r = 0; r < kRows; ++r) ASSERT_EQ(missing[r], r >= from && r < from + count && !done[r]) << r;
    }
    EXPECT_TRUE(ledger.tensor_complete(0));
  }
}

TEST(Ledger, FiguresDoNotDependOnTheOrder) {
  const Plan plan = plan_of_rows(10);
  std::vector<RowsRecord> pieces = {rows(0, 2, 0.5), rows(2, 3, 0.9), rows(5, 1, 1e-9), rows(6, 4, 0.9)};
  pieces[1].nan_count = 2, pieces[3].inf_count = 1;
  std::optional<TensorStats> first;
  for (int turn = 0; turn < 24; ++turn) {
    Ledger ledger(plan);
    for (const RowsRecord& r : pieces) ledger.add(r);
    const TensorStats stats = ledger.stats(0);
    if (!first) first = stats;
    EXPECT_EQ(stats.relative_rmse(), first->relative_rmse());
    EXPECT_EQ(stats.worst->row, 2u) << "the first of equals";
    EXPECT_EQ(stats.nan_count, 2u);
    EXPECT_EQ(stats.inf_count, 1u);
    std::next_permutation(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.first_row < b.first_row; });
  }
  EXPECT_NEAR(first->relative_rmse(), std::sqrt((0.25 + 0.81 + 0.81) / 10), 1e-12);
}

TEST(Ledger, HashesOfShardsAndFiles) {
  const Plan plan = plan_of_rows(1);
  Ledger ledger(plan);
  EXPECT_FALSE(ledger.shard_hash(0));
  EXPECT_FALSE(ledger.file_hash(0));
  ledger.add(ShardHashRecord{0, sha256(as_bytes("x"))});
  ledger.add(FileHashRecord{0, sha256(as_bytes("y")), {}, {}});
  EXPECT_EQ(ledger.shard_hash(0), sha256(as_bytes("x")));
  EXPECT_EQ(ledger.file_hash(0)->sha256, sha256(as_bytes("y")));
}

TEST(Ledger, WaitForPrefixAnswersWhatIsDoneFromTheStart) {
  const Plan plan = plan_of_rows(10);
  Ledger ledger(plan);
  ledger.add(rows(0, 3));
  EXPECT_EQ(ledger.wait_for_prefix(0, 0), 3u);
  std::thread writer([&] {
    ledger.add(rows(5, 5));
    ledger.add(rows(3, 2));
  });
  EXPECT_EQ(ledger.wait_for_prefix(0, 3), 10u) << "rows 5 to 9 alone are no prefix";
  writer.join();
}

TEST(Ledger, CancelWakesWaiters) {
  const Plan plan = plan_of_rows(10);
  Ledger ledger(plan);
  EXPECT_FALSE(ledger.cancelled());
  std::thread canceller([&] { ledger.cancel(); });
  EXPECT_EQ(ledger.wait_for_prefix(0, 0), 0u);
  canceller.join();
  EXPECT_TRUE(ledger.cancelled());
  EXPECT_TRUE(ledger.add(rows(0, 10))) << "tiles in flight still count";
}

TEST(LedgerDeathTest, RowsAreDoneOnce) {
  const Plan plan = plan_of_rows(10);
  for (const auto& [first, n] : {std::pair<uint64_t, uint64_t>{0, 10}, {2, 1}, {4, 2}, {3, 1}, {0, 3}}) {
    Ledger ledger(plan);
    ledger.add(rows(2, 3));
    EXPECT_DEATH(ledger.add(rows(first, n)), "rows are done once") << first;
  }
}

}  // namespace
}  // namespace ggufmill
