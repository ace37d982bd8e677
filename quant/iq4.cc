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
// Encoding: scales of either sign (the values are not symmetric), for IQ4_XS d and levels together (block_scale_search-inl.h,
// level_search-inl.h), weighted by importance (row_weights.h). NaN, infinity and range: finite_block.h. A block of zeros is d =
// 0.
#include <algorithm>
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/iq4.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/block_scale_search-inl.h"
#include "quant/level_search-inl.h"
#include "quant/scaled_values-inl.h"

#ifndef GGUFMILL_QUANT_IQ4_ONCE
#define GGUFMILL_QUANT_IQ4_ONCE
namespace ggufmill {
namespace {

alignas(64) constexpr float kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// Half way to the next value.
alignas(64) constexpr float kIq4Middles[16] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                               7,       19,     31.5f, 45.5f, 61,  79,     101, 1e30f};

constexpr size_t kXsElems = 256;
constexpr size_t kXsBytes = 136;
constexpr size_t kXsSubBlocks = 8;
constexpr size_t kNlElems = 32;
constexpr size_t kNlBytes = 18;

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

// 16 floats in memory by index.
template <class D, class VI>
HWY_INLINE hn::Vec<D> look_up_16(D d, const float* table, VI index) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::TableLookupLanes(hn::Load(d, table), hn::IndicesFromVec(d, index));
  } else if constexpr (hn::MaxLanes(D()) == 8) {
    const hn::RebindToSigned<D> i32;
    const auto in_half = hn::IndicesFromVec(d, hn::And(index, hn::Set(i32, 7)));
    const auto upper = hn::RebindMask(d, hn::Gt(index, hn::Set(i32, 7)));
    return hn::IfThenElse(upper, hn::TableLookupLanes(hn::Load(d, table + 8), in_half),
                          hn::TableLookupLanes(hn::Load(d, table), in_half));
  } else {
    return hn::GatherIndex(d, table, index);
  }
}

struct Iq4Codes {
  static constexpr Span kAims[2] = {{-139.0f, -103.0f}, {123.0f, 91.0f}};
  static constexpr Span kWeightedAims[2] = {{-200.0f, -103.0f}, {180.0f, 91.0f}};
  static constexpr float kLattice[][2] = {{-12.6f, 12.6f}, {-10.5f, 9.4f}, {-17, 17}, {-31, 31}};

  // A curve that is never more than half a step away from the index finds it, or the one below; one comparison decides.
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::RebindToSigned<D>> index(D d, V v) {
    const hn::RebindToSigned<D> i32;
    const V inside = hn::Min(hn::Max(v, hn::Set(d, -128.0f)), hn::Set(d, 120.0f));
    const V slope = hn::Sub(hn::Set(d, 0.089f), hn::Mul(hn::Abs(inside), hn::Set(d, 0.000225f)));
    const auto below = hn::ConvertTo(i32, hn::Add(hn::Mul(inside, slope), hn::Set(d, 7.85f)));
    const auto above = hn::RebindMask(i32, hn::Gt(v, look_up_16(d, kIq4Middles, below)));
    return hn::Sub(below, hn::VecFromMask(i32, above));
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V nearest(D d, V v) {
    return look_up_16(d, kIq4Values, index(d, v));
  }
};

struct Iq4XsFormat {
  using Codes = Iq4Codes;
  static constexpr size_t kElems = 32;
  static constexpr int kMin = -32, kMax = 31;
  static constexpr size_t kBytes = kXsBytes;
  static constexpr Span kStretch = {0.97f, 1.31f};

  static constexpr LevelTuning kTuning[] = {
      {.tries = 6, .flat_tries = 5, .units = 15, .kept = 1, .rounds = 1, .reach = 1},     // fast
      {.tries = 16, .flat_tries = 12, .units = 31, .kept = 2, .rounds = 1, .reach = 3},   // default
      {.tries = 48, .flat_tries = 32, .units = 63, .kept = 6, .rounds = 3, .reach = 4}};  // max

  static void pack(uint16_t d, const int8_t* signed_levels, const uint8_t* codes, std::byte* block) {
    uint8_t levels[kXsSubBlocks];
    for (size_t j = 0; j < kXsSubBlocks; ++j) levels[j] = static_cast<uint8_t>(signed_levels[j] + 32);
    unsigned high = 0;
    store_u16(block, d);
    for (size_t j = 0; j < kXsSubBlocks; j += 2) {
      high |= (levels[j] >> 4) << (2 * j) | (levels[j + 1] >> 4) << (2 * j + 2);
      block[4 + j / 2] = static_cast<std::byte>((levels[j] & 15) | (levels[j + 1] & 15) << 4);
    }
    store_u16(block + 2, static_cast<uint16_t>(high));
    for (size_t j = 0; j < kXsSubBlocks; ++j) write_nibbles<16>(codes + 32 * j, codes + 32 * j + 16, block + 8 + 16 * j);
  }
};

struct Iq4NlFormat {
  using Codes = Iq4Codes;
  static constexpr size_t kBytes = kNlBytes;

  static constexpr BlockTuning kTuning[] = {{.tries = 6, .flat_tries = 5, .rounds = 2},     // fast
                                            {.tries = 20, .flat_tries = 16, .rounds = 3},   // default
                                            {.tries = 96, .flat_tries = 64, .rounds = 6}};  // max
  static void pack(uint16_t d, const uint8_t* codes, std::byte* block) {
    store_u16(block, d);
    write_nibbles<16>(codes, codes + 16, block + 2);
  }
};

void encode_iq4_nl_row(Row row, const RowContext& context, std::byte* out) { encode_scaled_row<Iq4NlFormat>(row, context, out); }
void encode_iq4_xs_row(Row row, const RowContext& context, std::byte* out) { encode_leveled_row<Iq4XsFormat>(row, context, out); }

// 32 values from 16 bytes of nibbles.
HWY_INLINE void decode_nibbles(const std::byte* nibbles, float scale, float* y) {
  const ValueTag f32;
  for (const int half : {0, 1}) {
    for (size_t m = 0; m < 16; m += hn::Lanes(f32)) {
      const auto value = look_up_16(f32, kIq4Values, bits_at(bytes_at(nibbles + m), 4 * half, 4));
      hn::StoreU(hn::Mul(value, hn::Set(f32, scale)), f32, y + 16 * half + m);
    }
  }
}

void decode_iq4_nl_blocks(Blocks blocks, std::span<float> values) {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kNlElems; ++b, block += kNlBytes, y += kNlElems) {
    decode_nibbles(block + 2, load_f16(block), y);
  }
}

void decode_iq4_xs_blocks(Blocks blocks, std::span<float> values) {
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

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(decode_iq4_nl_blocks);
HWY_EXPORT(encode_iq4_nl_row);
HWY_EXPORT(decode_iq4_xs_blocks);
HWY_EXPORT(encode_iq4_xs_row);
}  // namespace

void decode_iq4_nl(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_iq4_nl_blocks)(blocks, values);
}

void encode_iq4_nl(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq4_nl_row)(row, context, blocks.data());
}

void decode_iq4_xs(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_iq4_xs_blocks)(blocks, values);
}

void encode_iq4_xs(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_iq4_xs_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
