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
// Encoding: (scale, min) per sub-block, then d, dmin and their integers together (min_search-inl.h,
// min_levels-inl.h), weighted by importance
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
#include "quant/min_levels-inl.h"

#ifndef GGUFMILL_QUANT_Q4_K_Q5_K_ONCE
#define GGUFMILL_QUANT_Q4_K_Q5_K_ONCE
namespace ggufmill {
namespace {

constexpr size_t kKElems = 256;
constexpr size_t kKSubBlocks = 8;
constexpr size_t kKLevelsAt = 4;

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

void pack_low_codes(const uint8_t* codes, std::byte* low) {
  for (size_t i = 0; i < kKElems; i += 64, low += 32) {
    for (size_t m = 0; m < 32; ++m) low[m] = static_cast<std::byte>((codes[i + m] & 15) | (codes[i + m + 32] & 15) << 4);
  }
}

void pack_high_codes(const uint8_t* codes, std::byte* high) {
  for (size_t m = 0; m < 32; ++m) {
    unsigned bits = 0;
    for (size_t j = 0; j < kKSubBlocks; ++j) bits |= static_cast<unsigned>(codes[32 * j + m] >> 4) << j;
    high[m] = static_cast<std::byte>(bits);
  }
}

void pack_head(uint16_t d, uint16_t dmin, const uint8_t* levels, const uint8_t* mins, std::byte* block) {
  store_u16(block, d);
  store_u16(block + 2, dmin);
  pack_levels(levels, mins, block + kKLevelsAt);
}

// What min_levels-inl.h asks of a type.
struct KSubBlocks {
  static constexpr size_t kElems = 32, kSubs = kKSubBlocks;
  static constexpr int kMaxLevel = 63;
  static constexpr bool kFreeMin = false;
  static constexpr float kDivisors[] = {66, 65, 64, 63, 62, 61, 60, 59, 58, 57, 56, 54, 52, 50, 48};
};
struct Q4K : KSubBlocks {
  static constexpr int kMaxCode = 15;
  static constexpr size_t kBytes = 144;
  static constexpr size_t kLowAt = 16;
  static constexpr bool kHasHigh = false;
  static void pack(uint16_t d, uint16_t dmin, const uint8_t* levels, const uint8_t* mins, const uint8_t* codes,
                   std::byte* block) {
    pack_head(d, dmin, levels, mins, block);
    pack_low_codes(codes, block + kLowAt);
  }
};
struct Q5K : KSubBlocks {
  static constexpr int kMaxCode = 31;
  static constexpr size_t kBytes = 176;
  static constexpr size_t kHighAt = 16;
  static constexpr size_t kLowAt = 48;
  static constexpr bool kHasHigh = true;
  static void pack(uint16_t d, uint16_t dmin, const uint8_t* levels, const uint8_t* mins, const uint8_t* codes,
                   std::byte* block) {
    pack_head(d, dmin, levels, mins, block);
    pack_high_codes(codes, block + kHighAt);
    pack_low_codes(codes, block + kLowAt);
  }
};

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q4Searches {
  struct Fast {
    static constexpr MinStart kStarts[] = {{14.3f, 0}, {15.0f, 0}, {15.6f, 0}, {16.4f, 0}};
    static constexpr int kLevelReach = 1, kMinReach = 1, kRounds = 1;
    static constexpr size_t kUnits = 1;
  };
  struct Default {
    static constexpr MinStart kStarts[] = {{13.6f, 0}, {14.3f, 0}, {14.8f, 0}, {15.2f, 0}, {15.6f, 0}, {16.2f, 0}, {17.0f, 0}};
    static constexpr int kLevelReach = 5, kMinReach = 2, kRounds = 2;
    static constexpr size_t kUnits = 1;
  };
  struct Max {
    static constexpr MinStart kStarts[] = {{13.6f, 0}, {14.0f, 0}, {14.3f, 0}, {14.6f, 0}, {14.8f, 0}, {15.0f, 0},
                                           {15.2f, 0}, {15.5f, 0}, {15.8f, 0}, {16.2f, 0}, {16.6f, 0}, {17.0f, 0}};
    static constexpr int kLevelReach = 4, kMinReach = 4, kRounds = 3;
    static constexpr size_t kUnits = 4;
  };
};
struct Q5Searches {
  struct Fast {
    static constexpr MinStart kStarts[] = {{29.5f, 0}, {30.6f, 0}, {31.3f, 0}, {32.4f, 0}};
    static constexpr int kLevelReach = 1, kMinReach = 1, kRounds = 1;
    static constexpr size_t kUnits = 1;
  };
  struct Default {
    static constexpr MinStart kStarts[] = {{29.5f, 0}, {30.4f, 0}, {31.0f, 0}, {31.6f, 0}, {32.2f, 0}, {32.8f, 0}, {33.6f, 0}};
    static constexpr int kLevelReach = 5, kMinReach = 2, kRounds = 2;
    static constexpr size_t kUnits = 1;
  };
  struct Max {
    static constexpr MinStart kStarts[] = {{29.5f, 0}, {30.0f, 0}, {30.4f, 0}, {30.7f, 0}, {31.0f, 0}, {31.3f, 0},
                                           {31.6f, 0}, {32.0f, 0}, {32.4f, 0}, {32.8f, 0}, {33.2f, 0}, {33.6f, 0}};
    static constexpr int kLevelReach = 4, kMinReach = 4, kRounds = 3;
    static constexpr size_t kUnits = 4;
  };
};

void encode_q4_k_row(Row row, const RowContext& context, std::byte* out) { encode_min_row<Q4K>(row, context, out, Q4Searches()); }
void encode_q5_k_row(Row row, const RowContext& context, std::byte* out) { encode_min_row<Q5K>(row, context, out, Q5Searches()); }

// The 32 values of each of a pair of sub-blocks: low nibbles, then high ones.
template <class Type>
HWY_INLINE void decode_pair(const std::byte* block, size_t pair, float d, float dmin, float* y) {
  const hn::CappedTag<float, 16> f32;
  const hn::RebindToSigned<decltype(f32)> i32;
  const hn::Rebind<uint8_t, decltype(f32)> u8;
  const ScaleAndMin a = unpack_level(block + kKLevelsAt, 2 * pair), c = unpack_level(block + kKLevelsAt, 2 * pair + 1);
  const auto scale_a = hn::Set(f32, d * static_cast<float>(a.scale)), min_a = hn::Set(f32, dmin * static_cast<float>(a.min));
  const auto scale_c = hn::Set(f32, d * static_cast<float>(c.scale)), min_c = hn::Set(f32, dmin * static_cast<float>(c.min));
  const auto* low = reinterpret_cast<const uint8_t*>(block + Type::kLowAt + 32 * pair);
  for (size_t m = 0; m < 32; m += hn::Lanes(f32)) {
    const auto both = hn::PromoteTo(i32, hn::LoadU(u8, low + m));
    auto q_a = hn::And(both, hn::Set(i32, 15)), q_c = hn::ShiftRight<4>(both);
    if constexpr (Type::kHasHigh) {
      const auto* high = reinterpret_cast<const uint8_t*>(block + Type::kHighAt);
      const auto bits = hn::PromoteTo(i32, hn::LoadU(u8, high + m));
      const auto shifted = hn::ShiftRightSame(bits, static_cast<int>(2 * pair));
      q_a = hn::Or(q_a, hn::ShiftLeft<4>(hn::And(shifted, hn::Set(i32, 1))));
      q_c = hn::Or(q_c, hn::ShiftLeft<3>(hn::And(shifted, hn::Set(i32, 2))));
    }
    hn::StoreU(hn::Sub(hn::Mul(scale_a, hn::ConvertTo(f32, q_a)), min_a), f32, y + m);
    hn::StoreU(hn::Sub(hn::Mul(scale_c, hn::ConvertTo(f32, q_c)), min_c), f32, y + m + 32);
  }
}
template <class Type>
void decode_k_blocks(const std::byte* block, size_t blocks, float* y) {
  for (size_t b = 0; b < blocks; ++b, block += Type::kBytes, y += kKElems) {
    const float d = load_f16(block), dmin = load_f16(block + 2);
    for (size_t pair = 0; pair < kKSubBlocks / 2; ++pair) decode_pair<Type>(block, pair, d, dmin, y + 64 * pair);
  }
}
void decode_q4_k_blocks(const std::byte* in, size_t blocks, float* out) { decode_k_blocks<Q4K>(in, blocks, out); }
void decode_q5_k_blocks(const std::byte* in, size_t blocks, float* out) { decode_k_blocks<Q5K>(in, blocks, out); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_q4_k_row);
HWY_EXPORT(encode_q5_k_row);
HWY_EXPORT(decode_q4_k_blocks);
HWY_EXPORT(decode_q5_k_blocks);
}  // namespace

void decode_q4_k(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q4_k_blocks)(blocks.data(), values.size() / kKElems, values.data());
}
void decode_q5_k(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q5_k_blocks)(blocks.data(), values.size() / kKElems, values.data());
}

void encode_q4_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q4_k_row)(row, context, blocks.data());
}
void encode_q5_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q5_k_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
