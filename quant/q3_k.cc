// Q3_K: 3.4375 bits per weight. x = d*l*q; 256 values per super-block, 16 sub-blocks of 16.
//   byte 0    high  32 x u8  bit k of byte m: bit 2 of the code of value 32k + m
//        32   low   64 x u8  per 128 values 32 bytes; byte m: low 2 bits of values m, m+32, m+64, m+96
//        96   l     12 x u8  16 levels of 6 bits, packed (see pack_levels)
//        108  d     f16      scale of the levels
// A code of 3 bits stands for q = code - 4 (-4 .. 3); a level of 6 bits for l - 32 (-32 .. 31). Format: ggml-common.h, llama.cpp
// b10573.
// Encoding: scales of either sign per sub-block, then d and levels together (scale_search-inl.h), weighted by importance
// (row_weights.h). NaN, infinity and range: finite_block.h. A super-block of zeros is d = 0 with codes that mean 0.
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q3_k.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/scale_search-inl.h"

#ifndef GGUFMILL_QUANT_Q3_K_ONCE
#define GGUFMILL_QUANT_Q3_K_ONCE
namespace ggufmill {
namespace {

constexpr size_t kQ3Elems = 256;
constexpr size_t kQ3Bytes = 110;
constexpr size_t kQ3SubBlocks = 16;
constexpr size_t kQ3LowAt = 32;
constexpr size_t kQ3LevelsAt = 96;
constexpr size_t kQ3ScaleAt = 108;

// Level j: its low 4 bits are a nibble of byte j % 8 (low nibble for j < 8), its high 2 bits stand in byte 8 + j % 4 at bit 2 *
// (j / 4).
void pack_levels(const uint8_t* levels, std::byte* packed) {
  std::memset(packed, 0, 12);
  for (size_t j = 0; j < kQ3SubBlocks; ++j) {
    packed[j % 8] |= static_cast<std::byte>((levels[j] & 15) << (j < 8 ? 0 : 4));
    packed[8 + j % 4] |= static_cast<std::byte>((levels[j] >> 4) << (2 * (j / 4)));
  }
}

uint8_t unpack_level(const std::byte* packed, size_t j) {
  const unsigned low = std::to_integer<unsigned>(packed[j % 8]) >> (j < 8 ? 0 : 4) & 15;
  const unsigned high = std::to_integer<unsigned>(packed[8 + j % 4]) >> (2 * (j / 4)) & 3;
  return static_cast<uint8_t>(low | high << 4);
}

// `codes` are 0 .. 7 in the order of the values.
void pack_q3_k(uint16_t d, const int8_t* signed_levels, const uint8_t* codes, std::byte* block) {
  uint8_t levels[kQ3SubBlocks];
  for (size_t j = 0; j < kQ3SubBlocks; ++j) levels[j] = static_cast<uint8_t>(signed_levels[j] + 32);
  std::memset(block, 0, kQ3Bytes);
  for (size_t i = 0; i < kQ3Elems; ++i) {
    block[i % 32] |= static_cast<std::byte>((codes[i] >> 2) << (i / 32));
    block[kQ3LowAt + i / 128 * 32 + i % 32] |= static_cast<std::byte>((codes[i] & 3) << (i % 128 / 32 * 2));
  }
  pack_levels(levels, block + kQ3LevelsAt);
  store_u16(block + kQ3ScaleAt, d);
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q3Codes : UniformCodes<-4, 3> {
  static constexpr float kAims[] = {-4.6f, -4.4f, -4.2f, -4.0f, -3.8f, -3.6f, -3.4f, -3.2f, -3.0f,
                                    -2.8f, 3.6f,  3.4f,  3.2f,  3.0f,  2.8f,  2.6f,  2.4f,  2.2f};
};
constexpr float kQ3Stretch[] = {0.97f, 1.0f,  1.03f, 1.06f, 1.09f, 1.12f, 1.15f, 1.18f,
                                1.22f, 1.26f, 1.3f,  1.35f, 1.4f,  1.45f, 1.5f,  1.55f};

void encode_q3_k_row(Row row, const RowContext& context, std::byte* out) {
  encode_leveled_row<Q3Codes, 16, kQ3SubBlocks, -32, 31, 4, kQ3Bytes>(row, context, kQ3Stretch, out, pack_q3_k);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_q3_k_row);
}  // namespace

void decode_q3_k(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kQ3Elems; ++b, block += kQ3Bytes) {
    const float d = load_f16(block + kQ3ScaleAt);
    for (size_t j = 0; j < kQ3SubBlocks; ++j, y += 16) {
      const float scale = d * static_cast<float>(unpack_level(block + kQ3LevelsAt, j) - 32);
      const std::byte* low = block + kQ3LowAt + j / 8 * 32 + j % 2 * 16;
      const std::byte* high = block + j % 2 * 16;
      for (size_t m = 0; m < 16; ++m) {
        const int low_bits = std::to_integer<int>(low[m]) >> (j % 8 / 2 * 2) & 3;
        const int high_bit = std::to_integer<int>(high[m]) >> (j / 2) & 1;
        y[m] = scale * static_cast<float>(low_bits + 4 * high_bit - 4);
      }
    }
  }
}

void encode_q3_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q3_k_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
