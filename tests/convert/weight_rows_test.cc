#include "convert/weight_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "formats/file.h"
#include "tests/convert/quantized_files.h"

namespace ggufmill {
namespace {

using enum DType;

// The first weight of a checkpoint, and its rows as a reader gets them.
struct Opened {
  explicit Opened(const QuantizedFiles& files) : checkpoint(files.open()) {
    std::vector<Weight> all = bind_weights(checkpoint, {}).all;
    read_tensor_scales(checkpoint.shards(), std::vector<uint32_t>{0}, all);
    weight = all[0];
    EXPECT_EQ(weight.problem, "");
  }
  std::vector<std::byte> read(uint32_t shard, const Extent& extent) const {
    std::vector<std::byte> bytes(extent.bytes);
    InputFile(checkpoint.shards()[shard].path).read_exact(extent.file_offset, bytes);
    return bytes;
  }
  // Row `row`, read among `rows` rows from `first` on.
  std::vector<float> decode(uint64_t first, uint64_t rows, uint64_t row) {
    codes = read(weight.codes.shard, code_bytes(weight, weight.columns(), first, rows));
    scales = weight.scales ? read(weight.scales->shard, scale_bytes(weight, first, rows)) : std::vector<std::byte>();
    std::vector<float> values(weight.columns());
    decoder.decode(weight, {first, codes, scales}, row, values);
    return values;
  }
  std::optional<std::string> bad(uint64_t first, uint64_t rows) const {
    const std::vector<std::byte> bytes = read(weight.scales->shard, scale_bytes(weight, first, rows));
    return bad_scale(weight, {first, {}, bytes});
  }

  Checkpoint checkpoint;
  Weight weight;
  std::vector<std::byte> codes, scales;
  RowDecoder decoder;
};

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// NVFP4 [rows, 32]: every code 2 (the value 1), scales 0x30 + row (0.5, ...), one scale 4 of the whole.
QuantizedFiles& nvfp4(QuantizedFiles& files, uint64_t rows) {
  std::string scales;
  for (uint64_t r = 0; r < rows; ++r) scales += std::string(2, static_cast<char>(0x30 + r));
  files.add("x.weight", U8, {rows, 16}, std::string(rows * 16, '\x22')).add("x.weight_scale", F8_E4M3, {rows, 2}, scales);
  return files.add_f32("x.weight_scale_2", {4});
}

TEST(WeightRows, Nvfp4RowsAndTheirLattice) {
  QuantizedFiles files;
  Opened x(nvfp4(files, 8));
  EXPECT_EQ(x.decode(0, 8, 0), std::vector<float>(32, 0.5f * 4));
  EXPECT_EQ(x.decode(2, 6, 7), std::vector<float>(32, 0.9375f * 4)) << "0x37 is 1.875 / 2";
  const SourceLattice lattice = x.decoder.lattice(x.weight);
  EXPECT_EQ(lattice.group_elems, 16u);
  EXPECT_EQ(std::vector<float>(lattice.steps.begin(), lattice.steps.end()), std::vector<float>(2, 0.9375f * 4 / 2));
}

TEST(WeightRows, ExtentsOfCodesAndScales) {
  QuantizedFiles files;
  const Opened x(nvfp4(files, 8));
  const uint64_t codes = x.weight.codes.extent.file_offset, scales = x.weight.scales->extent.file_offset;
  EXPECT_EQ(code_bytes(x.weight, 32, 3, 2), (Extent{codes + 48, 32}));
  EXPECT_EQ(scale_bytes(x.weight, 3, 2), (Extent{scales + 6, 4}));
  EXPECT_EQ(scale_bytes(x.weight, 3, 0), Extent{});
}

TEST(WeightRows, PlainWeightMayBeSeenInOtherRows) {
  QuantizedFiles files;
  Opened x(files.add("x.weight", BF16, {4, 6}));
  EXPECT_EQ(code_bytes(x.weight, 24, 0, 1).bytes, 48u);
  EXPECT_EQ(code_bytes(x.weight, 3, 7, 1).file_offset, x.weight.codes.extent.file_offset + 42);
  EXPECT_EQ(scale_bytes(x.weight, 0, 4), Extent{});
  EXPECT_EQ(x.decoder.lattice(x.weight).group_elems, 0u);
}

// [130, 131] values in blocks of 128 x 128: two of them in each direction, the last ones ragged.
TEST(WeightRows, Fp8BlocksWithRaggedEdges) {
  QuantizedFiles files;
  files.add("x.weight", F8_E4M3, {130, 131});  // all 1
  files.add("x.weight_scale_inv", F32, {2, 2}, bytes_of<float>({1, 2, 3, 4}));
  Opened x(files);
  std::vector<float> upper(131, 1), lower(131, 3);
  for (size_t c = 128; c < 131; ++c) upper[c] = 2, lower[c] = 4;
  for (const uint64_t row : {0, 127}) EXPECT_EQ(x.decode(0, 130, row), upper) << row;
  for (const uint64_t row : {128, 129}) EXPECT_EQ(x.decode(127, 3, row), lower) << row;
  EXPECT_EQ(scale_bytes(x.weight, 100, 20).bytes, 8u) << "one row of blocks";
  EXPECT_EQ(scale_bytes(x.weight, 100, 30).bytes, 16u) << "both";
  EXPECT_EQ(scale_bytes(x.weight, 129, 1).file_offset, x.weight.scales->extent.file_offset + 8);
  EXPECT_EQ(x.decoder.lattice(x.weight).group_elems, 0u) << "8 bits are no lattice";
}

TEST(WeightRows, BlocksOfAStackEndWithTheirMatrix) {
  QuantizedFiles files;
  files.add("x.weight", F8_E4M3, {2, 130, 2});
  files.add("x.weight_scale_inv", F32, {2, 2, 1}, bytes_of<float>({1, 2, 3, 4}));
  Opened x(files);
  const float expected[] = {1, 1, 2, 2, 3, 3, 4, 4};
  const uint64_t rows[] = {0, 127, 128, 129, 130, 257, 258, 259};
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(x.decode(0, 260, rows[i])[1], expected[i]) << rows[i];
}

TEST(WeightRows, ScalesOfRowsOfMatricesAndOfAll) {
  QuantizedFiles rows, matrices, all;
  Opened by_row(rows.add("x.weight", F8_E4M3, {3, 4}).add("x.weight_scale", F32, {3, 1}, bytes_of<float>({1, 2, 3})));
  EXPECT_EQ(by_row.decode(1, 2, 2), std::vector<float>(4, 3));
  Opened by_matrix(matrices.add("x.weight", F8_E4M3, {2, 3, 4}).add("x.weight_scale", F32, {2, 1, 1}, bytes_of<float>({1, 2})));
  EXPECT_EQ(by_matrix.decode(0, 6, 2), std::vector<float>(4, 1));
  EXPECT_EQ(by_matrix.decode(0, 6, 3), std::vector<float>(4, 2));
  Opened by_all(all.add("x.weight", F8_E5M2, {2, 4}).add_f32("x.weight_scale", {5}));
  EXPECT_EQ(by_all.decode(0, 2, 1), std::vector<float>(4, 0.5f * 5)) << "0x38 as E5M2 is 0.5";
}

TEST(WeightRows, Int4RowsAndTheirLattice) {
  QuantizedFiles files;
  files.add("x.weight_packed", I32, {2, 8}, std::string(32, '\x90') + std::string(32, '\x0F'));
  files.add("x.weight_scale", BF16, {2, 2}, bytes_of<uint16_t>({0x3F80, 0x4000, 0x4080, 0x4100}));  // 1 2 4 8
  Opened x(files);
  const std::vector<float> row = x.decode(0, 2, 1);
  EXPECT_EQ((std::vector<float>{row[0], row[1], row[32], row[33]}), (std::vector<float>{7 * 4, -8 * 4, 7 * 8, -8 * 8}));
  const SourceLattice lattice = x.decoder.lattice(x.weight);
  EXPECT_EQ(lattice.group_elems, 32u);
  EXPECT_EQ(std::vector<float>(lattice.steps.begin(), lattice.steps.end()), (std::vector<float>{4, 8}));
}

TEST(WeightRows, CodesAndScalesOfOneRowForMovingThem) {
  QuantizedFiles files;
  Opened x(nvfp4(files, 8));
  x.decode(2, 6, 2);
  const RowsBytes rows{2, x.codes, x.scales};
  EXPECT_EQ(RowDecoder::row_codes(x.weight, rows, 5, 32).data(), x.codes.data() + 3 * 16);
  EXPECT_EQ(RowDecoder::row_codes(x.weight, rows, 5, 32).size(), 16u);
  EXPECT_EQ(RowDecoder::row_scales(x.weight, rows, 5).data(), x.scales.data() + 6);
  EXPECT_EQ(RowDecoder::row_scales(x.weight, rows, 5).size(), 2u);
}

TEST(BadScale, NamesScaleRowAndReason) {
  const auto with = [](const std::string& scales) {
    QuantizedFiles files;
    files.add("x.weight", U8, {4, 16}).add("x.weight_scale", F8_E4M3, {4, 2}, scales).add_f32("x.weight_scale_2", {1});
    return Opened(files).bad(1, 3);
  };
  const std::string good(8, '\x38');
  const auto changed = [&](size_t at, unsigned code) {
    std::string scales = good;
    scales[at] = static_cast<char>(code);
    return scales;
  };
  EXPECT_EQ(with(good), std::nullopt);
  EXPECT_EQ(with(changed(1, 0x7F)), std::nullopt) << "row 0 is not among the rows";
  EXPECT_EQ(with(changed(5, 0x7F)), "scale 1 of row 2 is NaN");
  EXPECT_EQ(with(changed(2, 0xFF)), "scale 0 of row 1 is NaN");
  EXPECT_EQ(with(changed(7, 0xB8)), "scale 1 of row 3 is negative");
  EXPECT_EQ(with(changed(4, 0x80)), std::nullopt) << "-0 is none of these";
}

TEST(BadScale, OfBlocksAndOfOtherDTypes) {
  QuantizedFiles blocks, powers;
  blocks.add("x.weight", F8_E4M3, {200, 300});
  blocks.add("x.weight_scale_inv", F32, {2, 3}, bytes_of<float>({1, 2, 3, 4, 5, INFINITY}));
  EXPECT_EQ(Opened(blocks).bad(0, 128), std::nullopt);
  EXPECT_EQ(Opened(blocks).bad(130, 1), "scale 2 of row 1 is infinite") << "a row of blocks";
  powers.add("x.weight", U8, {2, 32}).add("x.weight_scale", U8, {2, 2}, std::string("\x7f\x7f\x7f\xff", 4));
  EXPECT_EQ(Opened(powers).bad(0, 2), "scale 1 of row 1 is NaN");
}

TEST(BadScale, NoneWithoutScalesOfGroups) {
  QuantizedFiles files;
  const Opened x(files.add("x.weight", F8_E4M3, {2, 4}).add_f32("x.weight_scale", {5}));
  EXPECT_EQ(bad_scale(x.weight, {0, {}, {}}), std::nullopt);
}

}  // namespace
}  // namespace ggufmill
