// Blocks made by hand, byte by byte from the layouts, and the values they stand for. (Random bytes are compared with another
// implementation in decode_against_gguf_test.py.)
#include <gtest/gtest.h>

#include <cstring>

#include "quant/f16.h"
#include "quant/grid8.h"
#include "quant/iq3_grids.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

struct Block {
  explicit Block(GgmlType t) : type(t), bytes(info(t).block_bytes) {}
  void f16(size_t at, float value) { store_u16(&bytes[at], f32_to_f16(value)); }
  void set(size_t at, unsigned value) { bytes[at] = static_cast<std::byte>(value); }
  std::vector<float> values() const { return decode_row(*find_codec(type), bytes); }

  GgmlType type;
  std::vector<std::byte> bytes;
};

TEST(Decode, Q8_0) {
  Block b(GgmlType::Q8_0);
  b.f16(0, 0.5f);
  b.set(2, 3);
  b.set(2 + 31, 0x80);
  EXPECT_EQ(b.values()[0], 1.5f);
  EXPECT_EQ(b.values()[31], -64.0f);
}

TEST(Decode, Q4_0) {
  Block b(GgmlType::Q4_0);
  b.f16(0, -0.5f);
  b.set(2 + 5, 0xF1);
  EXPECT_EQ(b.values()[5], -0.5f * (1 - 8));
  EXPECT_EQ(b.values()[21], -0.5f * (15 - 8));
}

TEST(Decode, Q5_0) {
  Block b(GgmlType::Q5_0);
  b.f16(0, -0.5f);
  b.set(2, 1 << 5);      // fifth bit of value 5
  b.set(4 + 1, 1 << 2);  // of value 26
  b.set(6 + 5, 0xF1);
  b.set(6 + 10, 0x30);
  EXPECT_EQ(b.values()[5], -0.5f * (17 - 16));
  EXPECT_EQ(b.values()[21], -0.5f * (15 - 16));
  EXPECT_EQ(b.values()[26], -0.5f * (19 - 16));
}

TEST(Decode, Q3_K) {
  Block b(GgmlType::Q3_K);
  b.f16(108, 0.25f);
  // Value 200 = 128 + 72: low bits in byte 32 + 32 + 8 at bits 4-5, high bit: bit 6 of byte 8; sub-block 12.
  b.set(32 + 40, 2 << 4);
  b.set(8, 1 << 6);
  // Level 12: low nibble in the high nibble of byte 4, high bits at bit 6 of byte 8.
  b.set(96 + 4, 0x50);
  b.set(96 + 8, 3 << 6);
  EXPECT_EQ(b.values()[200], 0.25f * (0x35 - 32) * (6 - 4));
  b.set(8, 0);
  EXPECT_EQ(b.values()[200], 0.25f * (0x35 - 32) * (2 - 4));
}

TEST(Decode, Q4_K) {
  Block b(GgmlType::Q4_K);
  b.f16(0, 0.5f);
  b.f16(2, 0.25f);
  // Sub-block 1: scale 33, min 18. Sub-block 6: scale 0x25, min 0x1C.
  b.set(4 + 1, 33);
  b.set(4 + 5, 18);
  b.set(4 + 2, 2 << 6);
  b.set(4 + 6, 1 << 6);
  b.set(4 + 10, 0x5 | 0xC << 4);
  b.set(16 + 7, 0xB0);       // value 32 + 7
  b.set(16 + 96 + 9, 0x03);  // value 192 + 9
  EXPECT_EQ(b.values()[39], 0.5f * 33 * 11 - 0.25f * 18);
  EXPECT_EQ(b.values()[201], 0.5f * 0x25 * 3 - 0.25f * 0x1C);
}

TEST(Decode, Q5_K) {
  Block b(GgmlType::Q5_K);
  b.f16(0, 0.5f);
  b.f16(2, 0.25f);
  b.set(4 + 1, 33);
  b.set(4 + 5, 18);
  b.set(16 + 7, 1 << 1);  // fifth bit of value 32 + 7
  b.set(48 + 7, 0xB0);
  EXPECT_EQ(b.values()[39], 0.5f * 33 * 27 - 0.25f * 18);
}

TEST(Decode, Q6_K) {
  Block b(GgmlType::Q6_K);
  b.f16(208, 0.25f);
  // Value 240 = 128 + 112: low bits in byte 64 + 48 high nibble, high bits in byte 128 + 32 + 16 at bits 6-7; sub-block 15.
  b.set(112, 0x90);
  b.set(128 + 48, 2 << 6);
  b.set(192 + 15, 0xFD);  // -3
  EXPECT_EQ(b.values()[240], 0.25f * -3 * (0x29 - 32));
}

TEST(Decode, Iq4Nl) {
  Block b(GgmlType::IQ4_NL);
  b.f16(0, 2.0f);
  const float expected[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  for (unsigned m = 0; m < 16; ++m) b.set(2 + m, m | (15 - m) << 4);
  for (size_t m = 0; m < 16; ++m) {
    EXPECT_EQ(b.values()[m], 2 * expected[m]);
    EXPECT_EQ(b.values()[16 + m], 2 * expected[15 - m]);
  }
}

TEST(Decode, Iq4Xs) {
  Block b(GgmlType::IQ4_XS);
  b.f16(0, 0.5f);
  // Sub-block 5: level 0x2B - 32 = 11.
  store_u16(&b.bytes[2], 2 << 10);
  b.set(4 + 2, 0xB0);
  b.set(8 + 16 * 5 + 3, 0xF0);
  EXPECT_EQ(b.values()[160 + 3], 0.5f * 11 * -127);
  EXPECT_EQ(b.values()[160 + 19], 0.5f * 11 * 113);
}

TEST(Decode, Iq3S) {
  Block b(GgmlType::IQ3_S);
  b.f16(0, 0.5f);
  // Point 19 (sub-block 2, its point 3): index 256 + 5; level 7; the second value negative.
  b.set(2 + 19, 5);
  b.set(66 + 2, 1 << 3);
  b.set(74 + 9, 0x20);
  b.set(106 + 1, 7);
  const uint16_t point = kIq3SGrid.points[261];
  for (size_t e = 0; e < 4; ++e) {
    const float magnitude = 0.5f * 15 * static_cast<float>(2 * (point >> (3 * e) & 7) + 1);
    EXPECT_EQ(b.values()[76 + e], e == 1 ? -magnitude : magnitude);
  }
}

TEST(Decode, Iq3Xxs) {
  Block b(GgmlType::IQ3_XXS);
  b.f16(0, 0.5f);
  // Sub-block 1: level 3; signs of values 8 .. 15 of it: bits 0 and 4 and 6 set, so the eighth is minus too.
  b.set(2 + 10, 255);
  b.set(2 + 11, 1);
  const uint32_t packed = 3u << 28 | 0x51u << 7;
  store_u16(&b.bytes[66 + 4], static_cast<uint16_t>(packed & 0xFFFF));
  store_u16(&b.bytes[66 + 6], static_cast<uint16_t>(packed >> 16));
  const bool minus[8] = {true, false, false, false, true, false, true, true};
  for (size_t i = 0; i < 8; ++i) {
    const uint16_t point = kIq3XxsGrid.points[i < 4 ? 255 : 1];
    const float magnitude = 0.5f * 3.5f * 0.5f * kIq3XxsGrid.magnitude(point, i % 4);
    EXPECT_EQ(b.values()[40 + i], minus[i] ? -magnitude : magnitude) << i;
  }
}

TEST(Decode, Iq2Xxs) {
  Block b(GgmlType::IQ2_XXS);
  b.f16(0, 0.5f);
  // Sub-block 1: level 3; its eight 2 is point 200; signs: bits 0 and 4 and 6 set, so the last is minus too.
  b.set(2 + 8 + 2, 200);
  const uint32_t packed = 3u << 28 | 0x51u << 14;
  store_u16(&b.bytes[2 + 8 + 4], static_cast<uint16_t>(packed & 0xFFFF));
  store_u16(&b.bytes[2 + 8 + 6], static_cast<uint16_t>(packed >> 16));
  const bool minus[8] = {true, false, false, false, true, false, true, true};
  for (size_t i = 0; i < 8; ++i) {
    const float magnitude = 0.5f * 3.5f * 0.25f * kIq2XxsValues[200][i];
    EXPECT_EQ(b.values()[48 + i], minus[i] ? -magnitude : magnitude) << i;
  }
}

TEST(Decode, Iq2Xs) {
  Block b(GgmlType::IQ2_XS);
  b.f16(0, 0.5f);
  // Eight 11 (sub-block 5): point 256 + 7, the sign of its value 2, so the last is minus too; level 9.
  store_u16(&b.bytes[2 + 22], 263 | 4 << 9);
  b.set(66 + 2, 0x90);
  for (size_t i = 0; i < 8; ++i) {
    const float magnitude = 0.5f * 9.5f * 0.25f * kIq2XsValues[263][i];
    EXPECT_EQ(b.values()[88 + i], i == 2 || i == 7 ? -magnitude : magnitude) << i;
  }
}

TEST(Decode, Iq2S) {
  Block b(GgmlType::IQ2_S);
  b.f16(0, 0.5f);
  // Eight 14 (sub-block 7): point 768 + 5, value 7 negative; level 15.
  b.set(2 + 14, 5);
  b.set(34 + 14, 0x80);
  b.set(66 + 3, 3 << 4);
  b.set(74 + 3, 0xF0);
  for (size_t i = 0; i < 8; ++i) {
    const float magnitude = 0.5f * 15.5f * 0.25f * kIq2SValues[773][i];
    EXPECT_EQ(b.values()[112 + i], i == 7 ? -magnitude : magnitude) << i;
  }
}

TEST(Decode, Iq1S) {
  Block b(GgmlType::IQ1_S);
  b.f16(0, 0.5f);
  // Eight 22 (sub-block 5, its eight 2): point 1024 + 9; level 6, shift -1/8.
  b.set(2 + 22, 9);
  store_u16(&b.bytes[34 + 10], 0x8000 | 6 << 12 | 4 << 6);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(b.values()[176 + i], 0.5f * 13 * (kIq1Values[1033][i] - 0.125f)) << i;
}

TEST(Decode, Iq1M) {
  Block b(GgmlType::IQ1_M);
  // d = 0.5 = 0x3800: its nibbles in the top of the words. Eight 23 (sub-block 11): point 512 + 4; level 5, shift -1/8.
  const uint16_t level = 5 << 9;
  for (size_t i = 0; i < 4; ++i) {
    const int d_bits = (0x3800 >> (4 * i) & 15) << 12;
    store_u16(&b.bytes[48 + 2 * i], static_cast<uint16_t>((i == 2 ? level : 0) | d_bits));
  }
  b.set(23, 4);
  b.set(32 + 11, 0xA0);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(b.values()[184 + i], 0.5f * 11 * (kIq1Values[516][i] - 0.125f)) << i;
}

}  // namespace
}  // namespace ggufmill
