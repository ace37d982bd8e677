// IQ1_M: 1.75 bits per weight. x = d*(2l+1) * (q +- 1/8); 256 values per super-block, 16 sub-blocks of 16; q = -1, 0, 1 are
// points of a codebook of 2048 eights (grid8.h).
// d is an f16, scale of the levels.
//   byte 0    low     32 x u8  low 8 bits of the 32 point indices
//        32   high    16 x u8  eight 2k in the low nibble of byte k, 2k+1 in the high one: bits 0 .. 2 = bits 8 .. 10 of
//                              the index, bit 3: the shift is -1/8
//        48   l       4 x u16  bits 3k .. 3k+2 of word i: level l of sub-block 4i + k; bits 12 .. 15: bits 4i .. 4i+3 of d
// Format: ggml-common.h, llama.cpp b10573.
// Encoding: grid8_search-inl.h, weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. There is no
// zero: zeros beside other values become +-d/8 at best. A super-block of zeros has d = 0 and points of zeros, so that it
// decodes to +0.
#include <algorithm>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq1_m.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/grid8_search-inl.h"

#ifndef GGUFMILL_QUANT_IQ1_M_ONCE
#define GGUFMILL_QUANT_IQ1_M_ONCE
namespace ggufmill {
namespace {

struct Iq1M {
  static constexpr size_t kElems = 256;
  static constexpr size_t kBytes = 56;
  static constexpr size_t kLowAt = 0, kHighAt = 32, kLevelsAt = 48;

  static constexpr size_t kPoints = 2048;
  static constexpr size_t kGroups = 2;
  static constexpr std::array<float, 3> kLevels = kIq1Levels;
  static constexpr int kTopLevel = 7;
  static constexpr bool kSigns = false;
  static constexpr bool kEvenParity = false;
  static constexpr size_t kZeroCell = 3280;  // 0 eight times
  static constexpr float kShift = 0.125f;
  static constexpr size_t kShiftGroups = 1;
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

inline void pack_iq1_m(uint16_t d, const Grid8Block&, const Grid8Choice& choice, std::byte* block) {
  for (size_t g = 0; g < kEights; ++g) {
    const auto index = static_cast<uint32_t>(choice.points.code[g]) >> 16;
    block[Iq1M::kLowAt + g] = static_cast<std::byte>(index & 255);
    const uint32_t high = index >> 8 | (choice.points.shift.lane[g] < 0 ? 8u : 0u);
    block[Iq1M::kHighAt + g / 2] |= static_cast<std::byte>(high << (4 * (g % 2)));
  }
  for (size_t i = 0; i < 4; ++i) {
    uint32_t word = static_cast<uint32_t>(d >> (4 * i) & 15) << 12;
    for (size_t k = 0; k < 4; ++k) word |= static_cast<uint32_t>(choice.level.lane[8 * i + 2 * k]) << (3 * k);
    store_u16(block + Iq1M::kLevelsAt + 2 * i, static_cast<uint16_t>(word));
  }
}

void encode_iq1_m_row(Row row, const RowContext& context, std::byte* out) { encode_eights<Iq1M>(row, context, out, pack_iq1_m); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq1_m_row);
}  // namespace

void decode_iq1_m(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  constexpr float kShifts[2] = {Iq1M::kShift, -Iq1M::kShift};
  for (size_t b = 0; b < values.size() / Iq1M::kElems; ++b, block += Iq1M::kBytes) {
    uint16_t words[4];
    unsigned d_bits = 0;
    for (size_t i = 0; i < 4; ++i) {
      words[i] = load_u16(block + Iq1M::kLevelsAt + 2 * i);
      d_bits |= static_cast<unsigned>(words[i] >> 12) << (4 * i);
    }
    const float d = f16_to_f32(static_cast<uint16_t>(d_bits));
    for (size_t j = 0; j < 16; ++j) {
      const float scale = d * static_cast<float>(2 * (words[j / 4] >> (j % 4 * 3) & 7) + 1);
      const unsigned both = std::to_integer<unsigned>(block[Iq1M::kHighAt + j]);
      for (size_t k = 0; k < 2; ++k, y += 8) {
        const unsigned high = both >> (4 * k);
        const float shift = kShifts[high >> 3 & 1];
        const Grid8Values& point = kIq1Values[std::to_integer<unsigned>(block[Iq1M::kLowAt + 2 * j + k]) | (high & 7) << 8];
        Grid8Values value;
        for (size_t e = 0; e < 8; ++e) value[e] = scale * (point[e] + shift);
        std::copy(value.begin(), value.end(), y);
      }
    }
  }
}

void encode_iq1_m(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq1_m_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
