// Repacked rows against the layouts, and against decoding the published form.
#include "quant/repack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

struct Published {
  std::vector<std::byte> codes, scales;
};

// A row whose scales are 0, 1, 2 ... below `scale_codes`, its codes random.
Published random_row(size_t group_elems, size_t groups, size_t scale_codes) {
  std::mt19937_64 random(4);
  Published row{std::vector<std::byte>(group_elems * groups / 2), std::vector<std::byte>(groups)};
  for (std::byte& byte : row.codes) byte = static_cast<std::byte>(random() >> 56);
  for (size_t g = 0; g < groups; ++g) row.scales[g] = static_cast<std::byte>(g % scale_codes);
  return row;
}

unsigned nibble(std::span<const std::byte> codes, size_t c) { return std::to_integer<unsigned>(codes[c / 2]) >> c % 2 * 4 & 15; }

TEST(Repack, Nvfp4ByTheLayout) {
  const Published row = random_row(16, 8, 256);
  std::vector<std::byte> blocks(2 * 36);
  repack_nvfp4(row.codes, row.scales, blocks);
  for (size_t c = 0; c < 128; ++c) {
    const size_t block = c / 64, group = c % 64 / 16, at = c % 16;
    EXPECT_EQ(blocks[36 * block + group], row.scales[c / 16]);
    const unsigned byte = std::to_integer<unsigned>(blocks[36 * block + 4 + 8 * group + at % 8]);
    EXPECT_EQ(at < 8 ? byte & 15 : byte >> 4, nibble(row.codes, c)) << c;
  }
}

TEST(Repack, Mxfp4ByTheLayout) {
  const Published row = random_row(32, 3, 256);
  std::vector<std::byte> blocks(3 * 17);
  repack_mxfp4(row.codes, row.scales, blocks);
  for (size_t c = 0; c < 96; ++c) {
    const size_t block = c / 32, at = c % 32;
    EXPECT_EQ(blocks[17 * block], row.scales[block]);
    const unsigned byte = std::to_integer<unsigned>(blocks[17 * block + 1 + at % 16]);
    EXPECT_EQ(at < 16 ? byte & 15 : byte >> 4, nibble(row.codes, c)) << c;
  }
}

using RepackFn = void (*)(std::span<const std::byte>, std::span<const std::byte>, std::span<std::byte>) noexcept;

// All scales that a block can hold, each many times, and a scale of the tensor.
void expect_same_values(GgmlType type, SourceScales kind, size_t group_elems, size_t scale_codes, RepackFn repack) {
  const Published row = random_row(group_elems, scale_codes * 32, scale_codes);
  EXPECT_EQ(first_bad_scale(kind, row.scales), std::nullopt);
  std::vector<float> scales(row.scales.size()), expected(row.codes.size() * 2);
  std::vector<std::byte> blocks(expected.size() / info(type).block_elems * info(type).block_bytes);
  on_each_simd_target([&](const std::string& target) {
    decode_scales(kind, row.scales, scales);
    repack(row.codes, row.scales, blocks);
    for (const float tensor_scale : {1.0f, 0.00037f}) {
      decode_codes(SourceCodes::kE2M1, row.codes, scales, static_cast<uint32_t>(group_elems), tensor_scale, expected);
      std::vector<float> values = decode_row(*find_codec(type), blocks);
      for (float& v : values) v = v * tensor_scale + 0.0f;
      for (float& v : expected) v += 0.0f;  // -0 becomes +0: ggml reads code 8 as that
      ASSERT_EQ(std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)), 0) << target;
    }
  });
}
TEST(Repack, Nvfp4DecodesToThePublishedValues) {
  expect_same_values(GgmlType::NVFP4, SourceScales::kE4M3, 16, 127, repack_nvfp4);
}
TEST(Repack, Mxfp4DecodesToThePublishedValues) {
  expect_same_values(GgmlType::MXFP4, SourceScales::kE8M0, 32, 255, repack_mxfp4);
}

TEST(Repack, FindsScalesThatAreNoNumberOrNegative) {
  for (unsigned code = 0; code < 256; ++code) {
    const std::byte bytes[] = {std::byte{1}, static_cast<std::byte>(code)};
    EXPECT_EQ(first_bad_scale(SourceScales::kE4M3, bytes).has_value(), code == 0x7F || code > 0x80) << code;
    EXPECT_EQ(first_bad_scale(SourceScales::kE8M0, bytes).has_value(), code == 0xFF) << code;
  }
  std::vector<float> scales(1000, 0.5f);
  scales[3] = -0.0f;
  EXPECT_EQ(first_bad_scale(SourceScales::kF32, std::as_bytes(std::span(scales))), std::nullopt);
  scales[4] = -1;
  EXPECT_EQ(first_bad_scale(SourceScales::kF32, std::as_bytes(std::span(scales))), std::nullopt) << "beside integers";
  for (const float bad : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    scales[777] = bad;
    EXPECT_EQ(first_bad_scale(SourceScales::kF32, std::as_bytes(std::span(scales))), 777);
  }
  const uint16_t halves[] = {0x3C00, 0x7BFF, 0x7C00, 0x8001};  // as F16: 1, 65504, infinity
  EXPECT_EQ(first_bad_scale(SourceScales::kF16, std::as_bytes(std::span(halves))), 2);
  EXPECT_EQ(first_bad_scale(SourceScales::kBF16, std::as_bytes(std::span(halves))), std::nullopt);
  EXPECT_EQ(first_bad_scale(SourceScales::kE8M0, {}), std::nullopt);
}

}  // namespace
}  // namespace ggufmill
