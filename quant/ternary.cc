// TQ1_0, TQ2_0, Q2_0 and Q1_0: one f16 scale for many codes that are -1, 0 or 1 (Q2_0: 2 as well; Q1_0: no 0). x = d*q.
// TQ1_0: 1.6875 bits per weight; blocks of 256.
//   byte 0   q  48 x u8  5 codes to a byte: byte m < 32 holds values m + 32 n, byte 32 + m holds values 160 + m + 16 n
//        48  q  4 x u8   4 codes to a byte: byte m holds values 240 + m + 4 n
//        52  d  f16      scale
//   The codes + 1 are digits to the base 3, the first the highest; a byte is ceil(number * 256 / 243), so that the digits are the
//   carries of repeated multiplication by 3. Example: codes 1 0 -1 0 0 are 2*81 + 27 + 0 + 3 + 1 = 193, stored as 204;
//   204 * 3 = 612 = 2 * 256 + 100: the first digit is 2, and 100 holds the others.
// TQ2_0: 2.0625 bits per weight; blocks of 256.
//   byte 0   q  64 x u8  per 128 values 32 bytes: bits 2n of byte m = code of value 32 n + m, plus 1
//        64  d  f16      scale
// Q2_0: 2.25 bits per weight; blocks of 64.
//   byte 0   d  f16      scale, of either sign
//        2   q  16 x u8  bits 2n of byte m = code of value 4 m + n, plus 1
// Q1_0: 1.125 bits per weight; blocks of 128.
//   byte 0   d  f16      scale
//        2   q  16 x u8  bit n of byte m: 1 where value 8 m + n is not negative
// Format: ggml-common.h and ggml-quants.c, llama.cpp b10573.
// Encoding: the best of scales around the mean magnitude and of ever closer ones around that (candidate_scales-inl.h), weighted
// by importance (row_weights.h); the largest magnitude (ggml's scale) and the lattice's step are among them. NaN, infinity and
// range: finite_block.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/ternary.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/candidate_scales-inl.h"
#include "quant/finite_block-inl.h"
#include "quant/row_weights-inl.h"

#ifndef GGUFMILL_QUANT_TERNARY_ONCE
#define GGUFMILL_QUANT_TERNARY_ONCE
namespace ggufmill {
namespace {

// The bytes of TQ1_0 in their order: `count` bytes from `at`, each of `digits` values `stride` apart, the first from `first` on.
struct TritBytes {
  size_t at, count, digits, stride, first;
};
constexpr TritBytes kTritBytes[] = {{0, 32, 5, 32, 0}, {32, 16, 5, 16, 160}, {48, 4, 4, 4, 240}};
constexpr std::array<uint8_t, 5> kPowersOf3 = {1, 3, 9, 27, 81};

// Of each type: packing of codes, and what codes a block holds.
struct Tq10 {
  static constexpr size_t kElems = 256, kBytes = 54, kScaleAt = 52;
  static constexpr bool kHasZero = true, kHasTwo = false;
  static void pack(const int8_t* codes, std::byte* block) {
    for (const TritBytes& part : kTritBytes) {
      for (size_t m = 0; m < part.count; ++m) {
        unsigned number = 0;
        for (size_t n = 0; n < 5; ++n) {
          const unsigned digit = n < part.digits ? static_cast<unsigned>(codes[part.first + m + n * part.stride] + 1) : 0;
          number = 3 * number + digit;
        }
        block[part.at + m] = static_cast<std::byte>((number * 256 + 242) / 243);
      }
    }
  }
  static void unpack(const std::byte* block, int8_t* codes) {
    for (const TritBytes& part : kTritBytes) {
      for (size_t n = 0; n < part.digits; ++n) {
        for (size_t m = 0; m < part.count; ++m) {
          const auto rest = static_cast<uint8_t>(std::to_integer<unsigned>(block[part.at + m]) * kPowersOf3[n]);
          codes[part.first + m + n * part.stride] = static_cast<int8_t>((rest * 3 >> 8) - 1);
        }
      }
    }
  }
};
struct Tq20 {
  static constexpr size_t kElems = 256, kBytes = 66, kScaleAt = 64;
  static constexpr bool kHasZero = true, kHasTwo = false;
  static void pack(const int8_t* codes, std::byte* block) {
    for (size_t m = 0; m < 64; ++m) {
      const int8_t* c = codes + m / 32 * 128 + m % 32;
      block[m] = static_cast<std::byte>((c[0] + 1) | (c[32] + 1) << 2 | (c[64] + 1) << 4 | (c[96] + 1) << 6);
    }
  }
  static void unpack(const std::byte* block, int8_t* codes) {
    for (size_t half = 0; half < 2; ++half) {
      for (size_t n = 0; n < 4; ++n) {
        for (size_t m = 0; m < 32; ++m) {
          const unsigned four = std::to_integer<unsigned>(block[half * 32 + m]);
          codes[half * 128 + n * 32 + m] = static_cast<int8_t>(static_cast<int>(four >> (2 * n) & 3) - 1);
        }
      }
    }
  }
};
struct Q20 {
  static constexpr size_t kElems = 64, kBytes = 18, kScaleAt = 0;
  static constexpr bool kHasZero = true, kHasTwo = true;
  static void pack(const int8_t* codes, std::byte* block) {
    for (size_t m = 0; m < 16; ++m) {
      const int8_t* c = codes + 4 * m;
      block[2 + m] = static_cast<std::byte>((c[0] + 1) | (c[1] + 1) << 2 | (c[2] + 1) << 4 | (c[3] + 1) << 6);
    }
  }
  static void unpack(const std::byte* block, int8_t* codes) {
    for (size_t i = 0; i < kElems; ++i) {
      codes[i] = static_cast<int8_t>(static_cast<int>(std::to_integer<unsigned>(block[2 + i / 4]) >> (i % 4 * 2) & 3) - 1);
    }
  }
};
struct Q10 {
  static constexpr size_t kElems = 128, kBytes = 18, kScaleAt = 0;
  static constexpr bool kHasZero = false, kHasTwo = false;
  static void pack(const int8_t* codes, std::byte* block) {
    for (size_t m = 0; m < 16; ++m) {
      unsigned bits = 0;
      for (size_t n = 0; n < 8; ++n) bits |= (codes[8 * m + n] > 0 ? 1u : 0u) << n;
      block[2 + m] = static_cast<std::byte>(bits);
    }
  }
  static void unpack(const std::byte* block, int8_t* codes) {
    for (size_t i = 0; i < kElems; ++i) {
      codes[i] = static_cast<int8_t>(2 * static_cast<int>(std::to_integer<unsigned>(block[2 + i / 8]) >> (i % 8) & 1) - 1);
    }
  }
};

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

template <class Type>
struct FewCodes {
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V nearest(D d, V v) {
    const V one = hn::Set(d, 1.0f);
    if constexpr (!Type::kHasZero) return hn::CopySign(one, v);
    const V most = hn::Set(d, Type::kHasTwo ? 2.0f : 1.0f), whole = hn::Set(d, 0x1.8p23f);
    const V clamped = hn::Min(hn::Max(v, hn::Neg(one)), most);
    return hn::Sub(hn::Add(clamped, whole), whole);
  }
};

// Scales tried first, as multiples of the weighted mean magnitude; two places are left for the largest magnitude and the step.
constexpr float kOfMean[] = {0.6f, 0.8f, 1.0f, 1.1f, 1.25f, 1.4f, 1.55f, 1.7f, 1.85f, 2.0f, 2.2f, 2.5f, 3.0f, 4.0f};
constexpr size_t kFewTries = 16;
constexpr size_t kRoundsOf[] = {1, 2, 4};  // of closer scales, by effort

struct ScaleFound {
  float scale = 0, error = std::numeric_limits<float>::infinity();
};

// Rounds the candidates to f16 first.
template <class Type>
HWY_INLINE void take_better(const float* x, const float* w, const BlockUnit& unit, Candidates<kFewTries>& tried,
                            ScaleFound& found) {
  const hn::CappedTag<float, kFewTries> d;
  const auto up = hn::Set(d, unit.up), down = hn::Set(d, unit.down), smallest = hn::Set(d, kF16Tiny * unit.down);
  for (size_t k = 0; k < kFewTries; k += hn::Lanes(d)) {
    const auto rounded = rounded_to_f16(d, hn::Load(d, tried.scale + k), up, down);
    hn::Store(hn::Max(rounded, smallest), d, tried.scale + k);
  }
  score_candidates<FewCodes<Type>, Type::kElems>(x, w, tried);
  const size_t best = best_candidate(tried);
  if (tried.error[best] < found.error) found = {tried.scale[best], tried.error[best]};
}

struct Magnitudes {
  float mean, largest;  // weighted, and of all
};

// Added up in 16 lanes, whatever the target's vectors hold, and then in their order.
template <class Type>
HWY_INLINE Magnitudes magnitudes_of(const float* x, const float* w) {
  constexpr size_t kSums = 16;
  float sum[kSums] = {}, weight[kSums] = {};
  for (size_t i = 0; i < Type::kElems; i += kSums) {
    for (size_t l = 0; l < kSums; ++l) {
      sum[l] += w[i + l] * std::fabs(x[i + l]);
      weight[l] += w[i + l];
    }
  }
  for (size_t l = 1; l < kSums; ++l) {
    sum[0] += sum[l];
    weight[0] += weight[l];
  }
  return {sum[0] / weight[0], largest_magnitude<Type::kElems>(x)};
}

template <class Type>
ScaleFound find_few_scale(const float* x, const float* w, const BlockUnit& unit, float step, size_t rounds) {
  const Magnitudes size = magnitudes_of<Type>(x, w);
  Candidates<kFewTries> tried;
  for (size_t k = 0; k < std::size(kOfMean); ++k) tried.scale[k] = size.mean * kOfMean[k];
  tried.scale[kFewTries - 2] = size.largest;
  tried.scale[kFewTries - 1] = step > 0 ? step : size.largest / 2;
  ScaleFound found;
  take_better<Type>(x, w, unit, tried, found);
  float reach = 0.12f;
  for (size_t round = 0; round < rounds; ++round, reach *= 0.15f) {
    for (size_t k = 0; k < kFewTries; ++k) {
      tried.scale[k] = found.scale * (1 + reach * (static_cast<float>(k) - 7.5f) / 7.5f);
    }
    take_better<Type>(x, w, unit, tried, found);
  }
  return found;
}

template <class Type>
void encode_few_row(Row row, const RowContext& context, std::byte* out) {
  constexpr size_t kElems = Type::kElems;
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> i32;
  const hn::Rebind<int8_t, decltype(d)> i8;
  const size_t rounds = kRoundsOf[static_cast<size_t>(context.effort)];
  const RowWeights row_weights(context);
  HWY_ALIGN float x[kElems];
  HWY_ALIGN float w[kElems];
  HWY_ALIGN int8_t codes[kElems];
  for (size_t first = 0; first < row.size(); first += kElems, out += Type::kBytes) {
    const BlockUnit unit = load_finite_block<kElems>(&row[first], x);
    float scale = 0;
    if (unit.zero) {
      std::fill_n(x, kElems, 0.0f);
    } else {
      load_weights<kElems>(row_weights, first, x, w);
      const SourceLattice& lattice = context.lattice;
      const float step = lattice.group_elems == 0 ? 0 : std::fabs(lattice.steps[first / lattice.group_elems]) * unit.down;
      const ScaleFound found = find_few_scale<Type>(x, w, unit, step, rounds);
      scale = found.scale;
      if (Type::kHasTwo) {  // a scale below zero turns the codes around
        for (float& v : x) v = -v;
        const ScaleFound turned = find_few_scale<Type>(x, w, unit, step, rounds);
        for (float& v : x) v = -v;
        if (turned.error < found.error) scale = -turned.scale;
      }
    }
    store_u16(out + Type::kScaleAt, unit.scale_bits(scale));
    const auto inverse = hn::Set(d, scale == 0 ? 0 : 1 / scale);
    for (size_t i = 0; i < kElems; i += hn::Lanes(d)) {
      const auto code = FewCodes<Type>::nearest(d, hn::Mul(hn::Load(d, x + i), inverse));
      hn::Store(hn::DemoteTo(i8, hn::ConvertTo(i32, code)), i8, codes + i);
    }
    Type::pack(codes, out);
  }
}

template <class Type>
void decode_few(const std::byte* block, size_t blocks, float* y) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> i32;
  const hn::Rebind<int8_t, decltype(d)> i8;
  HWY_ALIGN int8_t codes[Type::kElems];
  for (size_t b = 0; b < blocks; ++b, block += Type::kBytes, y += Type::kElems) {
    Type::unpack(block, codes);
    const auto scale = hn::Set(d, load_f16(block + Type::kScaleAt));
    for (size_t i = 0; i < Type::kElems; i += hn::Lanes(d)) {
      hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::PromoteTo(i32, hn::Load(i8, codes + i))), scale), d, y + i);
    }
  }
}

void encode_tq1_0_row(Row row, const RowContext& context, std::byte* out) { encode_few_row<Tq10>(row, context, out); }
void encode_tq2_0_row(Row row, const RowContext& context, std::byte* out) { encode_few_row<Tq20>(row, context, out); }
void encode_q2_0_row(Row row, const RowContext& context, std::byte* out) { encode_few_row<Q20>(row, context, out); }
void encode_q1_0_row(Row row, const RowContext& context, std::byte* out) { encode_few_row<Q10>(row, context, out); }
void decode_tq1_0_blocks(const std::byte* in, size_t values, float* out) { decode_few<Tq10>(in, values / Tq10::kElems, out); }
void decode_tq2_0_blocks(const std::byte* in, size_t values, float* out) { decode_few<Tq20>(in, values / Tq20::kElems, out); }
void decode_q2_0_blocks(const std::byte* in, size_t values, float* out) { decode_few<Q20>(in, values / Q20::kElems, out); }
void decode_q1_0_blocks(const std::byte* in, size_t values, float* out) { decode_few<Q10>(in, values / Q10::kElems, out); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_tq1_0_row);
HWY_EXPORT(encode_tq2_0_row);
HWY_EXPORT(encode_q2_0_row);
HWY_EXPORT(encode_q1_0_row);
HWY_EXPORT(decode_tq1_0_blocks);
HWY_EXPORT(decode_tq2_0_blocks);
HWY_EXPORT(decode_q2_0_blocks);
HWY_EXPORT(decode_q1_0_blocks);
}  // namespace

void decode_tq1_0(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_tq1_0_blocks)(blocks.data(), values.size(), values.data());
}
void decode_tq2_0(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_tq2_0_blocks)(blocks.data(), values.size(), values.data());
}
void decode_q2_0(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q2_0_blocks)(blocks.data(), values.size(), values.data());
}
void decode_q1_0(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q1_0_blocks)(blocks.data(), values.size(), values.data());
}
void encode_tq1_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_tq1_0_row)(row, context, blocks.data());
}
void encode_tq2_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_tq2_0_row)(row, context, blocks.data());
}
void encode_q2_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q2_0_row)(row, context, blocks.data());
}
void encode_q1_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q1_0_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
