// TQ1_0, TQ2_0, Q2_0, Q1_0: every byte decodes as the format says, and rows that are on the grid come back.
#include <gtest/gtest.h>

#include <cmath>

#include "quant/f16.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

const Codec& codec(GgmlType type) { return *find_codec(type); }

// Blocks whose scale is 0.5 and whose other bytes take every value at every place.
std::vector<std::byte> every_byte(GgmlType type, size_t scale_at) {
  const size_t bytes = info(type).block_bytes;
  std::vector<std::byte> blocks(256 * bytes);
  for (size_t b = 0; b < 256; ++b) {
    for (size_t i = 0; i < bytes; ++i) blocks[b * bytes + i] = static_cast<std::byte>(b + 37 * i);
    store_u16(&blocks[b * bytes + scale_at], f32_to_f16(0.5f));
  }
  return blocks;
}

TEST(Q2_0, DecodesTwoBitsPerValueInTheirOrder) {
  const std::vector<std::byte> blocks = every_byte(GgmlType::Q2_0, 0);
  const std::vector<float> values = decode_row(codec(GgmlType::Q2_0), blocks);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto byte = std::to_integer<unsigned>(blocks[i / 64 * 18 + 2 + i % 64 / 4]);
    ASSERT_EQ(values[i], 0.5f * (static_cast<float>(byte >> (i % 4 * 2) & 3) - 1)) << i;
  }
}

TEST(Q1_0, DecodesOneBitPerValueInItsOrder) {
  const std::vector<std::byte> blocks = every_byte(GgmlType::Q1_0, 0);
  const std::vector<float> values = decode_row(codec(GgmlType::Q1_0), blocks);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto byte = std::to_integer<unsigned>(blocks[i / 128 * 18 + 2 + i % 128 / 8]);
    ASSERT_EQ(values[i], (byte >> (i % 8) & 1) != 0 ? 0.5f : -0.5f) << i;
  }
}

TEST(Ternary, BringsBackRowsOfItsGrid) {
  std::mt19937_64 random(1);
  for (const GgmlType type : {GgmlType::TQ1_0, GgmlType::TQ2_0, GgmlType::Q2_0, GgmlType::Q1_0}) {
    std::vector<float> row(4096);
    for (size_t i = 0; i < row.size(); ++i) {
      const float scale = 0x1p-6f * static_cast<float>(1024 + 61 * (i / 256)) / 1024;
      const auto draw = static_cast<int>(random() % (type == GgmlType::Q2_0 ? 4 : 3)) - 1;
      row[i] = scale * static_cast<float>(type == GgmlType::Q1_0 ? 2 * (draw & 1) - 1 : draw);
    }
    for (const Effort effort : {Effort::kDefault, Effort::kMax}) {
      EXPECT_EQ(decode_row(codec(type), encode_row(codec(type), row, {.effort = effort})), row) << name(type);
    }
  }
}

// -1, 0, 1, 2 are not symmetric: a row of mostly -2 s and s needs a scale below zero.
TEST(Q2_0, TurnsItsCodesAround) {
  std::vector<float> row(64);
  for (size_t i = 0; i < row.size(); ++i) row[i] = i % 3 == 0 ? -0.25f : i % 3 == 1 ? 0.125f : -0.125f;
  EXPECT_EQ(decode_row(codec(GgmlType::Q2_0), encode_row(codec(GgmlType::Q2_0), row)), row);
}

}  // namespace
}  // namespace ggufmill
