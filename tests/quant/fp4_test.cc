// MXFP4 and NVFP4: their scales and codes, all of them, and that what came from such a grid goes back to it.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

constexpr float kCodes[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};

const Codec& mxfp4() { return *find_codec(GgmlType::MXFP4); }
const Codec& nvfp4() { return *find_codec(GgmlType::NVFP4); }

TEST(Mxfp4, DecodesEveryScaleAndCode) {
  for (int e = 0; e < 255; ++e) {
    std::vector<std::byte> block(17);
    block[0] = static_cast<std::byte>(e);
    for (size_t m = 0; m < 16; ++m) block[1 + m] = static_cast<std::byte>(m | (15 - m) << 4);
    const std::vector<float> values = decode_row(mxfp4(), block);
    for (size_t m = 0; m < 16; ++m) {
      ASSERT_EQ(values[m], std::ldexp(kCodes[m], e - 127)) << e;
      ASSERT_EQ(values[m + 16], std::ldexp(kCodes[15 - m], e - 127)) << e;
      ASSERT_FALSE(values[m] == 0 && std::signbit(values[m])) << "ggml has no -0";
    }
  }
}

TEST(Nvfp4, DecodesEveryScaleAndCode) {
  for (int s = 0; s < 128; ++s) {
    std::vector<std::byte> block(36);
    for (size_t g = 0; g < 4; ++g) {
      block[g] = static_cast<std::byte>(s);
      for (size_t m = 0; m < 8; ++m) block[4 + 8 * g + m] = static_cast<std::byte>(m | (m + 8) << 4);
    }
    const float e4m3 = s < 8 ? std::ldexp(static_cast<float>(s), -9) : std::ldexp(8.0f + s % 8, s / 8 - 10);
    const std::vector<float> values = decode_row(nvfp4(), block);
    for (size_t i = 0; i < 64; ++i) ASSERT_EQ(values[i], s == 0x7F ? 0 : e4m3 * kCodes[i % 16]) << s << " " << i;
  }
}

TEST(Mxfp4, KeepsWeightsOfAnyMagnitude) {
  for (const int exponent : {-117, -60, 0, 60, 110}) {
    std::vector<float> row = sample_row(1024, 1);
    for (float& x : row) x = std::ldexp(x, exponent);
    EXPECT_LE(relative_error(row, decode_row(mxfp4(), encode_row(mxfp4(), row))), 0.13) << exponent;
  }
}

// Rows of `scale * codes`, the scale different in every group of `elems`.
struct LatticeRow {
  std::vector<float> values, steps;
};
template <class Scale>
LatticeRow lattice_row(size_t columns, size_t elems, Scale scale) {
  std::mt19937_64 random(9);
  LatticeRow row;
  for (size_t i = 0; i < columns; ++i) {
    if (i % elems == 0) row.steps.push_back(scale(i / elems, random) / 2);
    row.values.push_back(2 * row.steps.back() * kCodes[random() % 16 & (i / elems % 3 == 0 ? 11 : 15)]);
  }
  return row;
}

TEST(Mxfp4, GoesBackToItsOwnGrid) {
  const LatticeRow row =
      lattice_row(4096, 32, [](size_t, auto& random) { return std::ldexp(1.0f, static_cast<int>(random() % 60) - 40); });
  for (const Effort effort : {Effort::kFast, Effort::kDefault, Effort::kMax}) {
    const RowContext context{.effort = effort, .lattice = {row.steps, 32}};
    EXPECT_EQ(decode_row(mxfp4(), encode_row(mxfp4(), row.values, context)), row.values);
  }
}

TEST(Nvfp4, GoesBackToItsOwnGridThroughTheTensorScale) {
  for (const float tensor_scale : {1.0f, 0x1p-10f, 0.00037f}) {
    const LatticeRow row = lattice_row(4096, 16, [&](size_t, auto& random) {
      const unsigned code = 1 + random() % 0x7E;
      return tensor_scale *
             (code < 8 ? std::ldexp(static_cast<float>(code), -9) : std::ldexp(8.0f + code % 8, static_cast<int>(code / 8) - 10));
    });
    for (const Effort effort : {Effort::kFast, Effort::kDefault, Effort::kMax}) {
      const RowContext context{.effort = effort, .lattice = {row.steps, 16}, .tensor_scale = tensor_scale};
      const std::vector<float> back = decode_row(nvfp4(), encode_row(nvfp4(), row.values, context));
      for (size_t i = 0; i < back.size(); ++i)
        ASSERT_NEAR(back[i] * tensor_scale, row.values[i], 2e-7 * std::fabs(row.values[i])) << i;
    }
  }
}

TEST(Nvfp4, UsesTheRangeThatATensorScaleOpens) {
  const std::vector<float> row = sample_row(4096, 3);
  const auto error = [&](float tensor_scale) {
    std::vector<float> back = decode_row(nvfp4(), encode_row(nvfp4(), row, {.tensor_scale = tensor_scale}));
    for (float& x : back) x *= tensor_scale;
    return relative_error(row, back);
  };
  EXPECT_LT(error(0x1p-10f), 0.95 * error(4)) << "scales of 1 / 1000 are denormal in E4M3";
}

}  // namespace
}  // namespace ggufmill
