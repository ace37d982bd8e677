// Published quantized forms: every code with every scale, ragged groups and odd lengths, on every SIMD target, against values
// worked out from the words of the formats.
#include "quant/source_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "quant/f16.h"
#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

constexpr SourceCodes kAllCodes[] = {SourceCodes::kE2M1, SourceCodes::kInt4, SourceCodes::kE4M3, SourceCodes::kE5M2};
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// sign, exponent, mantissa -> value: (1 + m / 2^bits) * 2^(e - bias), or m / 2^bits * 2^(1 - bias) where e is 0.
double float_of(unsigned code, int exponent_bits, int mantissa_bits, int bias) {
  const int mantissa = static_cast<int>(code) & ((1 << mantissa_bits) - 1);
  const int exponent = static_cast<int>(code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                                         : std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
  return code >> (exponent_bits + mantissa_bits) & 1 ? -magnitude : magnitude;
}

double value_of_code(SourceCodes codes, unsigned code) {
  switch (codes) {
    case SourceCodes::kE2M1:
      return float_of(code, 2, 1, 1);
    case SourceCodes::kInt4:
      return static_cast<int>(code) - 8;
    case SourceCodes::kE4M3:
      return (code & 0x7F) == 0x7F ? kNan : float_of(code, 4, 3, 7);
    case SourceCodes::kE5M2:
      if ((code & 0x7F) > 0x7C) return kNan;
      return (code & 0x7F) == 0x7C ? (code & 0x80 ? -INFINITY : INFINITY) : float_of(code, 5, 2, 15);
  }
  return kNan;
}

unsigned code_at(SourceCodes codes, std::span<const std::byte> bytes, size_t c) {
  if (info(codes).bits == 8) return std::to_integer<unsigned>(bytes[c]);
  const unsigned pair = std::to_integer<unsigned>(bytes[c / 2]);
  return c % 2 == 0 ? pair & 15 : pair >> 4;
}

// One value after the other; products in double are exact, then rounded.
std::vector<float> by_the_formula(SourceCodes codes, std::span<const std::byte> bytes, std::span<const float> scales,
                                  size_t group_elems, float tensor_scale, size_t count) {
  std::vector<float> values(count);
  for (size_t c = 0; c < count; ++c) {
    const double scaled = value_of_code(codes, code_at(codes, bytes, c)) * static_cast<double>(scales[c / group_elems]);
    values[c] = static_cast<float>(static_cast<double>(static_cast<float>(scaled)) * tensor_scale);
  }
  return values;
}

// Bits, but any NaN is any other.
void expect_same(std::span<const float> actual, std::span<const float> expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected[i]))
        << what << " " << i << ": " << actual[i] << ", not " << expected[i];
  }
}

std::vector<std::byte> random_bytes(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() >> 56);
  return bytes;
}

std::vector<float> decode(SourceCodes codes, std::span<const std::byte> bytes, std::span<const float> scales, size_t group_elems,
                          float tensor_scale, size_t count) {
  std::vector<float> values(count + 1, 77.0f);
  decode_codes(codes, bytes, scales, static_cast<uint32_t>(group_elems), tensor_scale, std::span(values).first(count));
  EXPECT_EQ(values.back(), 77.0f) << "written past the end";
  values.pop_back();
  return values;
}

TEST(SourceCodes, MultiplyCodeScaleAndTensorScale) {
  const std::byte codes[] = {std::byte{0x72}, std::byte{0xF9}};  // E2M1: 1, 6, -0.5, -6
  const float scales[] = {0.5f, 3};
  EXPECT_EQ(decode(SourceCodes::kE2M1, codes, scales, 2, 10, 4), (std::vector<float>{5, 30, -15, -180}));
  EXPECT_EQ(decode(SourceCodes::kInt4, codes, scales, 2, 10, 4), (std::vector<float>{-30, -5, 30, 210}));
}

// Table of the OCP definition (OFP8 1.0, section 5.1): the 8 values of each exponent start at a power of two.
TEST(SourceCodes, E4m3IsThatOfOcp) {
  constexpr float kFirst[16] = {0,      0x1p-6f, 0x1p-5f, 0x1p-4f, 0x1p-3f, 0x1p-2f, 0x1p-1f, 1,
                                0x1p1f, 0x1p2f,  0x1p3f,  0x1p4f,  0x1p5f,  0x1p6f,  0x1p7f,  0x1p8f};
  std::vector<std::byte> codes(256);
  for (size_t i = 0; i < 256; ++i) codes[i] = static_cast<std::byte>(i);
  const float one[] = {1};
  const std::vector<float> values = decode(SourceCodes::kE4M3, codes, one, 256, 1, 256);
  for (size_t i = 0; i < 128; ++i) {
    if (i == 127) {
      EXPECT_TRUE(std::isnan(values[127]) && std::isnan(values[255]));
      continue;
    }
    const float step = i < 8 ? 0x1p-9f : kFirst[i / 8] / 8;
    const float expected = kFirst[i / 8] + static_cast<float>(i % 8) * step;
    EXPECT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected)) << i;
    EXPECT_EQ(std::bit_cast<uint32_t>(values[128 + i]), std::bit_cast<uint32_t>(-expected)) << i;
  }
  EXPECT_EQ(values[0x01], 0x1p-9f) << "the smallest";
  EXPECT_EQ(values[0x7E], 448) << "the largest";
}

TEST(SourceCodes, LatticeUnitsDivideEveryCode) {
  for (const SourceCodes codes : kAllCodes) {
    const float unit = info(codes).lattice_unit;
    EXPECT_EQ(info(codes).codes, codes);
    EXPECT_EQ(unit > 0, info(codes).bits == 4);
    for (unsigned code = 0; unit > 0 && code < 16; ++code) {
      const double steps = value_of_code(codes, code) / unit;
      EXPECT_EQ(steps, std::round(steps));
      EXPECT_LE(std::fabs(steps), 12);
    }
  }
}

// A row of every code for each of the scales that a kind of scale can be.
void check_every_scale(SourceCodes codes, SourceScales kind, const std::string& target) {
  const size_t one_byte = scale_bytes(kind) == 1;
  const size_t count = one_byte ? 256 : 65536;
  std::vector<std::byte> coded(count * scale_bytes(kind));
  for (size_t i = 0; i < count; ++i) {
    coded[i * scale_bytes(kind)] = static_cast<std::byte>(i & 255);
    if (!one_byte) coded[2 * i + 1] = static_cast<std::byte>(i >> 8);
  }
  std::vector<float> scales(count);
  decode_scales(kind, coded, scales);
  const size_t group = info(codes).bits == 4 ? 16 : 256;
  std::vector<std::byte> bytes(group * info(codes).bits / 8);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(group == 16 ? 2 * i | (2 * i + 1) << 4 : i);
  for (const float tensor_scale : {1.0f, 0.00037f}) {
    for (size_t s = 0; s < count; s += one_byte ? 1 : 7) {
      const std::span<const float> scale = std::span(scales).subspan(s, 1);
      expect_same(decode(codes, bytes, scale, group, tensor_scale, group),
                  by_the_formula(codes, bytes, scale, group, tensor_scale, group), target + " scale " + std::to_string(s));
    }
  }
}

TEST(SourceCodes, EveryCodeWithEveryScaleOnEverySimdTarget) {
  on_each_simd_target([&](const std::string& target) {
    for (const SourceCodes codes : kAllCodes) {
      check_every_scale(codes, SourceScales::kE4M3, target);
      check_every_scale(codes, SourceScales::kE8M0, target);
      check_every_scale(codes, SourceScales::kBF16, target);
    }
  });
}

// Scales of any bits, denormals and the largest among them; groups that end inside a vector, rows that end inside a group, rows
// longer than what is decoded at a time.
TEST(SourceCodes, RaggedGroupsAndOddLengthsOnEverySimdTarget) {
  std::mt19937_64 random(1);
  std::vector<float> scales(5000);
  for (size_t i = 0; i < scales.size(); ++i) {
    scales[i] =
        i % 3 == 0 ? std::bit_cast<float>(static_cast<uint32_t>(random())) : std::ldexp(1.5f, static_cast<int>(i % 40) - 20);
  }
  scales[0] = std::bit_cast<float>(1u);
  scales[1] = std::numeric_limits<float>::max();
  scales[2] = -std::bit_cast<float>(0x00400001u);
  const std::vector<std::byte> bytes = random_bytes(5000, 2);
  on_each_simd_target([&](const std::string& target) {
    for (const SourceCodes codes : kAllCodes) {
      for (const size_t group : {8, 16, 24, 32, 40, 128, 5000}) {
        for (const size_t count : {0, 2, 16, 30, 126, 130, 960, 1024, 1056, 2688, 3002, 4999}) {
          const size_t used = info(codes).bits == 4 ? count & ~size_t{1} : count;
          const auto row = std::span(bytes).first(used * info(codes).bits / 8);
          const auto of_row = std::span(scales).first((used + group - 1) / group);
          for (const float tensor_scale : {1.0f, 0.37f}) {
            expect_same(decode(codes, row, of_row, group, tensor_scale, used),
                        by_the_formula(codes, row, of_row, group, tensor_scale, used),
                        target + " " + std::string(info(codes).name) + " groups of " + std::to_string(group) + ", " +
                            std::to_string(used) + " values, value");
          }
        }
      }
    }
  });
}

// Without codes that are no number, whose chunks take another path.
TEST(SourceCodes, FiniteCodesOnEverySimdTarget) {
  std::vector<std::byte> bytes = random_bytes(3002, 3);
  for (std::byte& byte : bytes) byte &= std::byte{0xFB};  // clears a bit of every NaN and infinity
  for (std::byte& byte : bytes) byte = (byte & std::byte{0x7F}) >= std::byte{0x78} ? std::byte{0x81} : byte;
  std::vector<float> scales(200, 0.013f);
  scales[1] = 0x1p121f;  // times 256 beyond f32
  scales[2] = 0x1p-140f;
  on_each_simd_target([&](const std::string& target) {
    for (const SourceCodes codes : {SourceCodes::kE4M3, SourceCodes::kE5M2}) {
      for (const size_t group : {16, 32, 128}) {
        const auto of_row = std::span(scales).first((bytes.size() + group - 1) / group);
        expect_same(decode(codes, bytes, of_row, group, 1, bytes.size()),
                    by_the_formula(codes, bytes, of_row, group, 1, bytes.size()), target);
      }
    }
  });
}

TEST(SourceScales, EveryByteOnEverySimdTarget) {
  std::vector<std::byte> bytes(256);
  for (size_t i = 0; i < 256; ++i) bytes[i] = static_cast<std::byte>(i);
  std::vector<float> e8m0(256), e4m3(256);
  for (size_t i = 0; i < 256; ++i) {
    e8m0[i] = static_cast<float>(i == 255 ? kNan : std::ldexp(1.0, static_cast<int>(i) - 127));
    e4m3[i] = static_cast<float>(value_of_code(SourceCodes::kE4M3, static_cast<unsigned>(i)));
  }
  on_each_simd_target([&](const std::string& target) {
    std::vector<float> values(256);
    decode_scales(SourceScales::kE8M0, bytes, values);
    expect_same(values, e8m0, target);
    decode_scales(SourceScales::kE4M3, bytes, values);
    expect_same(values, e4m3, target);
  });
}

TEST(SourceScales, FloatsOfThreeWidths) {
  const uint32_t bits = 0x3FC12345;
  std::vector<std::byte> bytes(4);
  std::memcpy(bytes.data(), &bits, 4);
  std::vector<float> value(1), two(2);
  decode_scales(SourceScales::kF32, bytes, value);
  EXPECT_EQ(value[0], std::bit_cast<float>(bits));
  decode_scales(SourceScales::kF16, bytes, two);
  EXPECT_EQ(two, (std::vector<float>{f16_to_f32(0x2345), f16_to_f32(0x3FC1)}));
  decode_scales(SourceScales::kBF16, bytes, two);
  EXPECT_EQ(two, (std::vector<float>{bf16_to_f32(0x2345), bf16_to_f32(0x3FC1)}));
  decode_scales(SourceScales::kE4M3, {}, {});
}

}  // namespace
}  // namespace ggufmill
