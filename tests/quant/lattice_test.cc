// Encoders that are told the lattice of a quantized source (RowContext::lattice): where the format can hold the source's values,
// they are held exactly, up to the rounding of f16 scales; where it cannot, knowing the lattice does no harm.
#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

constexpr size_t kColumns = 4096;
constexpr double kF16Rounding = 5e-4;  // 2^-11

// A row on a lattice. The values are the products that a reader of the source would compute in f32.
struct LatticeRow {
  std::vector<float> values, steps;
  uint32_t group_elems;

  SourceLattice lattice() const { return {.steps = steps, .group_elems = group_elems}; }
};

// step_of(group, random) * code_of(random)
template <class StepOf, class CodeOf>
LatticeRow lattice_row(uint32_t group_elems, uint64_t seed, StepOf step_of, CodeOf code_of) {
  std::mt19937_64 random(seed);
  LatticeRow row{.values = {}, .steps = {}, .group_elems = group_elems};
  for (size_t g = 0; g < kColumns / group_elems; ++g) {
    row.steps.push_back(step_of(g, random));
    for (uint32_t i = 0; i < group_elems; ++i) row.values.push_back(row.steps.back() * static_cast<float>(code_of(random)));
  }
  return row;
}

// E2M1 doubled: 0 .. 12 with a sign.
int e2m1(std::mt19937_64& random) {
  constexpr std::array<int, 8> kCodes = {0, 1, 2, 3, 4, 6, 8, 12};
  const auto bits = random();
  return kCodes[bits % 8] * (bits >> 20 & 1 ? -1 : 1);
}

int int4(std::mt19937_64& random) { return static_cast<int>(random() % 16) - 8; }

// An E4M3 number: (8 + mantissa) * 2^exponent.
float e4m3(int exponent, uint64_t mantissa) { return std::ldexp(static_cast<float>(8 + mantissa % 8), exponent); }

// NVFP4 with block scales of `octaves` octaves around the middle of E4M3's range, each super-block somewhere else.
LatticeRow nvfp4_row(int octaves, float tensor_scale, uint64_t seed) {
  return lattice_row(
      16, seed,
      [&](size_t g, std::mt19937_64& random) {
        const int lowest = static_cast<int>(g / 16 % 4) - 4;
        return e4m3(lowest + static_cast<int>(random() % static_cast<uint64_t>(octaves)), random() >> 8) * tensor_scale / 2;
      },
      e2m1);
}

std::vector<std::byte> encode(GgmlType type, const LatticeRow& row, RowContext context = {}, bool told = true) {
  std::vector<std::byte> blocks(row.values.size() / info(type).block_elems * info(type).block_bytes);
  if (told) context.lattice = row.lattice();
  find_codec(type)->encode(row.values, context, blocks);
  return blocks;
}

double error(GgmlType type, const LatticeRow& row, const RowContext& context = {}, bool told = true) {
  return relative_error(row.values, decode_row(*find_codec(type), encode(type, row, context, told)), context.importance);
}

// The largest error of a value beside its own size.
double worst(GgmlType type, const LatticeRow& row, const RowContext& context = {}) {
  const std::vector<float> back = decode_row(*find_codec(type), encode(type, row, context));
  double largest = 0;
  for (size_t i = 0; i < back.size(); ++i) {
    const double x = row.values[i], off = std::fabs(back[i] - x);
    if (off > 0) largest = std::max(largest, x != 0 ? off / std::fabs(x) : std::numeric_limits<double>::infinity());
  }
  return largest;
}

constexpr std::array kEfforts = {Effort::kFast, Effort::kDefault, Effort::kMax};
constexpr std::array kLeveledTypes = {GgmlType::Q4_0, GgmlType::Q5_0,   GgmlType::Q3_K,
                                      GgmlType::Q6_K, GgmlType::IQ4_NL, GgmlType::IQ4_XS};

TEST(Lattice, Q6KHoldsNvfp4) {
  const std::vector<float> importance = sample_importance(kColumns, 1);
  for (int octaves = 1; octaves <= 5; ++octaves) {
    const LatticeRow row = nvfp4_row(octaves, 0.00037f, static_cast<uint64_t>(octaves));
    for (const Effort effort : kEfforts) {
      EXPECT_LE(worst(GgmlType::Q6_K, row, {.effort = effort}), kF16Rounding) << octaves;
      EXPECT_LE(worst(GgmlType::Q6_K, row, {.importance = importance, .effort = effort}), kF16Rounding) << octaves;
    }
    EXPECT_GT(error(GgmlType::Q6_K, row, {}, false), 5e-3) << "what the lattice is for";
  }
}

TEST(Lattice, Q6KHoldsNvfp4OfAnyTensorScaleThatF16Reaches) {
  for (const float scale : {1.0f, 0.013f, 7.7f, 1000.0f, 3e-3f}) {
    EXPECT_LE(worst(GgmlType::Q6_K, nvfp4_row(4, scale, 11)), kF16Rounding) << scale;
  }
}

// E4M3 below 2^-6 has no leading one: 1 .. 7 times 2^-9.
TEST(Lattice, Q6KHoldsDenormalBlockScales) {
  const LatticeRow row = lattice_row(
      16, 12, [](size_t, std::mt19937_64& random) { return std::ldexp(static_cast<float>(1 + random() % 15), -9) * 0.31f / 2; },
      e2m1);
  EXPECT_LE(worst(GgmlType::Q6_K, row), kF16Rounding);
}

TEST(Lattice, Q6KHoldsNvfp4BesideZeroGroups) {
  LatticeRow row = nvfp4_row(4, 0.002f, 13);
  for (size_t g = 0; g < row.steps.size(); ++g) {
    if (g % 3 != 0 && g / 16 % 2 != 0) continue;
    std::fill_n(row.values.begin() + static_cast<std::ptrdiff_t>(g * 16), 16, 0.0f);
    row.steps[g] = g % 2 == 0 ? 0.0f : row.steps[g];
  }
  EXPECT_LE(worst(GgmlType::Q6_K, row), kF16Rounding);
}

// All of E4M3 in one super-block is more than Q6_K's levels can tell apart.
TEST(Lattice, RangesBeyondTheLevelsCostLittle) {
  const LatticeRow row = lattice_row(
      16, 14, [](size_t, std::mt19937_64& random) { return e4m3(static_cast<int>(random() % 15) - 9, random() >> 8) * 0.001f; },
      e2m1);
  EXPECT_LE(error(GgmlType::Q6_K, row), 5e-3);
  EXPECT_LE(error(GgmlType::Q6_K, row), 1.001 * error(GgmlType::Q6_K, row, {}, false));
}

TEST(Lattice, Q4_0HoldsInt4) {
  const std::vector<float> importance = sample_importance(kColumns, 2);
  for (const uint32_t group : {32u, 64u, 128u}) {
    const LatticeRow row = lattice_row(
        group, group, [](size_t, std::mt19937_64& random) { return 1e-3f * (1 + static_cast<float>(random() >> 50) * 0x1p-14f); },
        int4);
    for (const Effort effort : kEfforts) {
      EXPECT_LE(worst(GgmlType::Q4_0, row, {.effort = effort}), kF16Rounding);
      EXPECT_LE(worst(GgmlType::Q4_0, row, {.importance = importance, .effort = effort}), kF16Rounding);
    }
  }
}

// Code for code where a block uses the whole range.
TEST(Lattice, Q4_0KeepsInt4Codes) {
  LatticeRow row = lattice_row(
      32, 15, [](size_t g, std::mt19937_64&) { return 0.01f + 1e-4f * static_cast<float>(g); }, int4);
  for (size_t g = 0; g < row.steps.size(); ++g) {
    row.values[g * 32] = -8 * row.steps[g];
    row.values[g * 32 + 1] = 7 * row.steps[g];
  }
  const std::vector<std::byte> blocks = encode(GgmlType::Q4_0, row);
  for (size_t i = 0; i < row.values.size(); ++i) {
    const size_t g = i / 32, m = i % 32;
    const unsigned pair = std::to_integer<unsigned>(blocks[g * 18 + 2 + m % 16]);
    const int code = static_cast<int>(m < 16 ? pair & 15 : pair >> 4) - 8;
    ASSERT_EQ(code, std::lround(row.values[i] / row.steps[g])) << i;
  }
}

// Its scales are powers of two: nothing is rounded at all.
TEST(Lattice, Mxfp4IsHeldExactly) {
  const auto row_of = [](int octaves) {
    return lattice_row(
        32, 16,
        [&](size_t, std::mt19937_64& random) {
          return std::ldexp(1.0f, static_cast<int>(random() % static_cast<uint64_t>(octaves)) - 9);
        },
        e2m1);
  };
  for (const Effort effort : kEfforts) {
    EXPECT_EQ(worst(GgmlType::Q5_0, row_of(12), {.effort = effort}), 0);
    EXPECT_EQ(worst(GgmlType::Q6_K, row_of(7), {.effort = effort}), 0);
  }
}

TEST(Lattice, NeverHarmsOtherTypes) {
  const std::vector<float> importance = sample_importance(kColumns, 3);
  for (const GgmlType type : kLeveledTypes) {
    for (const LatticeRow& row : {nvfp4_row(3, 0.001f, 17), nvfp4_row(8, 0.02f, 18)}) {
      EXPECT_LE(error(type, row), 1.002 * error(type, row, {}, false)) << name(type);
      const RowContext weighted{.importance = importance};
      EXPECT_LE(error(type, row, weighted), 1.002 * error(type, row, weighted, false)) << name(type);
    }
  }
}

// Steps are only candidates: whatever they are, the result is sound.
TEST(Lattice, SurvivesImpossibleSteps) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = sample_row(kColumns, 19);
  for (const float step : {0.0f, -0.01f, kInf, -kInf, std::numeric_limits<float>::quiet_NaN(), 1e-45f, 1e38f}) {
    const LatticeRow row{.values = values, .steps = std::vector<float>(kColumns / 16, step), .group_elems = 16};
    for (const GgmlType type : kLeveledTypes) {
      EXPECT_LE(error(type, row), 1.002 * error(type, row, {}, false)) << name(type) << " " << step;
    }
  }
  const LatticeRow short_of_steps{.values = values, .steps = {0.01f}, .group_elems = 16};
  for (const GgmlType type : kLeveledTypes) EXPECT_LE(error(type, short_of_steps), 0.2) << name(type);
}

TEST(Lattice, WritesTheSameBytesOnEverySimdTarget) {
  const LatticeRow row = nvfp4_row(5, 0.003f, 20);
  for (const GgmlType type : kLeveledTypes) {
    const std::vector<std::byte> expected = encode(type, row);
    on_each_simd_target(
        [&](const std::string& target) { EXPECT_EQ(encode(type, row), expected) << name(type) << " " << target; });
  }
}

}  // namespace
}  // namespace ggufmill
