#include "convert/committer.h"

#include <gtest/gtest.h>

#include <atomic>

#include "convert/part_files.h"
#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

RowsRecord one_row(uint64_t row) {
  RowsRecord record;
  record.first_row = row, record.rows = 1;
  return record;
}

uint64_t rows_in(const std::filesystem::path& path) {
  uint64_t n = 0;
  Journal(path).replay([&](uint64_t, const JournalRecord& r) { n += std::holds_alternative<RowsRecord>(r); });
  return n;
}

TEST(Committer, FinishMakesEverythingDurable) {
  const SmallPlan small;
  const WorkFolder work(small.folder / "w", false);
  Journal journal(work.journal());
  std::vector<OutputFile> parts = open_parts(small.plan, work, Ledger(small.plan));
  Committer committer(small.plan, journal, parts, {});
  for (uint64_t row = 0; row < 10; ++row) committer.add(one_row(row));
  committer.add(ShardHashRecord{});
  EXPECT_EQ(journal.records(), 0u) << "not before a second has passed";
  committer.finish();
  EXPECT_EQ(journal.records(), 11u);
  EXPECT_EQ(rows_in(work.journal()), 10u);
}

TEST(Committer, EndsWithoutACommitWhereNobodyFinishes) {
  const SmallPlan small;
  const WorkFolder work(small.folder / "w", false);
  Journal journal(work.journal());
  std::vector<OutputFile> parts = open_parts(small.plan, work, Ledger(small.plan));
  Committer(small.plan, journal, parts, {}).add(one_row(0));
  EXPECT_EQ(journal.records(), 0u);
}

TEST(Committer, FailureOfItsThreadReachesThoseWhoAdd) {
  const SmallPlan small;
  const WorkFolder work(small.folder / "w", false);
  Journal journal(work.journal());
  std::vector<OutputFile> parts = open_parts(small.plan, work, Ledger(small.plan));
  std::atomic<bool> ticked{false};
  Committer committer(small.plan, journal, parts, [&] {
    ticked = true;
    throw Error(Exit::kSystem, "tick failed");
  });
  while (!ticked) std::this_thread::yield();
  const auto eventually = [&](const auto& call) {
    Error error(Exit::kOk, "");
    while ((error = error_of(call)).code() == Exit::kOk) std::this_thread::yield();
    return error.message();
  };
  EXPECT_EQ(eventually([&] { committer.check(); }), "tick failed");
  expect_error(Exit::kSystem, "tick failed", [&] { committer.add(one_row(0)); });
  expect_error(Exit::kSystem, "tick failed", [&] { committer.finish(); });
  EXPECT_EQ(journal.records(), 0u);
}

}  // namespace
}  // namespace ggufmill
