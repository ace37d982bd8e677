// Q4_0: 4.5 bits per weight. x = d*q; blocks of 32.
//   byte 0   d  f16      scale, of either sign
//        2   q  16 x u8  byte m: low nibble = value m, high nibble = value m + 16
// A nibble stands for q = nibble - 8 (-8 .. 7). Format: ggml-common.h, llama.cpp b10573.
// Encoding: the best scale of either sign (block_scale_search-inl.h), weighted by importance (row_weights.h). NaN,
// infinity and range: finite_block.h. A block of zeros is d = 0 with nibbles of 8.
#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q4_0.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/block_scale_search-inl.h"
#include "quant/scaled_values-inl.h"

#ifndef GGUFMILL_QUANT_Q4_0_ONCE
#define GGUFMILL_QUANT_Q4_0_ONCE
namespace ggufmill {
namespace {

constexpr size_t kQ4Elems = 32;
constexpr size_t kQ4Bytes = 18;

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q4Codes : UniformCodes<-8, 7> {
  static constexpr Span kAims[2] = {{-8.7f, -6.5f}, {7.5f, 5.7f}};
  static constexpr Span kWeightedAims[2] = {{-14.0f, -6.5f}, {13.0f, 5.7f}};
  static constexpr float kLattice[][2] = {{1, -1}, {-0.5f, 0.5f}, {-2.0f / 3, 2.0f / 3}};
};

struct Q4Format {
  using Codes = Q4Codes;
  static constexpr size_t kBytes = kQ4Bytes;

  static constexpr BlockTuning kTuning[] = {{.tries = 8, .flat_tries = 3, .rounds = 1},     // fast
                                            {.tries = 14, .flat_tries = 4, .rounds = 2},    // default
                                            {.tries = 96, .flat_tries = 64, .rounds = 6}};  // max
  static void pack(uint16_t d, const uint8_t* codes, std::byte* block) {
    store_u16(block, d);
    write_nibbles<16>(codes, codes + 16, block + 2);
  }
};

void encode_q4_0_row(Row row, const RowContext& context, std::byte* out) { encode_scaled_row<Q4Format>(row, context, out); }

void decode_q4_0_blocks(Blocks blocks, std::span<float> values) {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kQ4Elems; ++b, block += kQ4Bytes, y += kQ4Elems) {
    const float d = load_f16(block);
    for (const int half : {0, 1}) {
      write_scaled<16>(d, y + 16 * half, [&](size_t m) HWY_ATTR {
        return hn::Sub(bits_at(bytes_at(block + 2 + m), 4 * half, 4), hn::Set(CodeTag(), 8));
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
HWY_EXPORT(decode_q4_0_blocks);
HWY_EXPORT(encode_q4_0_row);
}  // namespace

void decode_q4_0(Blocks blocks, std::span<float> values) noexcept { HWY_DYNAMIC_DISPATCH(decode_q4_0_blocks)(blocks, values); }

void encode_q4_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q4_0_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
