// Q4_0: 4.5 bits per weight. x = d*q; blocks of 32.
//   byte 0   d  f16      scale, of either sign
//        2   q  16 x u8  byte m: low nibble = value m, high nibble = value m + 16
// A nibble stands for q = nibble - 8 (-8 .. 7). Format: ggml-common.h, llama.cpp b10573.
// Encoding: the best scale of either sign (scale_search-inl.h), 16 blocks at a time, weighted by importance (row_weights.h). NaN,
// infinity and range: finite_block.h. A block of zeros is d = 0 with nibbles of 8.
#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q4_0.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/nibble_blocks-inl.h"

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
  static constexpr float kAims[] = {-8.6f, -8.4f, -8.2f, -8.0f, -7.8f, -7.6f, -7.4f, -7.2f, -7.0f, -6.8f,
                                    -6.6f, 7.4f,  7.2f,  7.0f,  6.8f,  6.6f,  6.4f,  6.2f,  6.0f,  5.8f};
};

void encode_q4_0_row(Row row, const RowContext& context, std::byte* out) { encode_nibble_blocks<Q4Codes>(row, context, out); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_q4_0_row);
}  // namespace

void decode_q4_0(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kQ4Elems; ++b, block += kQ4Bytes, y += kQ4Elems) {
    const float d = load_f16(block);
    for (size_t m = 0; m < 16; ++m) {
      const int pair = std::to_integer<int>(block[2 + m]);
      y[m] = static_cast<float>((pair & 15) - 8) * d;
      y[m + 16] = static_cast<float>((pair >> 4) - 8) * d;
    }
  }
}

void encode_q4_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q4_0_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
