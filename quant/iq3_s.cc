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
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq3_s.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
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

inline void pack_iq3_s(uint16_t d, const Iq3Choice& choice, std::byte* block) {
  std::memset(block, 0, kS3Bytes);
  store_u16(block, d);
  for (size_t k = 0; k < 64; ++k) {
    block[kS3LowAt + k] = static_cast<std::byte>(choice.point[k] & 255);
    block[kS3HighAt + k / 8] |= static_cast<std::byte>((choice.point[k] >> 8) << (k % 8));
  }
  for (size_t m = 0; m < 32; ++m) block[kS3SignsAt + m] = static_cast<std::byte>(choice.minus[m / 4] >> (m % 4 * 8) & 255);
  for (size_t j = 0; j < 8; ++j)
    block[kS3LevelsAt + j / 2] |= static_cast<std::byte>(static_cast<unsigned>(choice.level[j]) << (j % 2 * 4));
}

void encode_iq3_s_row(Row row, const RowContext& context, std::byte* out) {
  const RowWeights row_weights(context);
  Iq3Values values;
  float x[kS3Elems];
  for (size_t first = 0; first < row.size(); first += kS3Elems, out += kS3Bytes) {
    const BlockUnit unit = load_block(&row[first], kS3Elems, x);
    row_weights.load(first, kS3Elems, x, values.weight);
    const Iq3Choice choice = unit.zero ? Iq3Choice() : search_points<false>(x, unit, kIq3SGrid, kIq3SNeighbours, values);
    pack_iq3_s(unit.scale_bits(choice.d), choice, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq3_s_row);
}  // namespace

void decode_iq3_s(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  const auto byte = [&](size_t at) { return std::to_integer<unsigned>(block[at]); };
  for (size_t b = 0; b < values.size() / kS3Elems; ++b, block += kS3Bytes) {
    const float d = load_f16(block);
    for (size_t k = 0; k < 64; ++k) {
      const size_t j = k / 8;
      const unsigned level = byte(kS3LevelsAt + j / 2) >> (j % 2 * 4) & 15;
      const float scale = d * static_cast<float>(1 + 2 * level);
      const std::array<float, 4>& magnitude = kIq3SGrid.values[byte(kS3LowAt + k) | (byte(kS3HighAt + j) >> (k % 8) & 1) << 8];
      const std::array<float, 4>& sign = kIq3Signs[byte(kS3SignsAt + k / 2) >> (k % 2 * 4) & 15];
      for (size_t e = 0; e < 4; ++e) y[e] = scale * magnitude[e] * sign[e];
      y += 4;
    }
  }
}

void encode_iq3_s(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq3_s_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
