// IQ3_S: 3.4375 bits per weight. x = d*(2l+1) * +-magnitude; 256 values per super-block, 8 sub-blocks of 32; magnitudes are
// points of a codebook of 512 fours (iq3_grids.h: 1, 3 .. 15).
//   byte 0    d       f16      scale of the levels
//        2    low     64 x u8  low 8 bits of the 64 point indices
//        66   high    8 x u8   bit k of byte j: bit 8 of the index of point k of sub-block j
//        74   signs   32 x u8  bit i of byte m: value 8m + i is negative
//        106  l       4 x u8   sub-block 2k in the low nibble of byte k, 2k+1 in the high one
// Format: ggml-common.h, llama.cpp b10573.
// Encoding: iq3_search-inl.h, weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. The codebook has
// no zero: zeros beside other values become +-d. A super-block of zeros is all zero bytes.

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq3_s.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/iq3_decode-inl.h"
#include "quant/iq3_search-inl.h"

#ifndef GGUFMILL_QUANT_IQ3_S_ONCE
#define GGUFMILL_QUANT_IQ3_S_ONCE
namespace ggufmill {
namespace {

constexpr size_t kS3Elems = 256;
constexpr size_t kS3Bytes = 110;
constexpr size_t kS3LowAt = 2;
constexpr size_t kS3HighAt = 66;
constexpr size_t kS3SignsAt = 74;
constexpr size_t kS3LevelsAt = 106;

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Iq3SFormat {
  using Grid = Iq3SSteps;
  static constexpr size_t kBytes = kS3Bytes;

  static void pack(uint16_t d, const Iq3Choice& choice, size_t lane, std::byte* block) {
    store_u16(block, d);
    unsigned level[8];
    for (size_t j = 0; j < 8; ++j, ++lane) {
      unsigned high = 0;
      for (size_t g = 0; g < 8; ++g) {
        const unsigned index = Grid::near().index[choice.points.point[g][lane]];
        block[kS3LowAt + 8 * j + g] = static_cast<std::byte>(index & 255);
        high |= index >> 8 << g;
      }
      block[kS3HighAt + j] = static_cast<std::byte>(high);
      const auto minus = static_cast<uint32_t>(choice.points.minus[lane]);
      for (size_t k = 0; k < 4; ++k) block[kS3SignsAt + 4 * j + k] = static_cast<std::byte>(minus >> (8 * k) & 255);
      level[j] = static_cast<unsigned>(choice.level[lane]);
    }
    for (size_t k = 0; k < 4; ++k) block[kS3LevelsAt + k] = static_cast<std::byte>(level[2 * k] | level[2 * k + 1] << 4);
  }
};

void encode_iq3_s_row(Row row, const RowContext& context, std::byte* out) { encode_iq3_row<Iq3SFormat>(row, context, out); }

void decode_iq3_s_row(const std::byte* block, std::span<float> values) {
  const auto byte = [&](size_t at) { return std::to_integer<uint32_t>(block[at]); };
  for (size_t start = 0; start < values.size(); start += kS3Elems, block += kS3Bytes) {
    const float d = load_f16(block);
    for (size_t m = 0; m < 32; ++m) {  // eights
      const size_t j = m / 4;
      const uint32_t level = byte(kS3LevelsAt + j / 2) >> (j % 2 * 4) & 15, high = byte(kS3HighAt + j) >> (m % 4 * 2);
      const uint32_t first = byte(kS3LowAt + 2 * m) | (high & 1) << 8, second = byte(kS3LowAt + 2 * m + 1) | (high & 2) << 7;
      write_eight(kIq3SGrid.packed[first], kIq3SGrid.packed[second], byte(kS3SignsAt + m), d * static_cast<float>(1 + 2 * level),
                  &values[start + 8 * m]);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq3_s_row);
HWY_EXPORT(decode_iq3_s_row);
}  // namespace

void decode_iq3_s(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_iq3_s_row)(blocks.data(), values);
}

void encode_iq3_s(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq3_s_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
