#include "quant/exact_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace ggufmill {
namespace {

__extension__ typedef unsigned __int128 Uint128;

ExactSum sum_of(std::span<const double> terms) {
  ExactSum sum;
  for (const double t : terms) sum.add(t);
  return sum;
}

// Doubles of every magnitude, denormals included.
std::vector<double> wild_doubles(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values(count);
  for (double& v : values) {
    const int exponent = static_cast<int>(random() % 2040) - 1074;
    v = std::ldexp(static_cast<double>(random() >> 11), exponent - 53);
  }
  return values;
}

TEST(ExactSum, AddsErrorsOfRows) {
  ExactSum sum;
  sum.add(0.25);
  sum.add(1.5);
  EXPECT_EQ(sum.value(), 1.75);
}

TEST(ExactSum, IsZeroAtFirst) {
  EXPECT_EQ(ExactSum().value(), 0.0);
  EXPECT_EQ(sum_of(std::vector<double>{0.0, -0.0}), ExactSum());
}

TEST(ExactSum, DoesNotDependOnOrderOrGrouping) {
  std::vector<double> terms = wild_doubles(500, 1);
  const ExactSum forward = sum_of(terms);
  std::mt19937_64 random(2);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(terms.begin(), terms.end(), random);
    const size_t cut = random() % terms.size();
    ExactSum merged = sum_of(std::span(terms).first(cut));
    merged.merge(sum_of(std::span(terms).subspan(cut)));
    ASSERT_EQ(merged, forward);
    ASSERT_EQ(merged.value(), forward.value());
  }
}

TEST(ExactSum, LosesNothingThatNaiveAdditionLoses) {
  ExactSum sum;
  for (int i = 0; i < 4096; ++i) sum.add(0x1p-53);  // each alone is below half an ulp of 1
  sum.add(1.0);
  EXPECT_EQ(sum.value(), 1.0 + 0x1p-41);
}

// Integers of 128 bits are the oracle: terms whose bits lie within one window of 110 bits.
TEST(ExactSum, RoundsAsIntegersOf128BitsSay) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2000; ++round) {
    Uint128 oracle = 0;
    ExactSum sum;
    const int scale = static_cast<int>(random() % 1900) - 1074;
    const size_t terms = 1 + random() % 20;
    for (size_t i = 0; i < terms; ++i) {
      const uint64_t mantissa = random() >> (11 + random() % 53);
      const unsigned shift = random() % 57;
      oracle += static_cast<Uint128>(mantissa) << shift;
      sum.add(std::ldexp(static_cast<double>(mantissa), scale + static_cast<int>(shift)));
    }
    // A conversion from an integer to double rounds to nearest, ties to even.
    const double expected = std::ldexp(static_cast<double>(oracle), scale);
    ASSERT_EQ(sum.value(), expected) << "round " << round;
  }
}

TEST(ExactSum, RoundsTiesToEven) {
  EXPECT_EQ(sum_of(std::vector<double>{1.0, 0x1p-53}).value(), 1.0);
  EXPECT_EQ(sum_of(std::vector<double>{1.0 + 0x1p-52, 0x1p-53}).value(), 1.0 + 0x1p-51);
  EXPECT_EQ(sum_of(std::vector<double>{1.0, 0x1p-53, 0x1p-1074}).value(), 1.0 + 0x1p-52);
  EXPECT_EQ(sum_of(std::vector<double>{0x1.fffffffffffffp0, 0x1p-53}).value(), 2.0);
}

TEST(ExactSum, HoldsTheExtremes) {
  constexpr double kTiny = std::numeric_limits<double>::denorm_min();
  constexpr double kLargest = std::numeric_limits<double>::max();
  EXPECT_EQ(sum_of(std::vector<double>{kTiny}).value(), kTiny);
  EXPECT_EQ(sum_of(std::vector<double>{kTiny, kTiny, kTiny}).value(), 3 * kTiny);
  EXPECT_EQ(sum_of(std::vector<double>{kLargest}).value(), kLargest);
  EXPECT_EQ(sum_of(std::vector<double>{kLargest, kTiny}).value(), kLargest);
  EXPECT_EQ(sum_of(std::vector<double>{kLargest, kLargest}).value(), std::numeric_limits<double>::infinity());
}

TEST(ExactSumDeathTest, RefusesNegativeAndNonFiniteTerms) {
  ExactSum sum;
  EXPECT_DEATH(sum.add(-1.0), "finite, non-negative");
  EXPECT_DEATH(sum.add(std::numeric_limits<double>::infinity()), "finite, non-negative");
  EXPECT_DEATH(sum.add(std::numeric_limits<double>::quiet_NaN()), "finite, non-negative");
}

TEST(ExactSum, SurvivesSerialization) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const ExactSum sum = sum_of(wild_doubles(1 + seed % 7, seed));
    const std::vector<std::byte> bytes = sum.serialize();
    EXPECT_LE(bytes.size(), ExactSum::kMaxSerializedBytes);
    const auto back = ExactSum::deserialize(bytes);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(*back, sum);
  }
}

TEST(ExactSum, SerializesLimbsFromTheFirst) {
  const std::vector<std::byte> zero{std::byte{0}, std::byte{0}};
  EXPECT_EQ(ExactSum().serialize(), zero);
  // 1.0 is bit 1074 = limb 16, bit 50.
  std::vector<std::byte> one{std::byte{16}, std::byte{1}};
  one.resize(10);
  one[2 + 6] = std::byte{4};
  EXPECT_EQ(sum_of(std::vector<double>{1.0}).serialize(), one);
}

TEST(ExactSum, RefusesBytesItCannotHaveWritten) {
  const auto parse = [](std::vector<unsigned> values) {
    std::vector<std::byte> bytes;
    for (const unsigned v : values) bytes.push_back(static_cast<std::byte>(v));
    return ExactSum::deserialize(bytes);
  };
  EXPECT_TRUE(parse({0, 0}).has_value());
  EXPECT_TRUE(parse({33, 1, 1, 0, 0, 0, 0, 0, 0, 0}).has_value());
  EXPECT_FALSE(parse({}).has_value());
  EXPECT_FALSE(parse({0}).has_value());
  EXPECT_FALSE(parse({1, 0}).has_value()) << "zero has one form";
  EXPECT_FALSE(parse({0, 1, 1, 0, 0}).has_value()) << "too short";
  EXPECT_FALSE(parse({0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}).has_value()) << "too long";
  EXPECT_FALSE(parse({0, 1, 0, 0, 0, 0, 0, 0, 0, 0}).has_value()) << "zero limb at the end";
  EXPECT_FALSE(parse({34, 1, 1, 0, 0, 0, 0, 0, 0, 0}).has_value()) << "above the largest sum";
  EXPECT_FALSE(parse({255, 255}).has_value());
}

}  // namespace
}  // namespace ggufmill
