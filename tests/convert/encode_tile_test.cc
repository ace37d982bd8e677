#include "convert/encode_tile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "convert/source_rows.h"
#include "tests/convert/small_imatrix.h"
#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

// All tiles of a plan, encoded: tensor bytes and records.
struct Encoded {
  std::vector<std::vector<std::byte>> tensors;
  std::vector<RowsRecord> records;
};

Encoded encode_all(const Plan& plan, uint64_t tile_elems, bool allow_nonfinite = false) {
  Encoded out;
  for (const PlannedTensor& t : plan.tensors) out.tensors.emplace_back(t.extent.bytes);
  const Ledger ledger(plan);
  TileReader reader(plan, ledger, tile_elems, false);
  for (Tile tile; reader.next(tile);) {
    EncodedTile done = encode_tile(plan, tile, nullptr, allow_nonfinite);
    EXPECT_EQ(done.record.hash, xxh128(tile.blocks));
    EXPECT_EQ(done.record.shard, tile.shard);
    const uint64_t row_bytes = plan.tensors[tile.tensor].row_bytes();
    EXPECT_EQ(tile.blocks.size(), tile.rows * row_bytes);
    std::memcpy(out.tensors[tile.tensor].data() + tile.first_row * row_bytes, tile.blocks.data(), tile.blocks.size());
    out.records.push_back(std::move(done.record));
  }
  return out;
}

TEST(EncodeTile, RowsAreWhatTheCodecMakesOfTheSourcesRows) {
  const SmallPlan small;
  const SourceRows source(small.plan);
  const Encoded encoded = encode_all(small.plan, 512);
  for (size_t i = 0; i < small.plan.tensors.size(); ++i) {
    const PlannedTensor& t = small.plan.tensors[i];
    std::vector<float> row(t.row_elems());
    std::vector<std::byte> blocks(t.row_bytes());
    for (uint64_t r = 0; r < t.rows(); ++r) {
      source.read(i, r, row);
      find_codec(t.type)->encode(row, {}, blocks);
      ASSERT_EQ(std::memcmp(blocks.data(), encoded.tensors[i].data() + r * t.row_bytes(), t.row_bytes()), 0)
          << t.name << " row " << r;
    }
  }
}

TEST(EncodeTile, BytesAndFiguresDoNotDependOnTheTiles) {
  const SmallPlan small;
  const Encoded first = encode_all(small.plan, 256);
  Ledger ledger(small.plan);
  for (const RowsRecord& r : first.records) ledger.add(r);
  for (const uint64_t tile_elems : {300u, 1000u, 1u << 20}) {
    const Encoded other = encode_all(small.plan, tile_elems);
    EXPECT_EQ(first.tensors, other.tensors);
    Ledger again(small.plan);
    for (const RowsRecord& r : other.records) again.add(r);
    for (uint32_t t = 0; t < small.plan.tensors.size(); ++t) {
      EXPECT_EQ(ledger.stats(t).squared_error, again.stats(t).squared_error);
      EXPECT_EQ(ledger.stats(t).worst, again.stats(t).worst);
    }
  }
  EXPECT_GT(ledger.stats(0).relative_rmse(), 0) << "Q8_0 of F32";
  EXPECT_EQ(ledger.stats(2).relative_rmse(), 0) << "F16 of F16 is a copy";
  EXPECT_FALSE(ledger.stats(2).worst.has_value());
  ASSERT_TRUE(ledger.stats(0).worst.has_value());
  EXPECT_EQ(ledger.stats(0).worst->column, 0u) << "a row of one block";
}

TEST(EncodeTile, EachMatrixOfATileGetsItsOwnImportance) {
  // One source holds both matrices [8, 64], so a tile of all 16 rows spans them.
  SmallPlan small;
  PlannedTensor& t = small.plan.tensors[1];
  t.type = GgmlType::Q4_0;
  t.ne = {64, 8, 2};
  t.pieces = {{1, 0, 16}};
  std::vector<float> sums(2 * 64, 1.0f);
  for (size_t i = 0; i < 64; ++i) sums[i] = i % 2 == 0 ? 1e4f : 1.0f, sums[64 + i] = i % 2 == 0 ? 1.0f : 1e4f;
  const Imatrix imatrix = imatrix_of(small.folder, 64, sums, {1000, 1000});
  t.importance = imatrix.find("w");
  small.finish();
  const auto encode = [&](uint64_t tile_elems) {
    std::string blocks;
    Importance importance(imatrix);
    const Ledger ledger(small.plan);
    TileReader reader(small.plan, ledger, tile_elems, false);
    for (Tile tile; reader.next(tile);) {
      if (tile.tensor != 1) continue;
      encode_tile(small.plan, tile, &importance, false);
      blocks.append(reinterpret_cast<const char*>(tile.blocks.data()), tile.blocks.size());
    }
    return blocks;
  };
  const std::string row_by_row = encode(256);  // tiles of 4 rows, each inside one matrix
  EXPECT_EQ(encode(1 << 20), row_by_row);
  t.importance = nullptr;
  EXPECT_NE(encode(1 << 20), row_by_row);
}

// Puts one value into row `row` of source "a" (F32).
void poke(SmallPlan& small, uint64_t row, float value) {
  std::string bytes = small.shard_bytes(0);
  std::memcpy(bytes.data() + small.plan.sources[0].codes.extent.file_offset + row * 32 * 4, &value, 4);
  small.plan.shards[0].id = InputFile(small.folder.write("a.safetensors", bytes)).id();
}

TEST(EncodeTile, NanAndInfInAQuantizedTensorAreAnErrorThatNamesIt) {
  SmallPlan small;
  poke(small, 3, std::numeric_limits<float>::quiet_NaN());
  poke(small, 5, -std::numeric_limits<float>::infinity());
  poke(small, 6, std::numeric_limits<float>::infinity());
  const auto convert = [&] { encode_all(small.plan, 1 << 20); };
  expect_error(Exit::kBadInput, "a.safetensors: tensor \"a\": 1 NaN and 2 Inf values in a tensor that is quantized to Q8_0",
               convert);
  EXPECT_EQ(error_of(convert).hint(), "--allow-nonfinite converts it all the same");
  const RowsRecord record = encode_all(small.plan, 1 << 20, true).records[0];
  EXPECT_EQ(record.nan_count, 1u);
  EXPECT_EQ(record.inf_count, 2u);
}

TEST(EncodeTile, NanInACopiedTensorKeepsItsPayload) {
  SmallPlan small;
  small.plan.tensors[0].type = GgmlType::F32;
  small.finish();
  float nan = std::numeric_limits<float>::quiet_NaN();
  const uint32_t payload = 0x7fc12345;
  std::memcpy(&nan, &payload, 4);
  poke(small, 3, nan);
  const Encoded encoded = encode_all(small.plan, 512);
  uint32_t got = 0;
  std::memcpy(&got, encoded.tensors[0].data() + 3 * 32 * 4, 4);
  EXPECT_EQ(got, payload);
  uint64_t counted = 0;
  for (const RowsRecord& r : encoded.records) counted += r.nan_count;
  EXPECT_EQ(counted, 1u);
}

TEST(EncodeTile, ValuesTooLargeForF16AreAnError) {
  SmallPlan small;
  small.plan.tensors[0].type = GgmlType::F16;
  small.finish();
  poke(small, 3, 1e6f);
  expect_error(Exit::kBadInput, "a.safetensors: tensor \"a\": 1 values are too large for F16",
               [&] { encode_all(small.plan, 1 << 20); });
  EXPECT_NO_THROW(encode_all(small.plan, 1 << 20, true));
}

TEST(EncodeTile, OpIsAppliedBeforeTheEncoder) {
  SmallPlan small;
  small.plan.tensors[3].op = ValueOp::kNegExp;
  small.finish();
  const Encoded encoded = encode_all(small.plan, 512);
  std::vector<float> out(33), in(33);
  std::memcpy(out.data(), encoded.tensors[3].data(), 33 * 4);
  small.plan.tensors[3].op = ValueOp::kNone;
  SourceRows(small.plan).read(3, 0, in);
  for (size_t i = 0; i < 33; ++i) EXPECT_EQ(out[i], static_cast<float>(-std::exp(static_cast<double>(in[i]))));
}

}  // namespace
}  // namespace ggufmill
