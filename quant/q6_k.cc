// Q6_K: 6.5625 bits per weight. x = d*l*q; 256 values per super-block, 16 sub-blocks of 16.
//   byte 0    low   128 x u8  per 128 values 64 bytes; byte m: low nibble = low 4 bits of value m, high nibble of value m + 64
//        128  high  64 x u8   per 128 values 32 bytes; byte m: high 2 bits of values m, m+32, m+64, m+96
//        192  l     16 x i8   levels
//        208  d     f16       scale of the levels
// A code of 6 bits stands for q = code - 32. Format: ggml-common.h, llama.cpp b10573.
// Encoding: scales of either sign per sub-block, then d and levels together (level_search-inl.h), weighted by importance
// (row_weights.h). NaN, infinity and range: finite_block.h. A super-block of zeros is d = 0 with codes that mean 0.
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q6_k.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/level_search-inl.h"
#include "quant/scaled_values-inl.h"

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
  int low_shift, high_shift;
};
constexpr Q6Place q6_place(size_t i) {
  const size_t half = i / 128;
  return {.low_at = half * 64 + i % 64,
          .high_at = kQ6HighAt + half * 32 + i % 32,
          .low_shift = static_cast<int>(i % 128 / 64 * 4),
          .high_shift = static_cast<int>(i % 128 / 32 * 2)};
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q6Codes : UniformCodes<-32, 31> {
  static constexpr Span kAims[2] = {{-33.5f, -28.5f}, {32.5f, 28.0f}};
  static constexpr Span kWeightedAims[2] = {{-35.0f, -28.0f}, {34.0f, 27.5f}};
  // E4M3 steps become levels; a step that is too large for int8 is halved, and its codes doubled.
  static constexpr float kLattice[][2] = {{1, -2}};
};

struct Q6Format {
  using Codes = Q6Codes;
  static constexpr size_t kElems = 16;
  static constexpr int kMin = -128, kMax = 127;
  static constexpr size_t kBytes = kQ6Bytes;
  static constexpr Span kStretch = {0.99f, 1.11f};

  static constexpr LevelTuning kTuning[] = {
      {.tries = 6, .flat_tries = 4, .units = 15, .kept = 1, .rounds = 1, .reach = 3},      // fast
      {.tries = 6, .flat_tries = 6, .units = 15, .kept = 1, .rounds = 1, .reach = 18},     // default
      {.tries = 32, .flat_tries = 32, .units = 63, .kept = 4, .rounds = 2, .reach = 40}};  // max

  // `codes` are 0 .. 63 in the order of the values.
  static void pack(uint16_t d, const int8_t* levels, const uint8_t* codes, std::byte* block) {
    for (size_t half = 0; half < 2; ++half) {
      const uint8_t* c = codes + 128 * half;
      std::byte* low = block + 64 * half;
      std::byte* high = block + kQ6HighAt + 32 * half;
      write_nibbles<64>(c, c + 64, low);
      write_bytes<32>(high, [&](auto u8, size_t m) HWY_ATTR {
        auto bits = hn::Zero(u8);
        for (const size_t quarter : {96, 64, 32, 0}) {
          bits = hn::Or(hn::ShiftLeft<2>(bits), hn::ShiftRight<4>(hn::LoadU(u8, c + quarter + m)));
        }
        return bits;
      });
    }
    std::memcpy(block + kQ6LevelsAt, levels, kQ6SubBlocks);
    store_u16(block + kQ6ScaleAt, d);
  }
};

void encode_q6_k_row(Row row, const RowContext& context, std::byte* out) { encode_leveled_row<Q6Format>(row, context, out); }

void decode_q6_k_blocks(Blocks blocks, std::span<float> values) {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kQ6Elems; ++b, block += kQ6Bytes) {
    const float d = load_f16(block + kQ6ScaleAt);
    for (size_t j = 0; j < kQ6SubBlocks; ++j, y += 16) {
      const float scale = d * static_cast<float>(static_cast<int8_t>(block[kQ6LevelsAt + j]));
      const Q6Place place = q6_place(16 * j);  // of the first value; its 15 neighbours follow byte by byte
      write_scaled<16>(scale, y, [&](size_t m) HWY_ATTR {
        const auto low = bits_at(bytes_at(block + place.low_at + m), place.low_shift, 4);
        const auto high = bits_at(bytes_at(block + place.high_at + m), place.high_shift, 2);
        return hn::Sub(hn::Or(low, hn::ShiftLeft<4>(high)), hn::Set(CodeTag(), 32));
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
HWY_EXPORT(decode_q6_k_blocks);
HWY_EXPORT(encode_q6_k_row);
}  // namespace

void decode_q6_k(Blocks blocks, std::span<float> values) noexcept { HWY_DYNAMIC_DISPATCH(decode_q6_k_blocks)(blocks, values); }

void encode_q6_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q6_k_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
