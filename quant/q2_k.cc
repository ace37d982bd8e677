// Q2_K: 2.625 bits per weight. x = d*s*q - dmin*m; 256 values per super-block, 16 sub-blocks of 16.
//   byte 0   s,m   16 x u8     low nibble = scale, high nibble = min of a sub-block
//        16  q     64 x u8     per 128 values 32 bytes: bits 2j of byte i = code of value 32 j + i
//        80  d     f16         scale of the scales
//        82  dmin  f16         scale of the mins
// Codes are 0 .. 3. Format: ggml-common.h, llama.cpp b10573.
// Encoding: (scale, min) per sub-block, then d, dmin and their integers together (min_search-inl.h, min_levels-inl.h), weighted
// by importance (row_weights.h). d and dmin are not negative. NaN, infinity and range: finite_block.h. A super-block of zeros is
// all zero bytes.
#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q2_k.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/min_levels-inl.h"

#ifndef GGUFMILL_QUANT_Q2_K_ONCE
#define GGUFMILL_QUANT_Q2_K_ONCE
namespace ggufmill {
namespace {

constexpr size_t kQ2Elems = 256;
constexpr size_t kQ2CodesAt = 16;
constexpr size_t kQ2UnitsAt = 80;

// What min_levels-inl.h asks of a type.
struct Q2K {
  static constexpr size_t kElems = 16, kSubs = 16, kBytes = 84;
  static constexpr int kMaxCode = 3, kMaxLevel = 15;
  static constexpr bool kFreeMin = false;
  static constexpr float kDivisors[] = {17, 16.5f, 16, 15.5f, 15, 14.5f, 14, 13.5f, 13, 12.5f, 12, 11, 10, 9, 8};

  static void pack(uint16_t d, uint16_t dmin, const uint8_t* levels, const uint8_t* mins, const uint8_t* codes,
                   std::byte* block) {
    for (size_t j = 0; j < kSubs; ++j) block[j] = static_cast<std::byte>(levels[j] | mins[j] << 4);
    for (size_t i = 0; i < kQ2Elems; i += 128) {
      for (size_t m = 0; m < 32; ++m) {
        const uint8_t* c = codes + i + m;
        block[kQ2CodesAt + i / 4 + m] = static_cast<std::byte>(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
      }
    }
    store_u16(block + kQ2UnitsAt, d);
    store_u16(block + kQ2UnitsAt + 2, dmin);
  }
};

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

struct Q2Searches {
  struct Fast {
    static constexpr MinStart kStarts[] = {{2.2f, 0}, {2.6f, 0}, {3.0f, 0}, {3.4f, 0}, {3.9f, 0}, {4.4f, -0.5f}};
    static constexpr int kLevelReach = 1, kMinReach = 1, kRounds = 2;
    static constexpr size_t kUnits = 1;
  };
  struct Default {
    static constexpr MinStart kStarts[] = {{2.0f, 0},     {2.4f, 0},     {2.7f, 0},    {3.0f, 0},     {3.3f, 0},
                                           {3.6f, 0},     {4.0f, 0},     {4.5f, 0},    {3.3f, -0.3f}, {3.9f, -0.3f},
                                           {4.4f, -0.5f}, {5.2f, -0.8f}, {6.0f, -1.2f}};
    static constexpr int kLevelReach = 3, kMinReach = 2, kRounds = 2;
    static constexpr size_t kUnits = 1;
  };
  struct Max {
    static constexpr MinStart kStarts[] = {
        {2.0f, 0}, {2.2f, 0}, {2.4f, 0}, {2.6f, 0},     {2.8f, 0},     {3.0f, 0},     {3.2f, 0},     {3.4f, 0},     {3.6f, 0},
        {3.9f, 0}, {4.2f, 0}, {4.6f, 0}, {3.0f, -0.3f}, {3.6f, -0.3f}, {4.2f, -0.5f}, {4.8f, -0.5f}, {5.5f, -1.0f}, {2.6f, 0.3f}};
    static constexpr int kLevelReach = 4, kMinReach = 3, kRounds = 3;
    static constexpr size_t kUnits = 8;
  };
};

void encode_q2_k_row(Row row, const RowContext& context, std::byte* out) { encode_min_row<Q2K>(row, context, out, Q2Searches()); }

void decode_q2_k_blocks(const std::byte* block, size_t blocks, float* y) {
  const hn::CappedTag<float, 16> f32;
  const hn::RebindToSigned<decltype(f32)> i32;
  const hn::Rebind<uint8_t, decltype(f32)> u8;
  for (size_t b = 0; b < blocks; ++b, block += Q2K::kBytes) {
    const float d = load_f16(block + kQ2UnitsAt), dmin = load_f16(block + kQ2UnitsAt + 2);
    for (size_t j = 0; j < Q2K::kSubs; ++j) {
      const unsigned level = std::to_integer<unsigned>(block[j]);
      const auto scale = hn::Set(f32, d * static_cast<float>(level & 15)),
                 min = hn::Set(f32, dmin * static_cast<float>(level >> 4));
      const auto* codes = reinterpret_cast<const uint8_t*>(block + kQ2CodesAt + j / 8 * 32 + j % 2 * 16);
      for (size_t m = 0; m < 16; m += hn::Lanes(f32), y += hn::Lanes(f32)) {
        const auto four = hn::PromoteTo(i32, hn::LoadU(u8, codes + m));
        const auto q = hn::And(hn::ShiftRightSame(four, static_cast<int>(j % 8 / 2 * 2)), hn::Set(i32, 3));
        hn::StoreU(hn::Sub(hn::Mul(scale, hn::ConvertTo(f32, q)), min), f32, y);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_q2_k_row);
HWY_EXPORT(decode_q2_k_blocks);
}  // namespace

void decode_q2_k(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q2_k_blocks)(blocks.data(), values.size() / kQ2Elems, values.data());
}
void encode_q2_k(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q2_k_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
