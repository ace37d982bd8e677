// IQ2_S: 2.5625 bits per weight. x = d*(2l+1)/8 * +-magnitude; 256 values per super-block, 16 sub-blocks of 16; magnitudes 8,
// 25, 43 are points of a codebook of 1024 eights (grid8.h).
//   byte 0    d       f16      scale of the levels
//        2    low     32 x u8  low 8 bits of the 32 point indices
//        34   signs   32 x u8  bit e of byte g: value 8g + e is negative
//        66   high    8 x u8   bits 2k, 2k+1 of byte j: bits 8, 9 of the index of point 4j + k
//        74   l       8 x u8   sub-block 2k in the low nibble of byte k, 2k+1 in the high one
// Format: ggml-common.h, llama.cpp b10573.
// Encoding: grid8_search-inl.h, weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. The codebook
// has no zero: zeros beside other values become +-d. A super-block of zeros is all zero bytes.
#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq2_s.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/grid8_search-inl.h"

#ifndef GGUFMILL_QUANT_IQ2_S_ONCE
#define GGUFMILL_QUANT_IQ2_S_ONCE
namespace ggufmill {
namespace {

struct Iq2S {
  static constexpr size_t kElems = 256;
  static constexpr size_t kBytes = 82;
  static constexpr size_t kLowAt = 2, kSignsAt = 34, kHighAt = 66, kLevelsAt = 74;

  static constexpr size_t kPoints = 1024;
  static constexpr size_t kGroups = 2;
  static constexpr std::array<float, 3> kLevels = kIq2Levels;
  static constexpr int kTopLevel = 15;
  static constexpr bool kSigns = true;
  static constexpr bool kEvenParity = false;
  static constexpr size_t kZeroCell = 0;
  static constexpr float kShift = 0;
  static constexpr size_t kShiftGroups = 1;
  static constexpr float kFirstD = 0.9f, kStepD = 0.064f;
  static const Grid8<kPoints>& grid() { return kIq2SGrid; }
  static const int32_t* nearest() { return kIq2SNearest; }

  static constexpr Grid8Effort kEfforts[] = {
      {kIq2FewAims, 1, 0, 0, false},     // fast
      {kIq2FewAims, 1, 1, 0.5f, false},  // default
      {kIq2ManyAims, 4, 2, 0, false},    // max
  };
};

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline void pack_iq2_s(uint16_t d, const Grid8Block& values, const Grid8Choice& choice, std::byte* block) {
  store_u16(block, d);
  for (size_t g = 0; g < kEights; ++g) {
    const auto index = static_cast<uint32_t>(choice.points.code[g]) >> 16;
    block[Iq2S::kLowAt + g] = static_cast<std::byte>(index & 255);
    block[Iq2S::kSignsAt + g] = static_cast<std::byte>(values.minus[g]);
    block[Iq2S::kHighAt + g / 4] |= static_cast<std::byte>((index >> 8) << (2 * (g % 4)));
    if (g % 2 == 0)
      block[Iq2S::kLevelsAt + g / 4] |= static_cast<std::byte>(static_cast<unsigned>(choice.level.lane[g]) << (2 * (g % 4)));
  }
}

void encode_iq2_s_row(Row row, const RowContext& context, std::byte* out) { encode_eights<Iq2S>(row, context, out, pack_iq2_s); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq2_s_row);
}  // namespace

void decode_iq2_s(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / Iq2S::kElems; ++b, block += Iq2S::kBytes) {
    const float d = load_f16(block);
    const auto byte = [&](size_t at) { return std::to_integer<unsigned>(block[at]); };
    for (size_t g = 0; g < 32; ++g, y += 8) {
      const unsigned level = byte(Iq2S::kLevelsAt + g / 4) >> (g / 2 % 2 * 4) & 15;
      const float scale = d * (0.5f + static_cast<float>(level)) * 0.25f;
      const Grid8Values& magnitude = kIq2SValues[byte(Iq2S::kLowAt + g) | (byte(Iq2S::kHighAt + g / 4) >> (g % 4 * 2) & 3) << 8];
      const Grid8Values& sign = kSignsOfEight[byte(Iq2S::kSignsAt + g)];
      for (size_t e = 0; e < 8; ++e) y[e] = scale * magnitude[e] * sign[e];
    }
  }
}

void encode_iq2_s(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq2_s_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
