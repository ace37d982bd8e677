// MXFP4 and NVFP4: x = s*q with q of E2M1, doubled so that it is an integer: 0 1 2 3 4 6 8 12 and their negatives.
// MXFP4: 4.25 bits per weight; blocks of 32.
//   byte 0   e  u8       E8M0, s = 2^(e - 128): half of the scale, since codes are doubled
//        1   q  16 x u8  byte m: low nibble = value m, high nibble = value m + 16
// NVFP4: 4.5 bits per weight; blocks of 64, 4 groups of 16.
//   byte 0   s  4 x u8   E4M3 (bias 7, the top bit ignored), s = half its value; 0x7F decodes to 0
//        4   q  32 x u8  8 bytes per group: low nibble = value m, high nibble = value m + 8
// A nibble is sign, two bits of exponent, one of mantissa. Format: ggml-common.h and ggml-impl.h, llama.cpp b10573.
// Encoding: the scale with the smallest error among candidates (candidate_scales-inl.h), weighted by importance (row_weights.h):
// MXFP4 the exponents around that of the largest value, NVFP4 a window of E4M3 codes, and both the scale that the source's
// lattice names. An NVFP4 block represents x / tensor_scale. NaN counts as 0; infinity as the block's largest finite magnitude
// (65504 if there is none but zeros); values beyond the range saturate. MXFP4 has the range of f32, so nothing vanishes in it.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "quant/codec_functions.h"
#include "quant/finite_block.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/fp4.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/candidate_scales-inl.h"
#include "quant/finite_block-inl.h"
#include "quant/row_weights-inl.h"

#ifndef GGUFMILL_QUANT_FP4_ONCE
#define GGUFMILL_QUANT_FP4_ONCE
namespace ggufmill {
namespace {

constexpr float kLargestCode = 12;

constexpr float half_e8m0(uint8_t code) {
  return std::bit_cast<float>(code < 2 ? 0x00200000u << code : static_cast<uint32_t>(code - 1) << 23);
}
constexpr float half_e4m3(uint8_t code) {
  const unsigned exponent = code >> 3 & 15, mantissa = code & 7;
  if (code == 0x7F) return 0;
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
  return std::bit_cast<float>((exponent + 119) << 23 | mantissa << 20);  // (1 + mantissa / 8) * 2^(exponent - 8)
}
static_assert(half_e8m0(0) == 0x1p-128f && half_e8m0(1) == 0x1p-127f && half_e8m0(128) == 1);
static_assert(half_e4m3(0x08) == 0x1p-7f && half_e4m3(0x7E) == 224 && half_e4m3(7) == 7 * 0x1p-10f);

template <class Scale>
constexpr std::array<float, 256> scale_table(Scale scale) {
  std::array<float, 256> table{};
  for (size_t i = 0; i < 256; ++i) table[i] = scale(static_cast<uint8_t>(i));
  return table;
}

struct Mxfp4 {
  static constexpr size_t kGroup = 32, kGroups = 1, kCodesAt = 1;
  static constexpr bool kHasTensorScale = false;
  static constexpr std::array<float, 256> kScales = scale_table(half_e8m0);
  static constexpr uint8_t kLargestScale = 252;  // 12 times the next overflows f32
};
struct Nvfp4 {
  static constexpr size_t kGroup = 16, kGroups = 4, kCodesAt = 4;
  static constexpr bool kHasTensorScale = true;
  static constexpr std::array<float, 256> kScales = scale_table(half_e4m3);
  static constexpr uint8_t kLargestScale = 0x7E;
};

// The first code of Type whose scale is no smaller; scales grow with their codes.
template <class Type>
size_t code_at_least(float scale) {
  const auto first = Type::kScales.begin(), last = first + Type::kLargestScale;
  return static_cast<size_t>(std::lower_bound(first, last, scale) - first);
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Magnitudes only: the search takes |x|.
struct E2m1Codes {
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V nearest(D d, V v) {
    const hn::RebindToUnsigned<D> u32;
    // Up to 4 the integers; above, what f32 becomes when one bit of its mantissa is kept.
    const V clamped = hn::Min(v, hn::Set(d, kLargestCode));
    const V whole = hn::Set(d, 0x1.8p23f);
    const V small = hn::Sub(hn::Add(clamped, whole), whole);
    const auto bits = hn::Add(hn::BitCast(u32, clamped), hn::Set(u32, 0x00200000));
    const V large = hn::BitCast(d, hn::And(bits, hn::Set(u32, 0xFFC00000)));
    return hn::IfThenElse(hn::Lt(clamped, hn::Set(d, 4.0f)), small, large);
  }
  // 0 .. 7 of a code's magnitude: 0 1 are themselves, the others differ by one in the upper bits of f32.
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::RebindToSigned<D>> index(D d, V q) {
    const hn::RebindToSigned<D> i32;
    const auto upper = hn::Sub(hn::ShiftRight<22>(hn::BitCast(i32, q)), hn::Set(i32, 0xFE));
    return hn::IfThenElse(hn::RebindMask(i32, hn::Lt(q, hn::Set(d, 2.0f))), hn::ConvertTo(i32, q), upper);
  }
};

// Nibbles of kElems values at the scale given: sign << 3 | index.
template <size_t kElems>
HWY_INLINE void write_nibbles(const float* x, float scale, std::byte* out) {
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> i32;
  const hn::Rebind<uint8_t, decltype(d)> u8;
  HWY_ALIGN uint8_t nibble[kElems];
  const auto inverse = hn::Set(d, scale > 0 ? 1 / scale : 0.0f);
  for (size_t e = 0; e < kElems; e += hn::Lanes(d)) {
    const auto v = hn::LoadU(d, x + e);
    const auto index = E2m1Codes::index(d, E2m1Codes::nearest(d, hn::Mul(hn::Abs(v), inverse)));
    const auto sign = hn::And(hn::ShiftRight<28>(hn::BitCast(i32, v)), hn::Set(i32, 8));
    const auto is_zero = hn::Eq(index, hn::Zero(i32));
    hn::StoreU(hn::DemoteTo(u8, hn::IfThenZeroElse(is_zero, hn::Or(index, sign))), u8, nibble + e);
  }
  for (size_t m = 0; m < kElems / 2; ++m) out[m] = static_cast<std::byte>(nibble[m] | nibble[m + kElems / 2] << 4);
}

// One group of Type: values in the search's unit, `down` a power of two that takes a scale into it, kTries codes from `code`
// downwards and the one of the lattice's `step` (doubled codes' unit as well).
template <class Type, size_t kTries>
HWY_INLINE uint8_t best_scale_code(const float* x, const float* w, float down, int code, float step) {
  const hn::CappedTag<float, 8> d;
  HWY_ALIGN float magnitude[Type::kGroup];
  for (size_t e = 0; e < Type::kGroup; e += hn::Lanes(d)) hn::Store(hn::Abs(hn::LoadU(d, x + e)), d, magnitude + e);
  Candidates<kTries> tried;
  code = std::clamp(code, 0, static_cast<int>(Type::kLargestScale));
  for (size_t k = 0; k < kTries; ++k) tried.scale[k] = code >= static_cast<int>(k) ? Type::kScales[code - k] * down : 0;
  int from_lattice = -1;
  if (step > 0) {
    from_lattice = static_cast<int>(code_at_least<Type>(step * (1 - 0x1p-10f)));
    tried.scale[kTries - 1] = Type::kScales[from_lattice] * down;
  }
  score_candidates<E2m1Codes, Type::kGroup>(magnitude, w, tried);
  const size_t best = best_candidate(tried);
  if (from_lattice >= 0 && best == kTries - 1) return static_cast<uint8_t>(from_lattice);
  return static_cast<uint8_t>(std::max(code - static_cast<int>(best), 0));
}

// Tries of each effort, and how far the first lies above the smallest scale that reaches the largest value.
template <class Type>
struct Fp4Tries;
template <>
struct Fp4Tries<Mxfp4> {
  static constexpr int kAbove = 1;
  static constexpr size_t kFast = 4, kDefault = 4, kMax = 8;
};
template <>
struct Fp4Tries<Nvfp4> {
  static constexpr int kAbove = 6;
  static constexpr size_t kFast = 8, kDefault = 32, kMax = 64;
};

// Takes finite values so that the largest is in [1, 2), or below where that is a denormal; `exponent` is of the power of two
// taken out. False for zeros alone.
template <size_t kElems>
HWY_INLINE bool load_any_range(const float* values, float* x, int& exponent) {
  const hn::CappedTag<float, 16> d;
  const float amax = largest_magnitude<kElems>(values);
  if (amax == 0) {
    std::fill_n(x, kElems, 0.0f);
    return false;
  }
  exponent = std::max(std::ilogb(amax), -126);
  const auto down = hn::Set(d, std::ldexp(1.0f, -exponent));
  for (size_t i = 0; i < kElems; i += hn::Lanes(d)) hn::Store(hn::Mul(hn::LoadU(d, values + i), down), d, x + i);
  return true;
}

// The values of a block as they are, or made finite in `finite`.
template <size_t kElems>
HWY_INLINE const float* finite_values(const float* values, float* finite) {
  if (largest_magnitude<kElems>(values) <= std::numeric_limits<float>::max()) return values;
  copy_finite(values, kElems, finite);
  return finite;
}

// Writes the scale and the codes of the group at column `first`.
template <class Type, size_t kTries>
HWY_INLINE void encode_group(const float* values, size_t first, const RowWeights& row_weights, const RowContext& context,
                             std::byte* scale_out, std::byte* codes_out) {
  constexpr size_t kElems = Type::kGroup;
  const SourceLattice& lattice = context.lattice;
  const float tensor_scale = Type::kHasTensorScale ? context.tensor_scale : 1.0f;
  HWY_ALIGN float x[kElems];
  HWY_ALIGN float w[kElems];
  int exponent = 0;
  uint8_t scale_code = 0;
  float scale = 0;
  if (load_any_range<kElems>(values, x, exponent)) {
    load_weights<kElems>(row_weights, first, x, w);
    // value = scale in the block * unit * code, in the search; far outside of the block's range all vanish or saturate
    const float unit = std::clamp(std::ldexp(tensor_scale, -exponent), 0x1p-127f, 0x1p127f);
    const int reaching = static_cast<int>(code_at_least<Type>(largest_magnitude<kElems>(x) / kLargestCode / unit));
    const float step = lattice.group_elems == 0 ? 0 : std::fabs(lattice.steps[first / lattice.group_elems]) / tensor_scale;
    scale_code = best_scale_code<Type, kTries>(x, w, unit, reaching + Fp4Tries<Type>::kAbove, step);
    scale = Type::kScales[scale_code] * unit;
  }
  *scale_out = static_cast<std::byte>(scale_code);
  write_nibbles<kElems>(x, scale, codes_out);
}

template <class Type, size_t kTries>
void encode_fp4_row(Row row, const RowContext& context, std::byte* out) {
  constexpr size_t kBlock = Type::kGroup * Type::kGroups;
  const RowWeights row_weights(context);
  HWY_ALIGN float finite[kBlock];
  for (size_t first = 0; first < row.size(); first += kBlock, out += Type::kCodesAt + kBlock / 2) {
    const float* values = finite_values<kBlock>(&row[first], finite);
    for (size_t g = 0; g < Type::kGroups; ++g) {
      encode_group<Type, kTries>(values + g * Type::kGroup, first + g * Type::kGroup, row_weights, context, out + g,
                                 out + Type::kCodesAt + g * Type::kGroup / 2);
    }
  }
}

template <class Type>
void encode_fp4(Row row, const RowContext& context, std::byte* out) {
  using Tries = Fp4Tries<Type>;
  switch (context.effort) {
    case Effort::kFast:
      return encode_fp4_row<Type, Tries::kFast>(row, context, out);
    case Effort::kDefault:
      return encode_fp4_row<Type, Tries::kDefault>(row, context, out);
    case Effort::kMax:
      return encode_fp4_row<Type, Tries::kMax>(row, context, out);
  }
}
void encode_mxfp4_row(Row row, const RowContext& context, std::byte* out) { encode_fp4<Mxfp4>(row, context, out); }
void encode_nvfp4_row(Row row, const RowContext& context, std::byte* out) { encode_fp4<Nvfp4>(row, context, out); }

// What nibbles stand for. Adding +0 turns -0 into ggml's +0.
template <class D, class I = hn::Vec<hn::RebindToSigned<D>>>
HWY_INLINE hn::Vec<D> e2m1_values(D d, I nibble) {
  const hn::RebindToSigned<D> i32;
  const I index = hn::And(nibble, hn::Set(i32, 7));
  const auto large = hn::BitCast(d, hn::ShiftLeft<22>(hn::Add(index, hn::Set(i32, 0xFE))));
  const auto is_small = hn::RebindMask(d, hn::Lt(index, hn::Set(i32, 2)));
  const auto magnitude = hn::IfThenElse(is_small, hn::ConvertTo(d, index), large);
  const auto sign = hn::BitCast(d, hn::ShiftLeft<28>(hn::And(nibble, hn::Set(i32, 8))));
  return hn::Add(hn::Or(magnitude, sign), hn::Zero(d));
}

template <class Type>
void decode_fp4(const std::byte* block, size_t groups, float* y) {
  constexpr size_t kHalf = Type::kGroup / 2;
  const hn::CappedTag<float, kHalf> d;
  const hn::RebindToSigned<decltype(d)> i32;
  const hn::Rebind<uint8_t, decltype(d)> u8;
  for (size_t group = 0; group < groups; ++group, y += Type::kGroup) {
    const std::byte* head = block + group / Type::kGroups * (Type::kCodesAt + Type::kGroups * kHalf);
    const auto* codes = reinterpret_cast<const uint8_t*>(head + Type::kCodesAt + group % Type::kGroups * kHalf);
    const auto scale = hn::Set(d, Type::kScales[std::to_integer<uint8_t>(head[group % Type::kGroups])]);
    for (size_t m = 0; m < kHalf; m += hn::Lanes(d)) {
      const auto pair = hn::PromoteTo(i32, hn::LoadU(u8, codes + m));
      hn::StoreU(hn::Mul(e2m1_values(d, hn::And(pair, hn::Set(i32, 15))), scale), d, y + m);
      hn::StoreU(hn::Mul(e2m1_values(d, hn::ShiftRight<4>(pair)), scale), d, y + m + kHalf);
    }
  }
}
void decode_mxfp4_blocks(const std::byte* blocks, size_t values, float* y) { decode_fp4<Mxfp4>(blocks, values / 32, y); }
void decode_nvfp4_blocks(const std::byte* blocks, size_t values, float* y) { decode_fp4<Nvfp4>(blocks, values / 16, y); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_mxfp4_row);
HWY_EXPORT(encode_nvfp4_row);
HWY_EXPORT(decode_mxfp4_blocks);
HWY_EXPORT(decode_nvfp4_blocks);
}  // namespace

void decode_mxfp4(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_mxfp4_blocks)(blocks.data(), values.size(), values.data());
}
void decode_nvfp4(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_nvfp4_blocks)(blocks.data(), values.size(), values.data());
}
void encode_mxfp4(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_mxfp4_row)(row, context, blocks.data());
}
void encode_nvfp4(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_nvfp4_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
