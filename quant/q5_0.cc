// Q5_0: 5.5 bits per weight. x = d*q; blocks of 32.
//   byte 0   d     f16      scale, of either sign
//        2   high  u32      bit m: bit 4 of the code of value m
//        6   low   16 x u8  byte m: low nibble = low 4 bits of value m, high nibble = of value m + 16
// A code of 5 bits stands for q = code - 16 (-16 .. 15). Format: ggml-common.h, llama.cpp b10573.
// Encoding: the best scale of either sign (block_scale_search-inl.h), weighted by importance (row_weights.h). NaN,
// infinity and range: finite_block.h. A block of zeros is d = 0 with codes of 16.
#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q5_0.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/block_scale_search-inl.h"
#include "quant/scaled_values-inl.h"

#ifndef GGUFMILL_QUANT_Q5_0_ONCE
#define GGUFMILL_QUANT_Q5_0_ONCE
namespace ggufmill {
namespace {

constexpr size_t kQ5Elems = 32;
constexpr size_t kQ5Bytes = 22;

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q5Codes : UniformCodes<-16, 15> {
  static constexpr Span kAims[2] = {{-17.0f, -14.0f}, {16.0f, 13.0f}};
  static constexpr Span kWeightedAims[2] = {{-22.0f, -14.0f}, {21.0f, 13.0f}};
  static constexpr float kLattice[][2] = {{1, -1}, {-0.5f, 0.5f}, {-4.0f / 3, 4.0f / 3}};
};

struct Q5Format {
  using Codes = Q5Codes;
  static constexpr size_t kBytes = kQ5Bytes;

  static constexpr BlockTuning kTuning[] = {{.tries = 8, .flat_tries = 3, .rounds = 1},     // fast
                                            {.tries = 14, .flat_tries = 5, .rounds = 2},    // default
                                            {.tries = 96, .flat_tries = 64, .rounds = 6}};  // max
  static void pack(uint16_t d, const uint8_t* codes, std::byte* block) {
    store_u16(block, d);
    uint32_t high = 0;
    for (size_t m = 0; m < kQ5Elems; ++m) high |= static_cast<uint32_t>(codes[m] >> 4) << m;
    store_u16(block + 2, static_cast<uint16_t>(high & 0xFFFF));
    store_u16(block + 4, static_cast<uint16_t>(high >> 16));
    write_nibbles<16>(codes, codes + 16, block + 6);
  }
};

void encode_q5_0_row(Row row, const RowContext& context, std::byte* out) { encode_scaled_row<Q5Format>(row, context, out); }

// Bits first, first + 1, .. of `bits`, one per lane.
HWY_INLINE CodeVec one_bit_per_lane(uint32_t bits, size_t first) {
  const CodeTag i32;
  const auto mine = hn::Shl(hn::Set(i32, 1), hn::Iota(i32, static_cast<int>(first)));
  return hn::IfThenElseZero(hn::TestBit(hn::Set(i32, static_cast<int32_t>(bits)), mine), hn::Set(i32, 1));
}

void decode_q5_0_blocks(Blocks blocks, std::span<float> values) {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kQ5Elems; ++b, block += kQ5Bytes, y += kQ5Elems) {
    const float d = load_f16(block);
    const std::byte* low = block + 6;
    for (const int half : {0, 1}) {
      const uint32_t high = load_u16(block + 2 + 2 * half);
      write_scaled<16>(d, y + 16 * half, [&](size_t m) HWY_ATTR {
        const auto high_bit = hn::ShiftLeft<4>(one_bit_per_lane(high, m));
        return hn::Sub(hn::Or(bits_at(bytes_at(low + m), 4 * half, 4), high_bit), hn::Set(CodeTag(), 16));
      });
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(decode_q5_0_blocks);
HWY_EXPORT(encode_q5_0_row);
}  // namespace

void decode_q5_0(Blocks blocks, std::span<float> values) noexcept { HWY_DYNAMIC_DISPATCH(decode_q5_0_blocks)(blocks, values); }

void encode_q5_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q5_0_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
