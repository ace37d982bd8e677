// Q8_0: 8.5 bits per weight. x = d*q; blocks of 32.
//   byte 0   d  f16      scale
//        2   q  32 x i8  codes
// Format and rounding: ggml-common.h and quantize_row_q8_0_ref of ggml-quants.c, llama.cpp b10573. Encoding is defined, not
// searched: d = amax/127, q = x * (1/d) rounded half away from zero with the unrounded d; ggml's bytes. Importance changes
// nothing.
// Where ggml's answer is undefined, ours: NaN counts as 0; infinity as the block's largest finite magnitude (65504 if there is
// none but zeros); a scale beyond f16 saturates at 65504 and codes at +-127; where 1/d overflows (amax below 127 * 2^-128) all
// codes are 0.
#include <algorithm>
#include <cmath>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/finite_block.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q8_0.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef GGUFMILL_QUANT_Q8_0_ONCE
#define GGUFMILL_QUANT_Q8_0_ONCE
namespace ggufmill {
namespace {

constexpr size_t kQ8Elems = 32;
constexpr size_t kQ8Bytes = 34;
// Blocks whose amax lies in this range need none of the special answers.
constexpr float kQ8SmallestPlain = 0x1p-100f;
constexpr float kQ8LargestPlain = 127 * 65000.0f;

void encode_q8_0_block(const float* values, std::byte* block) {
  float x[kQ8Elems];
  const float amax = copy_finite(values, kQ8Elems, x);
  float d = amax / 127.0f;
  float inverse = d > 0 ? 1.0f / d : 0.0f;
  if (!std::isfinite(inverse)) inverse = 0;
  if (d > kF16Max) {
    d = kF16Max;
    inverse = 1.0f / d;
  }
  store_u16(block, f32_to_f16(d));
  for (size_t i = 0; i < kQ8Elems; ++i) {
    const float code = std::clamp(std::round(x[i] * inverse), -127.0f, 127.0f);
    block[2 + i] = static_cast<std::byte>(static_cast<int8_t>(code));
  }
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 8 lanes: 32 values are then a whole number of vectors, and their codes whole vectors of bytes, on every target.
using Q8F32 = hn::CappedTag<float, 8>;
using Q8I32 = hn::Rebind<int32_t, Q8F32>;
using Q8I8 = hn::Rebind<int8_t, Q8F32>;

// Half away from zero: the fraction that truncation drops is exact.
HWY_INLINE hn::Vec<Q8F32> round_half_away(hn::Vec<Q8F32> v) {
  const Q8F32 f32;
  const auto whole = hn::Trunc(v);
  const auto fraction = hn::Abs(hn::Sub(v, whole));
  const auto step = hn::CopySignToAbs(hn::Set(f32, 1.0f), v);
  return hn::Add(whole, hn::IfThenElseZero(hn::Ge(fraction, hn::Set(f32, 0.5f)), step));
}

// The bits of |x| as integers order like the values, with infinity and NaN above all others.
HWY_INLINE float largest_magnitude(const float* x) {
  const Q8I32 i32;
  const auto mask = hn::Set(i32, 0x7FFFFFFF);
  auto largest = hn::Zero(i32);
  for (size_t i = 0; i < kQ8Elems; i += hn::Lanes(i32)) {
    largest = hn::Max(largest, hn::And(hn::BitCast(i32, hn::LoadU(Q8F32(), x + i)), mask));
  }
  return std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(i32, largest)));
}

void encode_q8_0_blocks(const float* x, size_t blocks, std::byte* out) {
  const Q8F32 f32;
  const Q8I32 i32;
  for (size_t b = 0; b < blocks; ++b, x += kQ8Elems, out += kQ8Bytes) {
    const float amax = largest_magnitude(x);
    if (!(amax >= kQ8SmallestPlain && amax <= kQ8LargestPlain)) {
      encode_q8_0_block(x, out);
      continue;
    }
    const float d = amax / 127.0f;
    const auto inverse = hn::Set(f32, 1.0f / d);
    store_u16(out, f32_to_f16(d));
    for (size_t i = 0; i < kQ8Elems; i += hn::Lanes(f32)) {
      const auto code = round_half_away(hn::Mul(hn::LoadU(f32, x + i), inverse));
      hn::StoreU(hn::DemoteTo(Q8I8(), hn::ConvertTo(i32, code)), Q8I8(), reinterpret_cast<int8_t*>(out + 2 + i));
    }
  }
}

void decode_q8_0_blocks(const std::byte* in, size_t blocks, float* out) {
  const Q8F32 f32;
  const Q8I32 i32;
  for (size_t b = 0; b < blocks; ++b, in += kQ8Bytes, out += kQ8Elems) {
    const auto d = hn::Set(f32, load_f16(in));
    for (size_t i = 0; i < kQ8Elems; i += hn::Lanes(f32)) {
      const auto code = hn::PromoteTo(i32, hn::LoadU(Q8I8(), reinterpret_cast<const int8_t*>(in + 2 + i)));
      hn::StoreU(hn::Mul(hn::ConvertTo(f32, code), d), f32, out + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {

HWY_EXPORT(encode_q8_0_blocks);
HWY_EXPORT(decode_q8_0_blocks);

}  // namespace

void decode_q8_0_scalar(Blocks blocks, std::span<float> values) noexcept {
  for (size_t i = 0; i < values.size(); ++i) {
    const std::byte* block = &blocks[i / kQ8Elems * kQ8Bytes];
    values[i] = static_cast<float>(static_cast<int8_t>(block[2 + i % kQ8Elems])) * load_f16(block);
  }
}

void encode_q8_0_scalar(Row row, BlocksOut blocks) noexcept {
  for (size_t b = 0; b < row.size() / kQ8Elems; ++b) encode_q8_0_block(&row[b * kQ8Elems], &blocks[b * kQ8Bytes]);
}

void decode_q8_0(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q8_0_blocks)(blocks.data(), values.size() / kQ8Elems, values.data());
}

void encode_q8_0(Row row, const RowContext&, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q8_0_blocks)(row.data(), row.size() / kQ8Elems, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
