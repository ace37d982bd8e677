// Q6_K: 6.5625 bits per weight. x = d*l*q; 256 values per super-block, 16 sub-blocks of 16.
//   byte 0    low   128 x u8  per 128 values 64 bytes; byte m: low nibble = low 4 bits of value m, high nibble of value m + 64
//        128  high  64 x u8   per 128 values 32 bytes; byte m: high 2 bits of values m, m+32, m+64, m+96
//        192  l     16 x i8   levels
//        208  d     f16       scale of the levels
// A code of 6 bits stands for q = code - 32. Format: ggml-common.h, llama.cpp b10573.
// Encoding: scales of either sign per sub-block, then d and levels together (scale_search-inl.h), weighted by importance
// (row_weights.h). NaN, infinity and range: finite_block.h. A super-block of zeros is d = 0 with codes that mean 0.
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q6_k.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/scale_search-inl.h"

#ifndef GGUFMILL_QUANT_Q6_K_ONCE
#define GGUFMILL_QUANT_Q6_K_ONCE
namespace ggufmill {
namespace {

constexpr size_t kQ6Elems = 256;
constexpr size_t kQ6Bytes = 210;
constexpr size_t kQ6SubBlocks = 16;
constexpr size_t kQ6HighAt = 128;
constexpr size_t kQ6LevelsAt = 192;
constexpr size_t kQ6ScaleAt = 208;

// Where the two parts of value i's code stand in a block.
struct Q6Place {
  size_t low_at, high_at;
  unsigned low_shift, high_shift;
};
constexpr Q6Place q6_place(size_t i) {
  const size_t half = i / 128;
  return {.low_at = half * 64 + i % 64,
          .high_at = kQ6HighAt + half * 32 + i % 32,
          .low_shift = static_cast<unsigned>(i % 128 / 64 * 4),
          .high_shift = static_cast<unsigned>(i % 128 / 32 * 2)};
}

// `codes` are 0 .. 63 in the order of the values.
void pack_q6_k(uint16_t d, const int8_t* levels, const uint8_t* codes, std::byte* block) {
  std::memset(block, 0, kQ6Bytes);
  for (size_t i = 0; i < kQ6Elems; ++i) {
    const Q6Place place = q6_place(i);
    block[place.low_at] |= static_cast<std::byte>((codes[i] & 15) << place.low_shift);
    block[place.high_at] |= static_cast<std::byte>((codes[i] >> 4) << place.high_shift);
  }
  std::memcpy(block + kQ6LevelsAt, levels, kQ6SubBlocks);
  store_u16(block + kQ6ScaleAt, d);
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q6Codes : UniformCodes<-32, 31> {
  static constexpr float kAims[] = {-33.5f, -33.0f, -32.5f, -32.0f, -31.5f, -31.0f, -30.5f, -30.0f, -29.5f,
                                    -29.0f, 32.0f,  31.5f,  31.0f,  30.5f,  30.0f,  29.5f,  29.0f,  28.5f};
};
constexpr float kQ6Stretch[] = {0.99f, 1.0f, 1.01f, 1.02f, 1.04f, 1.06f, 1.08f, 1.1f};

void encode_q6_k_row(Row row, const RowContext& context, std::byte* out) {
  encode_leveled_row<Q6Codes, 16, kQ6SubBlocks, -128, 127, 4, kQ6Bytes>(row, context, kQ6Stretch, out, pack_q6_k);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_q6_k_row);
}  // namespace

void decode_q6_k(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kQ6Elems; ++b, block += kQ6Bytes) {
    const float d = load_f16(block + kQ6ScaleAt);
    for (size_t j = 0; j < kQ6SubBlocks; ++j, y += 16) {
      const float scale = d * static_cast<float>(static_cast<int8_t>(block[kQ6LevelsAt + j]));
      const Q6Place place = q6_place(16 * j);  // of the first value; its 15 neighbours follow byte by byte
      for (size_t m = 0; m < 16; ++m) {
        const int low = std::to_integer<int>(block[place.low_at + m]) >> place.low_shift & 15;
        const int high = std::to_integer<int>(block[place.high_at + m]) >> place.high_shift & 3;
        y[m] = scale * static_cast<float>((low | high << 4) - 32);
      }
    }
  }
}

void encode_q6_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q6_k_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
