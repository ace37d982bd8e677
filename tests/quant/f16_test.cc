#include "quant/f16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "quant/codecs.h"
#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

// The value of a half from the words of IEEE 754, in double.
double value_of_half(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  const double magnitude = exponent == 31  ? (mantissa == 0 ? INFINITY : NAN)
                           : exponent == 0 ? std::ldexp(mantissa, -24)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// The nearest half by comparison with its neighbours; `step` of bits is a step of magnitude.
uint16_t nearest_half(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  uint16_t below = 0;
  for (int bit = 14; bit >= 0; --bit) {
    const uint16_t next = static_cast<uint16_t>(below | 1 << bit);
    if (next < 0x7C00 && value_of_half(next) <= magnitude) below = next;
  }
  // Above the largest half the next step would be 65536.
  const double above = below == 0x7BFF ? 65536.0 : value_of_half(static_cast<uint16_t>(below + 1));
  const double low = magnitude - value_of_half(below), high = above - magnitude;
  const bool up = high < low || (high == low && (below & 1) != 0);
  return static_cast<uint16_t>(sign | (below + (up ? 1 : 0)));
}

TEST(F16, ConvertsBothWays) {
  EXPECT_EQ(f32_to_f16(1.0f), 0x3C00);
  EXPECT_EQ(f16_to_f32(0x3C00), 1.0f);
}

TEST(F16, DecodesEveryHalf) {
  for (uint32_t half = 0; half < 65536; ++half) {
    const double expected = value_of_half(static_cast<uint16_t>(half));
    const float actual = f16_to_f32(static_cast<uint16_t>(half));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(actual)) << half;
      EXPECT_NE(std::bit_cast<uint32_t>(actual) & 0x00400000, 0u) << "quiet, " << half;
    } else {
      ASSERT_EQ(actual, expected) << half;
      ASSERT_EQ(std::signbit(actual), (half & 0x8000) != 0) << half;
      ASSERT_EQ(f32_to_f16(actual), half);
    }
  }
}

TEST(F16, RoundsToTheNearestHalfTiesToEven) {
  std::mt19937 random(1);
  for (int i = 0; i < 200000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(value) || std::isinf(value)) continue;
    const float small = std::ldexp(static_cast<float>(static_cast<int32_t>(random())), static_cast<int>(random() % 44) - 58);
    ASSERT_EQ(f32_to_f16(small), nearest_half(small)) << small;
    if (std::fabs(value) < 65520) {
      ASSERT_EQ(f32_to_f16(value), nearest_half(value)) << value;
    }
  }
  for (uint32_t half = 0; half < 0x7BFF; ++half) {  // every tie
    const double middle = (value_of_half(static_cast<uint16_t>(half)) + value_of_half(static_cast<uint16_t>(half + 1))) / 2;
    ASSERT_EQ(f32_to_f16(static_cast<float>(middle)), half + (half & 1)) << half;
  }
}

TEST(F16, OverflowsToInfinityAndKeepsNan) {
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xFC00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::bit_cast<float>(0x7F800001u)), 0x7E00);
  EXPECT_EQ(f32_to_f16(std::bit_cast<float>(0xFFC12345u)), 0xFE00);
}

TEST(F16, ScalesSaturate) {
  EXPECT_EQ(f32_to_f16_scale(1e30f), 0x7BFF);
  EXPECT_EQ(f32_to_f16_scale(-std::numeric_limits<float>::infinity()), 0xFBFF);
  EXPECT_EQ(f32_to_f16_scale(0.5f), 0x3800);
}

TEST(Bf16, RoundsTiesToEvenAndKeepsNanQuiet) {
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3F80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F808001u)), 0x3F81);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7F800001u)), 0x7FC0);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0xFFC12345u)), 0xFFC1);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    EXPECT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    if (!std::isnan(value)) {
      EXPECT_EQ(f32_to_bf16(value), bits);
    }
  }
}

// The vectorised paths against the scalar ones, on every bit pattern and every length of a tail.
TEST(FloatTypes, EqualTheirScalarOraclesOnEverySimdTarget) {
  std::vector<std::byte> halves(2 * 65536);
  for (uint32_t half = 0; half < 65536; ++half) store_u16(&halves[2 * half], static_cast<uint16_t>(half));
  std::vector<float> wild = sample_row(5000, 1);
  std::mt19937 random(2);
  for (size_t i = 0; i < 4000; ++i) wild[i] = std::bit_cast<float>(static_cast<uint32_t>(random()));
  for (size_t i = 0; i < 500; ++i) wild[i] *= 1e-6f;
  const Codec& f16 = *find_codec(GgmlType::F16);
  const Codec& bf16 = *find_codec(GgmlType::BF16);
  on_each_simd_target([&](const std::string& target) {
    const std::vector<float> from_f16 = decode_row(f16, halves), from_bf16 = decode_row(bf16, halves);
    for (uint32_t half = 0; half < 65536; ++half) {
      ASSERT_EQ(std::bit_cast<uint32_t>(from_f16[half]), std::bit_cast<uint32_t>(f16_to_f32(static_cast<uint16_t>(half))))
          << target;
      ASSERT_EQ(std::bit_cast<uint32_t>(from_bf16[half]), half << 16) << target;
    }
    for (size_t count = 0; count < 40; ++count) {
      const std::vector<std::byte> to_f16 = encode_row(f16, std::span(wild).first(count));
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(load_u16(&to_f16[2 * i]), f32_to_f16(wild[i])) << target;
    }
    const std::vector<std::byte> to_f16 = encode_row(f16, wild), to_bf16 = encode_row(bf16, wild);
    for (size_t i = 0; i < wild.size(); ++i) {
      ASSERT_EQ(load_u16(&to_f16[2 * i]), f32_to_f16(wild[i])) << target << " " << wild[i];
      ASSERT_EQ(load_u16(&to_bf16[2 * i]), f32_to_bf16(wild[i])) << target << " " << wild[i];
    }
  });
}

}  // namespace
}  // namespace ggufmill
