#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

const Codec& q8_0() { return *find_codec(GgmlType::Q8_0); }

// By rounding, without a search.
std::vector<std::byte> encode_fast(std::span<const float> row) { return encode_row(q8_0(), row, {.effort = Effort::kFast}); }

// ggml's rule, from its words: d = amax / 127, q = x * (1 / d) to the nearest, halves away from zero.
std::vector<std::byte> by_the_rule(const std::vector<float>& row) {
  std::vector<std::byte> blocks(row.size() / 32 * 34);
  for (size_t b = 0; b < row.size() / 32; ++b) {
    float amax = 0;
    for (size_t i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(row[32 * b + i]));
    const float d = amax / 127;
    const float inverse = d != 0 ? 1 / d : 0;
    store_u16(&blocks[34 * b], f32_to_f16(d));
    for (size_t i = 0; i < 32; ++i) {
      blocks[34 * b + 2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::lround(row[32 * b + i] * inverse)));
    }
  }
  return blocks;
}

// Rows of every magnitude, ties, and what ggml leaves undefined.
std::vector<float> wild_row() {
  std::vector<float> row = sample_row(64 * 32, 1);
  std::mt19937 random(3);
  for (size_t b = 0; b < 40; ++b) {
    for (size_t i = 0; i < 32; ++i) row[32 * b + i] *= std::ldexp(1.0f, static_cast<int>(5 * b) - 120);
  }
  for (size_t i = 0; i < 32; ++i) row[40 * 32 + i] = static_cast<float>(i) + 0.5f;
  row[40 * 32] = 127;
  for (size_t b = 41; b < 60; ++b)
    row[32 * b + b % 32] = b % 3 == 0 ? std::numeric_limits<float>::quiet_NaN() : b % 3 == 1 ? INFINITY : -INFINITY;
  for (size_t b = 60; b < 63; ++b) {
    for (size_t i = 0; i < 32; ++i) row[32 * b + i] = std::bit_cast<float>(static_cast<uint32_t>(random()));
  }
  for (size_t i = 0; i < 32; ++i) row[63 * 32 + i] = 0;
  return row;
}

TEST(Q8_0, WritesTheBytesOfGgmlsRule) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const std::vector<float> row = sample_row(4096, seed);
    EXPECT_EQ(encode_fast(row), by_the_rule(row));
  }
}

TEST(Q8_0, RoundsHalvesAwayFromZero) {
  std::vector<float> row(32, 0.0f);
  row[0] = 127;
  row[1] = 0.5f;
  row[2] = -0.5f;
  row[3] = 0.49999997f;
  row[4] = 2.5f;
  row[5] = -3.5f;
  const std::vector<std::byte> block = encode_fast(row);
  const int expected[] = {127, 1, -1, 0, 3, -4};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(static_cast<int8_t>(block[2 + i]), expected[i]) << i;
}

TEST(Q8_0, EqualsItsScalarOracleOnEverySimdTarget) {
  const std::vector<float> row = wild_row();
  std::vector<std::byte> expected(row.size() / 32 * 34);
  encode_q8_0_scalar(row, expected);
  std::vector<std::byte> any(34 * 512);
  std::mt19937 random(4);
  for (std::byte& b : any) b = static_cast<std::byte>(random());
  std::vector<float> values(32 * 512);
  decode_q8_0_scalar(any, values);
  on_each_simd_target([&](const std::string& target) {
    EXPECT_EQ(encode_fast(row), expected) << target;
    const std::vector<float> here = decode_row(q8_0(), any);
    for (size_t i = 0; i < here.size(); ++i) {
      if (std::isnan(values[i])) {
        ASSERT_TRUE(std::isnan(here[i])) << target;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(here[i]), std::bit_cast<uint32_t>(values[i])) << target << " " << i;
      }
    }
  });
}

TEST(Q8_0, SaturatesItsScale) {
  std::vector<float> row(32, 1e30f);
  row[1] = -5e5f;
  const std::vector<std::byte> block = encode_fast(row);
  EXPECT_EQ(load_f16(block.data()), kF16Max);
  EXPECT_EQ(static_cast<int8_t>(block[2]), 127);
  EXPECT_EQ(static_cast<int8_t>(block[3]), -8);
}

TEST(Q8_0, WritesZeroCodesWhereTheInverseOverflows) {
  std::vector<float> row(32, 1e-38f);
  for (const std::byte b : encode_fast(row)) EXPECT_EQ(b, std::byte{0});
}

TEST(Q8_0, IgnoresImportanceWhereItOnlyRounds) {
  const std::vector<float> row = sample_row(1024, 5), importance = sample_importance(1024, 6);
  EXPECT_EQ(encode_row(q8_0(), row, {.importance = importance, .effort = Effort::kFast}), encode_fast(row));
}

TEST(Q8_0, SearchesForALowerErrorThanRoundingHas) {
  const std::vector<float> row = sample_row(4096, 7), importance = sample_importance(4096, 8);
  const auto error = [&](Effort effort) {
    const RowContext context{.importance = importance, .effort = effort};
    return relative_error(row, decode_row(q8_0(), encode_row(q8_0(), row, context)), importance);
  };
  EXPECT_LT(error(Effort::kDefault), 0.82 * error(Effort::kFast));
  EXPECT_LE(error(Effort::kMax), error(Effort::kDefault));
}

// Two groups of 16 in a block of 32 rarely share a scale, but one of their steps, divided, is often near both.
TEST(Q8_0, TriesTheStepsOfALattice) {
  std::vector<float> row(64), steps = {0.03f, 0.03f, 0.011f, 0.022f};
  for (size_t i = 0; i < row.size(); ++i) row[i] = steps[i / 16] * static_cast<float>(static_cast<int>(i * 7 % 25) - 12);
  const RowContext context{.lattice = {steps, 16}};
  EXPECT_LT(relative_error(row, decode_row(q8_0(), encode_row(q8_0(), row, context))), 5e-4);
}

}  // namespace
}  // namespace ggufmill
