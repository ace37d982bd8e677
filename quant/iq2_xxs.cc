// IQ2_XXS: 2.0625 bits per weight. x = d*(2l+1)/8 * +-magnitude; 256 values per super-block, 8 sub-blocks of 32; magnitudes 8,
// 25, 43 are points of a codebook of 256 eights (grid8.h).
//   byte 0    d       f16       scale of the levels
//        2    s       8 x 8 u8  per sub-block: bytes 0 .. 3 = point indices of its eights; then a u32: bits 7k .. 7k+6 =
//                               signs of values 0 .. 6 of eight k, bits 28 .. 31 = level l
// A set bit is a minus. The sign of the last of 8 values is not stored: it makes the number of minus signs even. Format:
// ggml-common.h, llama.cpp b10573.
// Encoding: grid8_search-inl.h, weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. The codebook
// has no zero: zeros beside other values become +-d. A super-block of zeros is all zero bytes.
#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq2_xxs.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/grid8_search-inl.h"

#ifndef GGUFMILL_QUANT_IQ2_XXS_ONCE
#define GGUFMILL_QUANT_IQ2_XXS_ONCE
namespace ggufmill {
namespace {

struct Iq2Xxs {
  static constexpr size_t kElems = 256;
  static constexpr size_t kBytes = 66;
  static constexpr size_t kSubBlocksAt = 2;

  static constexpr size_t kPoints = 256;
  static constexpr size_t kGroups = 4;
  static constexpr std::array<float, 3> kLevels = kIq2Levels;
  static constexpr int kTopLevel = 15;
  static constexpr bool kSigns = true;
  static constexpr bool kEvenParity = true;
  static constexpr size_t kZeroCell = 0;
  static constexpr float kShift = 0;
  static constexpr size_t kShiftGroups = 1;
  static constexpr float kFirstD = 0.9f, kStepD = 0.064f;
  static const Grid8<kPoints>& grid() { return kIq2XxsGrid; }
  static const int32_t* nearest() { return kIq2XxsNearest; }

  static constexpr Grid8Effort kEfforts[] = {
      {kIq2FewAims, 1, 0, 0, false},   // fast
      {kIq2Aims, 1, 1, 0.2f, false},   // default
      {kIq2ManyAims, 4, 2, 0, false},  // max
  };
};

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline void pack_iq2_xxs(uint16_t d, const Grid8Block& values, const Grid8Choice& choice, std::byte* block) {
  store_u16(block, d);
  uint32_t packed = 0;
  for (size_t g = 0; g < kEights; ++g) {
    const auto code = choice.points.code[g];
    uint32_t minus = static_cast<uint32_t>(values.minus[g]);
    if (values.odd[g] != 0) minus ^= 1u << flipped_value<Iq2Xxs>(values, g, code);
    std::byte* sub_block = block + Iq2Xxs::kSubBlocksAt + 8 * (g / 4);
    sub_block[g % 4] = static_cast<std::byte>(code >> 16);
    packed |= (minus & 127) << (7 * (g % 4));
    if (g % 4 != 3) continue;
    packed |= static_cast<uint32_t>(choice.level.lane[g]) << 28;
    store_u16(sub_block + 4, static_cast<uint16_t>(packed & 0xFFFF));
    store_u16(sub_block + 6, static_cast<uint16_t>(packed >> 16));
    packed = 0;
  }
}

void encode_iq2_xxs_row(Row row, const RowContext& context, std::byte* out) {
  encode_eights<Iq2Xxs>(row, context, out, pack_iq2_xxs);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq2_xxs_row);
}  // namespace

void decode_iq2_xxs(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / Iq2Xxs::kElems; ++b, block += Iq2Xxs::kBytes) {
    const float d = load_f16(block);
    const std::byte* sub_block = block + Iq2Xxs::kSubBlocksAt;
    for (size_t j = 0; j < 8; ++j, sub_block += 8) {
      const uint32_t packed = load_u16(sub_block + 4) | static_cast<uint32_t>(load_u16(sub_block + 6)) << 16;
      const float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.25f;
      for (size_t k = 0; k < 4; ++k, y += 8) {
        const Grid8Values& magnitude = kIq2XxsValues[std::to_integer<size_t>(sub_block[k])];
        const Grid8Values& sign = kSignsOfEight[even_signs(packed >> (7 * k) & 127)];
        for (size_t e = 0; e < 8; ++e) y[e] = scale * magnitude[e] * sign[e];
      }
    }
  }
}

void encode_iq2_xxs(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq2_xxs_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
