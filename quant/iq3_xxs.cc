// IQ3_XXS: 3.0625 bits per weight. x = d*(2l+1)/4 * +-magnitude; 256 values per super-block, 8 sub-blocks of 32; magnitudes are
// points of a codebook of 256 fours (iq3_grids.h: 4, 12 .. 62).
//   byte 0   d       f16      scale of the levels
//        2   points  64 x u8  point indices
//        66  s       8 x u32  per sub-block: bits 7k .. 7k+6 = signs of values 8k .. 8k+6; bits 28 .. 31 = level l
// A set bit is a minus. The sign of the last of 8 values is not stored: it makes the number of minus signs even. Format:
// ggml-common.h, llama.cpp b10573.
// Encoding: iq3_search-inl.h, weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. The codebook has
// no zero: zeros beside other values become +-d. A super-block of zeros is all zero bytes.
#include <bit>
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq3_xxs.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/iq3_search-inl.h"

#ifndef GGUFMILL_QUANT_IQ3_XXS_ONCE
#define GGUFMILL_QUANT_IQ3_XXS_ONCE
namespace ggufmill {
namespace {

constexpr size_t kXxsElems = 256;
constexpr size_t kXxsBytes = 98;
constexpr size_t kXxsPointsAt = 2;
constexpr size_t kXxsSignsAt = 66;

uint32_t load_u32(const std::byte* from) { return load_u16(from) | static_cast<uint32_t>(load_u16(from + 2)) << 16; }

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline void pack_iq3_xxs(uint16_t d, const Iq3Choice& choice, std::byte* block) {
  store_u16(block, d);
  for (size_t k = 0; k < 64; ++k) block[kXxsPointsAt + k] = static_cast<std::byte>(choice.point[k]);
  for (size_t j = 0; j < 8; ++j) {
    uint32_t packed = static_cast<uint32_t>(choice.level[j]) << 28;
    for (unsigned k = 0; k < 4; ++k) packed |= (choice.minus[j] >> (8 * k) & 127) << (7 * k);
    store_u16(block + kXxsSignsAt + 4 * j, static_cast<uint16_t>(packed & 0xFFFF));
    store_u16(block + kXxsSignsAt + 4 * j + 2, static_cast<uint16_t>(packed >> 16));
  }
}

void encode_iq3_xxs_row(Row row, const RowContext& context, std::byte* out) {
  const RowWeights row_weights(context);
  Iq3Values values;
  float x[kXxsElems];
  for (size_t first = 0; first < row.size(); first += kXxsElems, out += kXxsBytes) {
    const BlockUnit unit = load_block(&row[first], kXxsElems, x);
    row_weights.load(first, kXxsElems, x, values.weight);
    const Iq3Choice choice = unit.zero ? Iq3Choice() : search_points<true>(x, unit, kIq3XxsGrid, kIq3XxsNeighbours, values);
    pack_iq3_xxs(unit.scale_bits(choice.d * kIq3XxsGrid.unit), choice, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq3_xxs_row);
}  // namespace

void decode_iq3_xxs(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kXxsElems; ++b, block += kXxsBytes) {
    const float d = load_f16(block);
    for (size_t k = 0; k < 64; ++k) {
      const uint32_t packed = load_u32(block + kXxsSignsAt + k / 8 * 4);
      const float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.5f;
      const uint32_t stored = packed >> (k % 8 / 2 * 7) & 127;
      const size_t signs = (stored | static_cast<uint32_t>(std::popcount(stored) % 2) << 7) >> (k % 2 * 4) & 15;
      const std::array<float, 4>& magnitude = kIq3XxsGrid.values[std::to_integer<size_t>(block[kXxsPointsAt + k])];
      const std::array<float, 4>& sign = kIq3Signs[signs];
      for (size_t e = 0; e < 4; ++e) y[e] = scale * magnitude[e] * sign[e];
      y += 4;
    }
  }
}

void encode_iq3_xxs(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq3_xxs_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
