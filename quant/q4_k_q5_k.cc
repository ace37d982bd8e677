// Q4_K and Q5_K: x = d*s*q - dmin*m; 256 values per super-block, 8 sub-blocks of 32.
// Q4_K: 4.5 bits per weight.
//   byte 0   d     f16         scale of the 6-bit scales
//        2   dmin  f16         scale of the 6-bit mins
//        4   s,m   12 x u8     8 scales + 8 mins, 6 bits each, packed (see pack_levels)
//       16   q     128 x u8    per 64 values 32 bytes: low nibbles = first 32, high nibbles = next 32
// Q5_K: 5.5 bits per weight.
//   byte 0   d, dmin, s, m     as in Q4_K
//       16   high  32 x u8     bit j of byte i: bit 4 of the code of value i of sub-block j
//       48   q     128 x u8    low 4 bits, as in Q4_K
// Codes are 0 .. 15 and 0 .. 31. Format: ggml-common.h, llama.cpp b10573.
// Encoding: (scale, min) per sub-block, then d, dmin and their integers together (min_search-inl.h), weighted by importance
// (row_weights.h). Only what ggml also writes: d and dmin are not negative. NaN, infinity and range: finite_block.h. A
// super-block of zeros is all zero bytes.
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q4_k_q5_k.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/min_search-inl.h"

#ifndef GGUFMILL_QUANT_Q4_K_Q5_K_ONCE
#define GGUFMILL_QUANT_Q4_K_Q5_K_ONCE
namespace ggufmill {
namespace {

constexpr size_t kKElems = 256;
constexpr size_t kKSubBlocks = 8;
constexpr size_t kKLevelsAt = 4;

struct Q4K {
  static constexpr int kMaxCode = 15;
  static constexpr size_t kBytes = 144;
  static constexpr size_t kLowAt = 16;
  static constexpr bool kHasHigh = false;
};
struct Q5K {
  static constexpr int kMaxCode = 31;
  static constexpr size_t kBytes = 176;
  static constexpr size_t kHighAt = 16;
  static constexpr size_t kLowAt = 48;
  static constexpr bool kHasHigh = true;
};

// Scales 0-3 and mins 0-3 are the low 6 bits of bytes 0-3 and 4-7. Of scale and min j >= 4 the low 4 bits are the low and high
// nibble of byte j + 4, and the high 2 bits are the top bits of bytes j - 4 and j.
void pack_levels(const uint8_t* scales, const uint8_t* mins, std::byte* packed) {
  for (size_t j = 0; j < 4; ++j) {
    packed[j] = static_cast<std::byte>(scales[j] | scales[j + 4] >> 4 << 6);
    packed[j + 4] = static_cast<std::byte>(mins[j] | mins[j + 4] >> 4 << 6);
    packed[j + 8] = static_cast<std::byte>((scales[j + 4] & 15) | (mins[j + 4] & 15) << 4);
  }
}

struct ScaleAndMin {
  unsigned scale, min;
};
ScaleAndMin unpack_level(const std::byte* packed, size_t j) {
  const auto byte = [&](size_t at) { return std::to_integer<unsigned>(packed[at]); };
  if (j < 4) return {byte(j) & 63, byte(j + 4) & 63};
  return {(byte(j + 4) & 15) | byte(j - 4) >> 6 << 4, byte(j + 4) >> 4 | byte(j) >> 6 << 4};
}

template <class Type>
void pack_codes(const uint8_t* codes, std::byte* block) {
  for (size_t i = 0; i < kKElems; i += 64) {
    for (size_t m = 0; m < 32; ++m) {
      block[Type::kLowAt + i / 2 + m] = static_cast<std::byte>((codes[i + m] & 15) | (codes[i + m + 32] & 15) << 4);
    }
  }
  if constexpr (Type::kHasHigh) {
    for (size_t m = 0; m < 32; ++m) {
      unsigned high = 0;
      for (size_t j = 0; j < kKSubBlocks; ++j) high |= static_cast<unsigned>(codes[32 * j + m] >> 4) << j;
      block[Type::kHighAt + m] = static_cast<std::byte>(high);
    }
  }
}

template <class Type>
void decode_min_blocks(Blocks blocks, std::span<float> values) {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kKElems; ++b, block += Type::kBytes) {
    const float d = load_f16(block), dmin = load_f16(block + 2);
    for (size_t j = 0; j < kKSubBlocks; ++j) {
      const ScaleAndMin level = unpack_level(block + kKLevelsAt, j);
      const float scale = d * static_cast<float>(level.scale), min = dmin * static_cast<float>(level.min);
      const std::byte* low = block + Type::kLowAt + j / 2 * 32;
      for (size_t m = 0; m < 32; ++m) {
        unsigned code = std::to_integer<unsigned>(low[m]) >> (j % 2 * 4) & 15;
        if constexpr (Type::kHasHigh) code |= (std::to_integer<unsigned>(block[Type::kHighAt + m]) >> j & 1) << 4;
        *y++ = scale * static_cast<float>(code) - min;
      }
    }
  }
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

constexpr float kQ4Spread[] = {13.6f, 14.0f, 14.3f, 14.6f, 14.8f, 15.0f, 15.2f, 15.5f, 15.8f, 16.2f, 16.6f, 17.0f};
constexpr float kQ5Spread[] = {29.5f, 30.0f, 30.4f, 30.7f, 31.0f, 31.3f, 31.6f, 32.0f, 32.4f, 32.8f, 33.2f, 33.6f};
constexpr float kUnitStretch[] = {0.94f, 0.96f, 0.98f, 0.99f, 1.0f,  1.01f, 1.02f, 1.04f,
                                  1.06f, 1.08f, 1.1f,  1.13f, 1.16f, 1.2f,  1.25f, 1.3f};

template <class Type, size_t kSpreads>
void encode_min_row(Row row, const RowContext& context, const float (&spread)[kSpreads], std::byte* out) {
  const RowWeights row_weights(context);
  MinBlocks lanes;
  float x[kKElems], w[kKElems];
  uint8_t codes[kKElems], levels[kKSubBlocks], mins[kKSubBlocks];
  for (size_t first = 0; first < row.size(); first += kKElems, out += Type::kBytes) {
    const BlockUnit unit = load_block(&row[first], kKElems, x);
    if (unit.zero) {
      std::memset(out, 0, Type::kBytes);
      continue;
    }
    row_weights.load(first, kKElems, x, w);
    for (size_t j = 0; j < kKSubBlocks; ++j) lanes.set_lane(j, x + 32 * j, w + 32 * j);
    const MinChoice choice = search_mins<Type::kMaxCode>(lanes, unit, spread, kUnitStretch);
    for (size_t j = 0; j < kKSubBlocks; ++j) {
      levels[j] = static_cast<uint8_t>(choice.level[j]);
      mins[j] = static_cast<uint8_t>(choice.min[j]);
    }
    write_min_codes<Type::kMaxCode>(lanes, choice, codes);
    store_u16(out, unit.scale_bits(choice.d));
    store_u16(out + 2, unit.scale_bits(choice.dmin));
    pack_levels(levels, mins, out + kKLevelsAt);
    pack_codes<Type>(codes, out);
  }
}

void encode_q4_k_row(Row row, const RowContext& context, std::byte* out) { encode_min_row<Q4K>(row, context, kQ4Spread, out); }
void encode_q5_k_row(Row row, const RowContext& context, std::byte* out) { encode_min_row<Q5K>(row, context, kQ5Spread, out); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_q4_k_row);
HWY_EXPORT(encode_q5_k_row);
}  // namespace

void decode_q4_k(Blocks blocks, std::span<float> values) noexcept { decode_min_blocks<Q4K>(blocks, values); }
void decode_q5_k(Blocks blocks, std::span<float> values) noexcept { decode_min_blocks<Q5K>(blocks, values); }

void encode_q4_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q4_k_row)(row, context, blocks.data());
}
void encode_q5_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q5_k_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
