// F32, F16, BF16: containers without blocks; one value is one element.
//   F32   f32, little-endian, every bit kept (NaN payloads too)
//   F16   IEEE half: nearest, ties to even; beyond 65520 infinity; NaN becomes sign | 0x7E00 (as ggml's portable conversion)
//   BF16  the upper half of an f32: nearest, ties to even; NaN keeps its upper bits, made quiet
// Importance changes nothing. Decoding F16 makes a NaN quiet; decoding BF16 keeps every bit. f16.h has the scalar oracles.
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/float_types.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using V = hn::Vec<U32>;

// Integer arithmetic, so that NaN payloads and denormals do not depend on the target's conversion instructions.
HWY_INLINE V f32_bits_of_f16(V half) {
  const U32 u32;
  const F32 f32;
  const V sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(u32, 0x8000)));
  const V magnitude = hn::And(half, hn::Set(u32, 0x7FFF));
  const V rebias = hn::Set(u32, 112u << 23);
  const V normal = hn::Add(hn::ShiftLeft<13>(magnitude), rebias);
  const V quiet = hn::IfThenElseZero(hn::Gt(magnitude, hn::Set(u32, 0x7C00)), hn::Set(u32, 0x00400000));
  const V special = hn::Or(hn::Add(normal, rebias), quiet);
  // A denormal is magnitude * 2^-24: those bits below the leading one of 0.5, minus 0.5.
  const auto shifted = hn::BitCast(f32, hn::Or(magnitude, hn::Set(u32, 0x3F000000)));
  const V denormal = hn::BitCast(u32, hn::Sub(shifted, hn::Set(f32, 0.5f)));
  const V finite = hn::IfThenElse(hn::Lt(magnitude, hn::Set(u32, 0x0400)), denormal, normal);
  return hn::Or(sign, hn::IfThenElse(hn::Lt(magnitude, hn::Set(u32, 0x7C00)), finite, special));
}

HWY_INLINE V f16_of_f32_bits(V bits) {
  const U32 u32;
  const F32 f32;
  const V sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(u32, 0x8000));
  const V magnitude = hn::And(bits, hn::Set(u32, 0x7FFFFFFF));
  const V odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(u32, 1));
  const V rounded = hn::Add(hn::Add(magnitude, hn::Set(u32, 0x0FFF)), odd);
  const V normal = hn::ShiftRight<13>(hn::Sub(rounded, hn::Set(u32, 112u << 23)));
  const auto shifted = hn::Add(hn::BitCast(f32, magnitude), hn::Set(f32, 0.5f));
  const V denormal = hn::Sub(hn::BitCast(u32, shifted), hn::Set(u32, 0x3F000000));
  V half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(u32, 0x38800000)), denormal, normal);
  half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(u32, 0x477FF000)), half, hn::Set(u32, 0x7C00));
  half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(u32, 0x7F800000)), hn::Set(u32, 0x7E00), half);
  return hn::Or(sign, half);
}

HWY_INLINE V bf16_of_f32_bits(V bits) {
  const U32 u32;
  const V upper = hn::ShiftRight<16>(bits);
  const V odd = hn::And(upper, hn::Set(u32, 1));
  const V rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(u32, 0x7FFF)), odd));
  const V magnitude = hn::And(bits, hn::Set(u32, 0x7FFFFFFF));
  return hn::IfThenElse(hn::Gt(magnitude, hn::Set(u32, 0x7F800000)), hn::Or(upper, hn::Set(u32, 0x40)), rounded);
}

// Loads and stores go through U16 arrays of one vector, since spans of bytes need not be aligned for uint16_t.
template <V (*kConvert)(V)>
HWY_INLINE size_t decode_lanes(const std::byte* from, float* to, size_t count) {
  const U16 u16;
  const U32 u32;
  const size_t lanes = hn::Lanes(u32);
  HWY_ALIGN uint16_t halves[HWY_MAX_BYTES / sizeof(float)];
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    std::memcpy(halves, from + 2 * i, 2 * lanes);
    const V bits = kConvert(hn::PromoteTo(u32, hn::Load(u16, halves)));
    hn::StoreU(hn::BitCast(F32(), bits), F32(), to + i);
  }
  return i;
}

template <V (*kConvert)(V)>
HWY_INLINE size_t encode_lanes(const float* from, std::byte* to, size_t count) {
  const U32 u32;
  const size_t lanes = hn::Lanes(u32);
  HWY_ALIGN uint32_t wide[HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN uint16_t halves[HWY_MAX_BYTES / sizeof(float)];
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::Store(kConvert(hn::BitCast(u32, hn::LoadU(F32(), from + i))), u32, wide);
    for (size_t lane = 0; lane < lanes; ++lane) halves[lane] = static_cast<uint16_t>(wide[lane]);
    std::memcpy(to + 2 * i, halves, 2 * lanes);
  }
  return i;
}

HWY_INLINE V f32_bits_of_bf16(V bits) { return hn::ShiftLeft<16>(bits); }

// Each answers how many values it did: whole vectors; the caller does the rest.
size_t decode_f16_lanes(const std::byte* from, float* to, size_t n) { return decode_lanes<f32_bits_of_f16>(from, to, n); }
size_t decode_bf16_lanes(const std::byte* from, float* to, size_t n) { return decode_lanes<f32_bits_of_bf16>(from, to, n); }
size_t encode_f16_lanes(const float* from, std::byte* to, size_t n) { return encode_lanes<f16_of_f32_bits>(from, to, n); }
size_t encode_bf16_lanes(const float* from, std::byte* to, size_t n) { return encode_lanes<bf16_of_f32_bits>(from, to, n); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {

HWY_EXPORT(decode_f16_lanes);
HWY_EXPORT(decode_bf16_lanes);
HWY_EXPORT(encode_f16_lanes);
HWY_EXPORT(encode_bf16_lanes);

static_assert(std::endian::native == std::endian::little, "blocks are little-endian, as every target here");

}  // namespace

void decode_f32(Blocks blocks, std::span<float> values) noexcept {
  if (!values.empty()) std::memcpy(values.data(), blocks.data(), values.size_bytes());
}

void encode_f32(Row row, const RowContext&, BlocksOut blocks) noexcept {
  if (!row.empty()) std::memcpy(blocks.data(), row.data(), row.size_bytes());
}

void decode_f16(Blocks blocks, std::span<float> values) noexcept {
  size_t i = HWY_DYNAMIC_DISPATCH(decode_f16_lanes)(blocks.data(), values.data(), values.size());
  for (; i < values.size(); ++i) values[i] = load_f16(&blocks[2 * i]);
}

void encode_f16(Row row, const RowContext&, BlocksOut blocks) noexcept {
  size_t i = HWY_DYNAMIC_DISPATCH(encode_f16_lanes)(row.data(), blocks.data(), row.size());
  for (; i < row.size(); ++i) store_u16(&blocks[2 * i], f32_to_f16(row[i]));
}

void decode_bf16(Blocks blocks, std::span<float> values) noexcept {
  size_t i = HWY_DYNAMIC_DISPATCH(decode_bf16_lanes)(blocks.data(), values.data(), values.size());
  for (; i < values.size(); ++i) values[i] = bf16_to_f32(load_u16(&blocks[2 * i]));
}

void encode_bf16(Row row, const RowContext&, BlocksOut blocks) noexcept {
  size_t i = HWY_DYNAMIC_DISPATCH(encode_bf16_lanes)(row.data(), blocks.data(), row.size());
  for (; i < row.size(); ++i) store_u16(&blocks[2 * i], f32_to_bf16(row[i]));
}

}  // namespace ggufmill
#endif  // HWY_ONCE
