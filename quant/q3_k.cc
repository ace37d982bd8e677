// Q3_K: 3.4375 bits per weight. x = d*l*q; 256 values per super-block, 16 sub-blocks of 16.
//   byte 0    high  32 x u8  bit k of byte m: bit 2 of the code of value 32k + m
//        32   low   64 x u8  per 128 values 32 bytes; byte m: low 2 bits of values m, m+32, m+64, m+96
//        96   l     12 x u8  16 levels of 6 bits, packed (see pack_levels)
//        108  d     f16      scale of the levels
// A code of 3 bits stands for q = code - 4 (-4 .. 3); a level of 6 bits for l - 32 (-32 .. 31). Format: ggml-common.h, llama.cpp
// b10573.
// Encoding: scales of either sign per sub-block, then d and levels together (level_search-inl.h), weighted by importance
// (row_weights.h). NaN, infinity and range: finite_block.h. A super-block of zeros is d = 0 with codes that mean 0.
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q3_k.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/level_search-inl.h"
#include "quant/scaled_values-inl.h"

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

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q3Codes : UniformCodes<-4, 3> {
  static constexpr Span kAims[2] = {{-4.7f, -2.7f}, {3.7f, 2.1f}};
  static constexpr Span kWeightedAims[2] = {{-9.0f, -2.7f}, {7.5f, 2.1f}};
  static constexpr float kLattice[][2] = {{-0.25f, 0.25f}, {-1.0f / 3, 1.0f / 3}, {-0.5f, 0.5f}, {-1, 1}};
};

struct Q3Format {
  using Codes = Q3Codes;
  static constexpr size_t kElems = 16;
  static constexpr int kMin = -32, kMax = 31;
  static constexpr size_t kBytes = kQ3Bytes;
  static constexpr Span kStretch = {0.96f, 1.56f};

  static constexpr LevelTuning kTuning[] = {
      {.tries = 6, .flat_tries = 5, .units = 15, .kept = 1, .rounds = 1, .reach = 1},     // fast
      {.tries = 14, .flat_tries = 8, .units = 31, .kept = 1, .rounds = 1, .reach = 1},    // default
      {.tries = 48, .flat_tries = 32, .units = 63, .kept = 6, .rounds = 3, .reach = 4}};  // max

  // `codes` are 0 .. 7 in the order of the values.
  static void pack(uint16_t d, const int8_t* signed_levels, const uint8_t* codes, std::byte* block) {
    uint8_t levels[kQ3SubBlocks];
    for (size_t j = 0; j < kQ3SubBlocks; ++j) levels[j] = static_cast<uint8_t>(signed_levels[j] + 32);
    write_bytes<32>(block, [&](auto u8, size_t m) HWY_ATTR {
      auto bits = hn::Zero(u8);
      for (size_t k = 8; k-- > 0;) bits = hn::Or(hn::Add(bits, bits), hn::ShiftRight<2>(hn::LoadU(u8, codes + 32 * k + m)));
      return bits;
    });
    for (size_t half = 0; half < 2; ++half) {
      const uint8_t* c = codes + 128 * half;
      write_bytes<32>(block + kQ3LowAt + 32 * half, [&](auto u8, size_t m) HWY_ATTR {
        auto bits = hn::Zero(u8);
        for (const size_t quarter : {96, 64, 32, 0}) {
          bits = hn::Or(hn::ShiftLeft<2>(bits), hn::And(hn::LoadU(u8, c + quarter + m), hn::Set(u8, 3)));
        }
        return bits;
      });
    }
    pack_levels(levels, block + kQ3LevelsAt);
    store_u16(block + kQ3ScaleAt, d);
  }
};

void encode_q3_k_row(Row row, const RowContext& context, std::byte* out) { encode_leveled_row<Q3Format>(row, context, out); }

void decode_q3_k_blocks(Blocks blocks, std::span<float> values) {
  const std::byte* block = blocks.data();
  float* y = values.data();
  for (size_t b = 0; b < values.size() / kQ3Elems; ++b, block += kQ3Bytes) {
    const float d = load_f16(block + kQ3ScaleAt);
    for (size_t j = 0; j < kQ3SubBlocks; ++j, y += 16) {
      const float scale = d * static_cast<float>(unpack_level(block + kQ3LevelsAt, j) - 32);
      const std::byte* low = block + kQ3LowAt + j / 8 * 32 + j % 2 * 16;
      const std::byte* high = block + j % 2 * 16;
      const int low_shift = static_cast<int>(j % 8 / 2 * 2), high_shift = static_cast<int>(j / 2);
      write_scaled<16>(scale, y, [&](size_t m) HWY_ATTR {
        const auto high_bit = hn::ShiftLeft<2>(bits_at(bytes_at(high + m), high_shift, 1));
        return hn::Sub(hn::Or(bits_at(bytes_at(low + m), low_shift, 2), high_bit), hn::Set(CodeTag(), 4));
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
HWY_EXPORT(decode_q3_k_blocks);
HWY_EXPORT(encode_q3_k_row);
}  // namespace

void decode_q3_k(Blocks blocks, std::span<float> values) noexcept { HWY_DYNAMIC_DISPATCH(decode_q3_k_blocks)(blocks, values); }

void encode_q3_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q3_k_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
