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

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq3_xxs.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/iq3_decode-inl.h"
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

struct Iq3XxsFormat {
  using Grid = Iq3XxsSteps;
  static constexpr size_t kBytes = kXxsBytes;

  static void pack(uint16_t d, const Iq3Choice& choice, size_t lane, std::byte* block) {
    store_u16(block, d);
    for (size_t j = 0; j < 8; ++j, ++lane) {
      for (size_t g = 0; g < 8; ++g) {
        block[kXxsPointsAt + 8 * j + g] = static_cast<std::byte>(Grid::near().index[choice.points.point[g][lane]]);
      }
      const auto minus = static_cast<uint32_t>(choice.points.minus[lane]);
      uint32_t packed = static_cast<uint32_t>(choice.level[lane]) << 28;
      for (unsigned k = 0; k < 4; ++k) packed |= (minus >> (8 * k) & 127) << (7 * k);
      store_u16(block + kXxsSignsAt + 4 * j, static_cast<uint16_t>(packed & 0xFFFF));
      store_u16(block + kXxsSignsAt + 4 * j + 2, static_cast<uint16_t>(packed >> 16));
    }
  }
};

void encode_iq3_xxs_row(Row row, const RowContext& context, std::byte* out) { encode_iq3_row<Iq3XxsFormat>(row, context, out); }

void decode_iq3_xxs_row(const std::byte* block, std::span<float> values) {
  for (size_t start = 0; start < values.size(); start += kXxsElems, block += kXxsBytes) {
    const float d = load_f16(block);
    for (size_t m = 0; m < 32; ++m) {  // eights
      const uint32_t packed = load_u32(block + kXxsSignsAt + m / 4 * 4), stored = packed >> (m % 4 * 7) & 127;
      const float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.5f;
      const uint32_t minus = stored | static_cast<uint32_t>(std::popcount(stored) % 2) << 7;
      write_eight(kIq3XxsGrid.packed[std::to_integer<size_t>(block[kXxsPointsAt + 2 * m])],
                  kIq3XxsGrid.packed[std::to_integer<size_t>(block[kXxsPointsAt + 2 * m + 1])], minus, scale,
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
HWY_EXPORT(encode_iq3_xxs_row);
HWY_EXPORT(decode_iq3_xxs_row);
}  // namespace

void decode_iq3_xxs(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_iq3_xxs_row)(blocks.data(), values);
}

void encode_iq3_xxs(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq3_xxs_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
