// The pieces of the searches for value = scale * code, on the target that this file is compiled for, and what their results are
// worth: whatever scale a block got, its codes are the nearest.
#include <gtest/gtest.h>

#include <array>

#include "quant/f16.h"
#include "tests/quant/sample_rows.h"
// clang-format off
#include "quant/simd_targets.h"
#include "quant/scale_search-inl.h"
// clang-format on

namespace ggufmill {
namespace {

namespace target = HWY_NAMESPACE;
namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;

float rounded_in_a_lane(float scale, const BlockUnit& unit) {
  const Tag d;
  return hn::GetLane(target::rounded_scale(d, hn::Set(d, scale), hn::Set(d, unit.up), hn::Set(d, unit.down)));
}

TEST(ScaleSearch, RoundsScalesInLanesAsBlockUnitDoes) {
  std::mt19937_64 random(1);
  for (const int exponent : {-25, -14, -3, 0, 5, 30, 127}) {
    const BlockUnit unit{.zero = false, .up = power_of_two(exponent), .down = power_of_two(-exponent)};
    for (int i = 0; i < 20000; ++i) {
      const float scale = std::ldexp(static_cast<float>(static_cast<int64_t>(random())), -63 - static_cast<int>(random() % 40));
      ASSERT_EQ(rounded_in_a_lane(scale, unit), unit.rounded(scale)) << scale << " " << exponent;
    }
    for (const float scale : {0.0f, 1.0f, -1.0f, 0x1.ffcp0f, 0x1.ffep0f, 0x1.002p0f, 1e-30f, -1e-30f}) {
      ASSERT_EQ(rounded_in_a_lane(scale, unit), unit.rounded(scale)) << scale << " " << exponent;
    }
  }
}

TEST(ScaleSearch, RoundsSmallNumbersToEvenIntegers) {
  const Tag d;
  for (const float v : {0.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 127.49f, -128.5f, 4194303.0f, -4194303.0f}) {
    EXPECT_EQ(hn::GetLane(target::rounded_small(d, hn::Set(d, v))), std::nearbyint(v)) << v;
  }
}

TEST(ScaleSearch, TurnsBlocksIntoLanes) {
  std::vector<float> x(16 * 32), w(16 * 32);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i);
    w[i] = -static_cast<float>(i);
  }
  target::LaneBlocks<32, 16> lanes;
  lanes.set_all(x.data(), w.data());
  for (size_t l = 0; l < 16; ++l) {
    for (size_t e = 0; e < 32; ++e) {
      ASSERT_EQ(lanes.x[e][l], x[l * 32 + e]);
      ASSERT_EQ(lanes.w[e][l], w[l * 32 + e]);
    }
  }
}

std::vector<float> codebook(GgmlType type) {
  if (type == GgmlType::IQ4_NL) return {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  const int half = type == GgmlType::Q4_0 ? 8 : 16;
  std::vector<float> codes;
  for (int q = -half; q < half; ++q) codes.push_back(static_cast<float>(q));
  return codes;
}

TEST(ScaleSearch, CodesAreTheNearestAtTheScaleThatTheBlockHolds) {
  const std::vector<float> row = sample_row(32 * 512, 3), importance = sample_importance(32 * 512, 4);
  for (const GgmlType type : {GgmlType::Q4_0, GgmlType::Q5_0, GgmlType::IQ4_NL}) {
    const std::vector<float> codes = codebook(type);
    const std::vector<std::byte> blocks = encode_row(*find_codec(type), row, importance);
    const std::vector<float> back = decode_row(*find_codec(type), blocks);
    for (size_t i = 0; i < row.size(); ++i) {
      const float scale = load_f16(&blocks[i / 32 * info(type).block_bytes]);
      float least = std::fabs(row[i] - back[i]);
      const float found = least;
      for (const float code : codes) least = std::min(least, std::fabs(row[i] - scale * code));
      ASSERT_LE(found, least + 1e-6f * std::fabs(scale)) << name(type) << " " << i;
    }
  }
}

}  // namespace
}  // namespace ggufmill
