// IQ4_NL and IQ4_XS: 4-bit codes that stand for 16 unevenly spaced values (kIq4Values), finer near zero where weights are dense.
// IQ4_NL: 4.5 bits per weight. x = d*v(q); blocks of 32.
//   byte 0   d  f16      scale, of either sign
//        2   q  16 x u8  byte m: low nibble = value m, high nibble = value m + 16
// IQ4_XS: 4.25 bits per weight. x = d*l*v(q); 256 values per super-block, 8 sub-blocks of 32.
//   byte 0   d       f16       scale of the levels
//        2   l high  u16       high 2 bits of the 8 levels, sub-block j at bit 2j
//        4   l low   4 x u8    low 4 bits: sub-block 2k in the low nibble of byte k, 2k+1 in the high one
//        8   q       128 x u8  per sub-block 16 bytes; byte m: low nibble = value m, high nibble = value m + 16
// A level of 6 bits stands for l - 32 (-32 .. 31). Format and values: ggml-common.h, llama.cpp b10573.
// Encoding: scales of either sign (the values are not symmetric), for IQ4_XS d and levels together (scale_search-inl.h), weighted
// by importance (row_weights.h). NaN, infinity and range: finite_block.h. A block of zeros is d = 0.
#include <algorithm>
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq4.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/nibble_blocks-inl.h"

#ifndef GGUFMILL_QUANT_IQ4_ONCE
#define GGUFMILL_QUANT_IQ4_ONCE
namespace ggufmill {
namespace {

constexpr float kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

constexpr size_t kXsElems = 256;
constexpr size_t kXsBytes = 136;
constexpr size_t kXsSubBlocks = 8;
constexpr size_t kNlElems = 32;
constexpr size_t kNlBytes = 18;

void pack_iq4_xs(uint16_t d, const int8_t* signed_levels, const uint8_t* codes, std::byte* block) {
  uint8_t levels[kXsSubBlocks];
  for (size_t j = 0; j < kXsSubBlocks; ++j) levels[j] = static_cast<uint8_t>(signed_levels[j] + 32);
  unsigned high = 0;
  store_u16(block, d);
  for (size_t j = 0; j < kXsSubBlocks; j += 2) {
    high |= (levels[j] >> 4) << (2 * j) | (levels[j + 1] >> 4) << (2 * j + 2);
    block[4 + j / 2] = static_cast<std::byte>((levels[j] & 15) | (levels[j + 1] & 15) << 4);
  }
  store_u16(block + 2, static_cast<uint16_t>(high));
  for (size_t j = 0; j < kXsSubBlocks; ++j) {
    for (size_t m = 0; m < 16; ++m) {
      block[8 + 16 * j + m] = static_cast<std::byte>(codes[32 * j + m] | codes[32 * j + m + 16] << 4);
    }
  }
}

// 32 values from 16 bytes of nibbles.
void decode_nibbles(const std::byte* nibbles, float scale, float* y) {
  for (size_t m = 0; m < 16; ++m) {
    const unsigned pair = std::to_integer<unsigned>(nibbles[m]);
    y[m] = scale * kIq4Values[pair & 15];
    y[m + 16] = scale * kIq4Values[pair >> 4];
  }
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Iq4Codes {
  static constexpr float kAims[] = {-137.0f, -133.0f, -129.0f, -125.0f, -121.0f, -117.0f, -113.0f, -109.0f, -105.0f,
                                    121.0f,  117.0f,  113.0f,  109.0f,  105.0f,  101.0f,  97.0f,   93.0f};
  // The number of midpoints between neighbours that lie below v counts the steps from the lowest value.
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V nearest(D d, V v) {
    V q = hn::Set(d, kIq4Values[0]);
    for (size_t i = 0; i < 15; ++i) {
      const V middle = hn::Set(d, (kIq4Values[i] + kIq4Values[i + 1]) / 2);
      q = hn::IfThenElse(hn::Gt(v, middle), hn::Set(d, kIq4Values[i + 1]), q);
    }
    return q;
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V index(D d, V q) {
    V steps = hn::Zero(d);
    for (size_t i = 1; i < 16; ++i) {
      steps = hn::Add(steps, hn::IfThenElseZero(hn::Ge(q, hn::Set(d, kIq4Values[i])), hn::Set(d, 1.0f)));
    }
    return steps;
  }
};
constexpr float kXsStretch[] = {0.98f, 1.0f, 1.02f, 1.04f, 1.06f, 1.08f, 1.1f, 1.13f, 1.16f, 1.2f, 1.25f, 1.3f};

void encode_iq4_nl_row(Row row, const RowContext& context, std::byte* out) { encode_nibble_blocks<Iq4Codes>(row, context, out); }

void encode_iq4_xs_row(Row row, const RowContext& context, std::byte* out) {
  encode_leveled_row<Iq4Codes, 32, kXsSubBlocks, -32, 31, 2, kXsBytes>(row, context, kXsStretch, out, pack_iq4_xs);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_iq4_nl_row);
HWY_EXPORT(encode_iq4_xs_row);
}  // namespace

void decode_iq4_nl(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kNlElems; ++b, block += kNlBytes, y += kNlElems) {
    decode_nibbles(block + 2, load_f16(block), y);
  }
}

void encode_iq4_nl(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq4_nl_row)(row, context, blocks.data());
}

void decode_iq4_xs(Blocks blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kXsElems; ++b, block += kXsBytes, y += kXsElems) {
    const float d = load_f16(block);
    const unsigned high = load_u16(block + 2);
    for (size_t j = 0; j < kXsSubBlocks; ++j) {
      const unsigned low = std::to_integer<unsigned>(block[4 + j / 2]) >> (j % 2 * 4) & 15;
      const int level = static_cast<int>(low | (high >> (2 * j) & 3) << 4) - 32;
      decode_nibbles(block + 8 + 16 * j, d * static_cast<float>(level), y + 32 * j);
    }
  }
}

void encode_iq4_xs(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq4_xs_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
