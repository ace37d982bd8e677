#include "convert/tiles.h"

#include <gtest/gtest.h>

#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

// What all tiles of a pass cover.
struct Pass {
  std::vector<std::string> hashed;        // per shard: the bytes in the order in which they were hashed
  std::vector<std::vector<int>> encoded;  // per tensor and row: how often
  std::vector<int> ends;                  // per shard: tiles that end it
  uint64_t bytes_read = 0, largest_raw = 0, passed = 0, total = 0;
};

Pass read_all(const SmallPlan& small, const Ledger& ledger, uint64_t tile_elems, bool hash_sources) {
  const Plan& plan = small.plan;
  Pass pass;
  pass.hashed.resize(plan.shards.size());
  pass.ends.resize(plan.shards.size());
  for (const PlannedTensor& t : plan.tensors) pass.encoded.emplace_back(t.rows(), 0);
  TileReader reader(plan, ledger, tile_elems, hash_sources);
  Tile tile;
  while (reader.next(tile)) {
    EXPECT_EQ(tile.raw.size(), tile.extent.bytes);
    const std::string raw(reinterpret_cast<const char*>(tile.raw.data()), tile.raw.size());
    EXPECT_EQ(raw, small.shard_bytes(tile.shard).substr(tile.extent.file_offset, tile.extent.bytes));
    if (tile.hashed) pass.hashed[tile.shard] += raw.substr(tile.hash_from);
    if (tile.last_of_shard) ++pass.ends[tile.shard];
    pass.largest_raw = std::max<uint64_t>(pass.largest_raw, tile.raw.size());
    if (!tile.encoded) continue;
    const PlannedTensor& t = plan.tensors[tile.tensor];
    EXPECT_EQ(tile.raw.size(), tile.rows * t.row_elems() * info(plan.sources[tile.source].codes.dtype).bytes);
    const uint64_t group = t.row_map.group_rows();
    EXPECT_EQ(tile.first_row % group, 0u);
    EXPECT_EQ(tile.rows % group, 0u);
    EXPECT_TRUE(tile.rows * t.row_elems() <= tile_elems || tile.rows == group) << tile.rows;
    for (uint64_t r = 0; r < tile.rows; ++r) ++pass.encoded[tile.tensor].at(tile.first_row + r);
  }
  pass.bytes_read = reader.bytes_read();
  pass.passed = reader.bytes_passed();
  pass.total = reader.bytes_total();
  return pass;
}

void expect_every_row_once(const Pass& pass) {
  for (const auto& rows : pass.encoded) {
    for (const int n : rows) ASSERT_EQ(n, 1);
  }
}

TEST(Tiles, CoverEveryByteOnceInOrderAndEveryRowOnce) {
  const SmallPlan small;
  for (const uint64_t tile_elems : {256u, 300u, 512u, 1000u, 4096u, 1u << 20}) {
    const Ledger ledger(small.plan);
    const Pass pass = read_all(small, ledger, tile_elems, true);
    for (size_t s = 0; s < 2; ++s) {
      EXPECT_EQ(pass.hashed[s], small.shard_bytes(s)) << tile_elems;
      EXPECT_EQ(pass.ends[s], 1);
    }
    expect_every_row_once(pass);
    EXPECT_EQ(pass.bytes_read, small.plan.source_bytes());
    EXPECT_EQ(pass.passed, pass.total);
    EXPECT_LE(pass.largest_raw, tile_elems * 4) << "bytes for the hash alone keep the budget too";
  }
}

TEST(Tiles, WithoutHashOnlyWhatIsEncodedIsRead) {
  const SmallPlan small;
  const Ledger ledger(small.plan);
  const Pass pass = read_all(small, ledger, 1000, false);
  expect_every_row_once(pass);
  uint64_t needed = 0;
  for (const Weight& w : small.plan.sources) needed += w.codes.extent.bytes;
  EXPECT_EQ(pass.bytes_read, needed);
  EXPECT_EQ(pass.hashed[0], "");
  EXPECT_EQ(pass.passed, pass.total);
}

RowsRecord rows_of(uint32_t tensor, uint64_t first, uint64_t rows) {
  RowsRecord record;
  record.tensor = tensor, record.first_row = first, record.rows = rows;
  return record;
}

TEST(Tiles, RowsOfTheLedgerAreReadForTheHashAlone) {
  const SmallPlan small;
  for (const bool hash : {true, false}) {
    Ledger ledger(small.plan);
    ledger.add(rows_of(0, 10, 20));
    ledger.add(rows_of(1, 0, 16));  // expert 0
    ledger.add(rows_of(2, 8, 16));  // two heads
    const Pass pass = read_all(small, ledger, 512, hash);
    for (uint64_t r = 0; r < 64; ++r) EXPECT_EQ(pass.encoded[0][r], r < 10 || r >= 30);
    for (uint64_t r = 0; r < 32; ++r) EXPECT_EQ(pass.encoded[1][r], r >= 16);
    for (uint64_t r = 0; r < 32; ++r) EXPECT_EQ(pass.encoded[2][r], r < 8 || r >= 24);
    EXPECT_EQ(pass.hashed[0], hash ? small.shard_bytes(0) : "");
    EXPECT_EQ(pass.passed, pass.total);
  }
}

TEST(Tiles, HashedShardWithoutMissingRowsIsNotOpened) {
  const SmallPlan small;
  Ledger ledger(small.plan);
  ledger.add(ShardHashRecord{0, {}});
  ledger.add(rows_of(0, 0, 64));
  ledger.add(rows_of(1, 0, 16));
  ledger.add(rows_of(2, 0, 32));
  const Pass pass = read_all(small, ledger, 512, true);
  EXPECT_EQ(pass.hashed[0], "");
  EXPECT_EQ(pass.hashed[1], small.shard_bytes(1));
  EXPECT_EQ(pass.encoded[1], [] {
    std::vector<int> rows(32, 1);
    std::fill_n(rows.begin(), 16, 0);
    return rows;
  }());
  EXPECT_EQ(pass.passed, pass.total);
}

TEST(Tiles, ShardThatNoTensorUsesIsNotRead) {
  SmallPlan small;
  small.plan.tensors[1].pieces.pop_back();  // nothing of b.safetensors is left
  small.plan.tensors[1].ne[2] = 1;
  small.plan.tensors.pop_back();
  small.finish();
  EXPECT_EQ(small.plan.used_shards(), std::set<uint32_t>{0});
  const Ledger ledger(small.plan);
  const Pass pass = read_all(small, ledger, 512, true);
  EXPECT_EQ(pass.hashed[0], small.shard_bytes(0));
  EXPECT_EQ(pass.hashed[1], "");
  EXPECT_EQ(pass.bytes_read, small.plan.shards[0].id.bytes);
  EXPECT_EQ(pass.passed, pass.total);
}

TEST(Tiles, ShardThatChangedSinceThePlanIsRefused) {
  const SmallPlan small;
  const Ledger ledger(small.plan);
  const std::string bytes = small.shard_bytes(1);
  std::filesystem::remove(small.plan.shards[1].path);
  small.folder.write("b.safetensors", bytes);  // same bytes, another file
  expect_error(Exit::kBadInput, "b.safetensors: changed since the plan was made", [&] { read_all(small, ledger, 512, true); });
}

TEST(Tiles, ShardThatChangesWhileItIsReadIsRefused) {
  const SmallPlan small;
  const Ledger ledger(small.plan);
  TileReader reader(small.plan, ledger, 512, true);
  Tile tile;
  ASSERT_TRUE(reader.next(tile));
  std::filesystem::resize_file(small.plan.shards[0].path, small.plan.shards[0].id.bytes + 1);
  expect_error(Exit::kBadInput, "a.safetensors: changed while it was read", [&] {
    while (reader.next(tile)) {
    }
  });
}

TEST(Tiles, TruncatedShardIsRefused) {
  const SmallPlan small;
  const Ledger ledger(small.plan);
  TileReader reader(small.plan, ledger, 512, true);
  Tile tile;
  ASSERT_TRUE(reader.next(tile));
  std::filesystem::resize_file(small.plan.shards[0].path, 5000);
  const Error error = error_of([&] {
    while (reader.next(tile)) {
    }
  });
  EXPECT_EQ(error.code(), Exit::kBadInput);
  EXPECT_NE(error.message().find("file ended at 5000"), std::string::npos) << error.message();
}

// ---- memory

TEST(TileBudget, KeepsTheCeiling) {
  const SmallPlan small;
  for (const uint64_t memory : {uint64_t{10'000}, uint64_t{1} << 20, uint64_t{64} << 20, uint64_t{8} << 30}) {
    for (const uint32_t threads : {1u, 2u, 7u, 64u, 4096u}) {
      const TileBudget budget = tile_budget(small.plan, memory, threads);
      EXPECT_GE(budget.live_tiles, 2u);
      EXPECT_LE(budget.live_tiles * budget.tile_elems * 12, memory) << memory << " " << threads;
      EXPECT_GE(budget.tile_elems, 256u) << "a head of 8 rows of 32";
    }
  }
}

TEST(TileBudget, TooLittleIsRefusedWithWhatIsNeeded) {
  const SmallPlan small;  // the largest group is a head: 8 x 32 values
  expect_error(Exit::kUsage, "--memory 6143: too small, this model's rows need at least 6144 bytes",
               [&] { tile_budget(small.plan, 6143, 2); });
  EXPECT_EQ(tile_budget(small.plan, 6144, 2).live_tiles, 2u);
  expect_error(Exit::kUsage, "--memory 0: too small, this model's rows need at least 6144 bytes",
               [&] { tile_budget(small.plan, 0, 2); });
}

}  // namespace
}  // namespace ggufmill
