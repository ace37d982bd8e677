// IQ1_S: 1.5625 bits per weight. x = d*(2l+1) * (q +- 1/8); 256 values per super-block, 8 sub-blocks of 32; q = -1, 0, 1 are
// points of a codebook of 2048 eights (grid8.h).
//   byte 0    d       f16      scale of the levels
//        2    low     32 x u8  low 8 bits of the 32 point indices
//        34   s       8 x u16  per sub-block: bits 3k .. 3k+2 = bits 8 .. 10 of the index of its point k, bits 12 .. 14 =
//                              level l, bit 15: the shift is -1/8
// Format: ggml-common.h, llama.cpp b10573.
// Encoding: grid8_search-inl.h, weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. There is no
// zero: zeros beside other values become +-d/8 at best. A super-block of zeros has d = 0 and points of zeros, so that it
// decodes to +0.
#include <algorithm>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq1_s.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/grid8_search-inl.h"

#ifndef GGUFMILL_QUANT_IQ1_S_ONCE
#define GGUFMILL_QUANT_IQ1_S_ONCE
namespace ggufmill {
namespace {

struct Iq1S {
  static constexpr size_t kElems = 256;
  static constexpr size_t kBytes = 50;
  static constexpr size_t kLowAt = 2, kSubBlocksAt = 34;

  static constexpr size_t kPoints = 2048;
  static constexpr size_t kGroups = 4;
  static constexpr std::array<float, 3> kLevels = kIq1Levels;
  static constexpr int kTopLevel = 7;
  static constexpr bool kSigns = false;
  static constexpr bool kEvenParity = false;
  static constexpr size_t kZeroCell = 3280;  // 0 eight times
  static constexpr float kShift = 0.125f;
  static constexpr size_t kShiftGroups = 4;
  static constexpr float kFirstD = 0.9f, kStepD = 0.1f;
  static const Grid8<kPoints>& grid() { return kIq1Grid; }
  static const int32_t* nearest() { return kIq1Nearest; }

  static constexpr Grid8Effort kEfforts[] = {
      {kIq1FewAims, 1, 0, 0, false},  // fast
      {kIq1Aims, 1, 0, 0, false},     // default
      {kIq1ManyAims, 4, 2, 0, true},  // max
  };
};

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline void pack_iq1_s(uint16_t d, const Grid8Block&, const Grid8Choice& choice, std::byte* block) {
  store_u16(block, d);
  for (size_t j = 0; j < kEights / 4; ++j) {
    const size_t lane = 4 * j;
    uint32_t packed = static_cast<uint32_t>(choice.level.lane[lane]) << 12 | (choice.points.shift.lane[lane] < 0 ? 0x8000u : 0u);
    for (size_t k = 0; k < 4; ++k) {
      const auto index = static_cast<uint32_t>(choice.points.code[lane + k]) >> 16;
      block[Iq1S::kLowAt + lane + k] = static_cast<std::byte>(index & 255);
      packed |= (index >> 8) << (3 * k);
    }
    store_u16(block + Iq1S::kSubBlocksAt + 2 * j, static_cast<uint16_t>(packed));
  }
}

void encode_iq1_s_row(Row row, const RowContext& context, std::byte* out) { encode_eights<Iq1S>(row, context, out, pack_iq1_s); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq1_s_row);
}  // namespace

void decode_iq1_s(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / Iq1S::kElems; ++b, block += Iq1S::kBytes) {
    const float d = load_f16(block);
    for (size_t j = 0; j < 8; ++j) {
      const unsigned packed = load_u16(block + Iq1S::kSubBlocksAt + 2 * j);
      const float scale = d * static_cast<float>(2 * (packed >> 12 & 7) + 1);
      const float shift = (packed & 0x8000) != 0 ? -Iq1S::kShift : Iq1S::kShift;
      for (size_t k = 0; k < 4; ++k, y += 8) {
        const Grid8Values& point =
            kIq1Values[std::to_integer<unsigned>(block[Iq1S::kLowAt + 4 * j + k]) | (packed >> (3 * k) & 7) << 8];
        Grid8Values value;
        for (size_t e = 0; e < 8; ++e) value[e] = scale * (point[e] + shift);
        std::copy(value.begin(), value.end(), y);
      }
    }
  }
}

void encode_iq1_s(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq1_s_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
