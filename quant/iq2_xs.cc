// IQ2_XS: 2.3125 bits per weight. x = d*(2l+1)/8 * +-magnitude; 256 values per super-block, 16 sub-blocks of 16; magnitudes 8,
// 25, 43 are points of a codebook of 512 eights (grid8.h).
//   byte 0    d       f16       scale of the levels
//        2    points  32 x u16  per eight: bits 0 .. 8 = point index, bits 9 .. 15 = signs of its values 0 .. 6
//        66   l       8 x u8    sub-block 2k in the low nibble of byte k, 2k+1 in the high one
// A set bit is a minus. The sign of the last of 8 values is not stored: it makes the number of minus signs even. Format:
// ggml-common.h, llama.cpp b10573.
// Encoding: grid8_search-inl.h, weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. The codebook
// has no zero: zeros beside other values become +-d. A super-block of zeros is all zero bytes.
#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq2_xs.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/grid8_search-inl.h"

#ifndef GGUFMILL_QUANT_IQ2_XS_ONCE
#define GGUFMILL_QUANT_IQ2_XS_ONCE
namespace ggufmill {
namespace {

struct Iq2Xs {
  static constexpr size_t kElems = 256;
  static constexpr size_t kBytes = 74;
  static constexpr size_t kPointsAt = 2, kLevelsAt = 66;

  static constexpr size_t kPoints = 512;
  static constexpr size_t kGroups = 2;
  static constexpr std::array<float, 3> kLevels = kIq2Levels;
  static constexpr int kTopLevel = 15;
  static constexpr bool kSigns = true;
  static constexpr bool kEvenParity = true;
  static constexpr size_t kZeroCell = 0;
  static constexpr float kShift = 0;
  static constexpr size_t kShiftGroups = 1;
  static constexpr float kFirstD = 0.9f, kStepD = 0.064f;
  static const Grid8<kPoints>& grid() { return kIq2XsGrid; }
  static const int32_t* nearest() { return kIq2XsNearest; }

  static constexpr Grid8Effort kEfforts[] = {
      {kIq2FewAims, 1, 0, 0, false},   // fast
      {kIq2Aims, 2, 1, 0.3f, false},   // default
      {kIq2ManyAims, 4, 2, 0, false},  // max
  };
};

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline void pack_iq2_xs(uint16_t d, const Grid8Block& values, const Grid8Choice& choice, std::byte* block) {
  store_u16(block, d);
  for (size_t g = 0; g < kEights; ++g) {
    const auto code = choice.points.code[g];
    uint32_t minus = static_cast<uint32_t>(values.minus[g]);
    if (values.odd[g] != 0) minus ^= 1u << flipped_value<Iq2Xs>(values, g, code);
    const uint32_t packed = static_cast<uint32_t>(code) >> 16 | (minus & 127) << 9;
    store_u16(block + Iq2Xs::kPointsAt + 2 * g, static_cast<uint16_t>(packed));
    if (g % 2 == 0)
      block[Iq2Xs::kLevelsAt + g / 4] |= static_cast<std::byte>(static_cast<unsigned>(choice.level.lane[g]) << (2 * (g % 4)));
  }
}

void encode_iq2_xs_row(Row row, const RowContext& context, std::byte* out) {
  encode_eights<Iq2Xs>(row, context, out, pack_iq2_xs);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq2_xs_row);
}  // namespace

void decode_iq2_xs(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / Iq2Xs::kElems; ++b, block += Iq2Xs::kBytes) {
    const float d = load_f16(block);
    for (size_t g = 0; g < 32; ++g, y += 8) {
      const unsigned packed = load_u16(block + Iq2Xs::kPointsAt + 2 * g);
      const unsigned level = std::to_integer<unsigned>(block[Iq2Xs::kLevelsAt + g / 4]) >> (g / 2 % 2 * 4) & 15;
      const float scale = d * (0.5f + static_cast<float>(level)) * 0.25f;
      const Grid8Values& magnitude = kIq2XsValues[packed & 511];
      const Grid8Values& sign = kSignsOfEight[even_signs(packed >> 9)];
      for (size_t e = 0; e < 8; ++e) y[e] = scale * magnitude[e] * sign[e];
    }
  }
}

void encode_iq2_xs(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq2_xs_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
