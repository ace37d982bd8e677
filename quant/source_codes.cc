// Decoding of published quantized forms: every code is first put into an f16, exactly, and that is multiplied.
//   E2M1, INT4  the value's f16 has only zeros in its lower byte; the upper one comes from a table of 16 bytes
//   E5M2        is the upper byte of an f16
//   E4M3        s eeee mmm -> s 0eeee mmm 0000000: an f16 of code / 256, since the exponents' biases are 7 and 15; denormals,
//               too. 256 goes into the scale, which is exact. 0x38 (1) -> 0x1C00 (2^-8)
// Processors convert f16 to f32 at full speed, denormals included. (E4M3 shifted into an f32 and multiplied by 2^120 is as exact,
// but its denormals then are denormals of f32: one in a hundred codes made that 9 times slower.) NaN and infinity, which f16
// conversion treats differently from target to target, never get there: a chunk with such codes, and a row with a scale that is
// not finite once multiplied by 256, are done one value after the other.
#include "quant/source_codes.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/source_codes.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef GGUFMILL_QUANT_SOURCE_CODES_ONCE
#define GGUFMILL_QUANT_SOURCE_CODES_ONCE
namespace ggufmill {
namespace {

constexpr std::array<SourceCodesInfo, 4> kInfo = {{
    {SourceCodes::kE2M1, "E2M1", 4, 0.5f},
    {SourceCodes::kInt4, "INT4", 4, 1},
    {SourceCodes::kE4M3, "E4M3", 8, 0},
    {SourceCodes::kE5M2, "E5M2", 8, 0},
}};
constexpr bool rows_are_in_enum_order() {
  for (size_t i = 0; i < kInfo.size(); ++i) {
    if (kInfo[i].codes != static_cast<SourceCodes>(i)) return false;
  }
  return true;
}
static_assert(rows_are_in_enum_order());

// Upper bytes of the f16 of each code.
alignas(16) constexpr uint8_t kE2m1Bytes[16] = {0x00, 0x38, 0x3C, 0x3E, 0x40, 0x42, 0x44, 0x46,   // 0 .5 1 1.5 2 3 4 6
                                                0x80, 0xB8, 0xBC, 0xBE, 0xC0, 0xC2, 0xC4, 0xC6};  // their negatives
alignas(16) constexpr uint8_t kInt4Bytes[16] = {0xC8, 0xC7, 0xC6, 0xC5, 0xC4, 0xC2, 0xC0, 0xBC,   // -8 .. -1
                                                0x00, 0x3C, 0x40, 0x42, 0x44, 0x45, 0x46, 0x47};  // 0 .. 7
static_assert(f16_to_f32(kE2m1Bytes[7] << 8) == 6 && f16_to_f32(kInt4Bytes[0] << 8) == -8);

constexpr size_t kChunkElems = 1024;  // values between the two steps: 2 KiB, well within the first cache

// The f16 of code i; what unpacking a vector of codes equals, NaN and infinity apart.
template <SourceCodes kCodes>
uint16_t half_of_code(const std::byte* bytes, size_t i) {
  if constexpr (kCodes == SourceCodes::kE2M1 || kCodes == SourceCodes::kInt4) {
    const unsigned nibble = std::to_integer<unsigned>(bytes[i / 2]) >> (i % 2 * 4) & 15;
    return static_cast<uint16_t>((kCodes == SourceCodes::kE2M1 ? kE2m1Bytes : kInt4Bytes)[nibble] << 8);
  }
  const unsigned code = std::to_integer<unsigned>(bytes[i]);
  if constexpr (kCodes == SourceCodes::kE5M2) return static_cast<uint16_t>(code << 8);
  if ((code & 0x7F) == 0x7F) return static_cast<uint16_t>((code & 0x80) << 8 | 0x7E00);
  return static_cast<uint16_t>((code & 0x80) << 8 | (code & 0x7F) << 7);
}

// What the f16 of a code is short of.
constexpr float half_factor(SourceCodes codes) { return codes == SourceCodes::kE4M3 ? 256.0f : 1.0f; }

// A piece of a row on its way from codes to f32.
struct HalfChunk {
  alignas(64) uint16_t halves[kChunkElems];
  size_t first, count;  // columns first .. first + count - 1
  bool finite;
};
using Unpack = void (*)(const std::byte* row, HalfChunk& chunk);

struct RowScales {
  const float* scales;
  size_t group_elems;
  float factor;  // of every half
  float tensor_scale;
};
using ScaleChunk = void (*)(const HalfChunk& chunk, const RowScales& row, float* values);

// For codes and scales of any kind.
void scale_one_by_one(const HalfChunk& chunk, const RowScales& row, float* values) {
  for (size_t i = 0; i < chunk.count; ++i) {
    const float scale = row.scales[(chunk.first + i) / row.group_elems];
    values[i] = f16_to_f32(chunk.halves[i]) * row.factor * scale * row.tensor_scale;
  }
}

// Whether scales may be multiplied by the factor first.
bool scales_fit(std::span<const float> scales, float factor) {
  if (factor == 1) return true;
  uint32_t largest = 0;  // bits of magnitudes have their order
  for (const float scale : scales) largest = std::max(largest, std::bit_cast<uint32_t>(scale * factor) & 0x7FFFFFFF);
  return largest < 0x7F800000;
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Each writes the halves of whole vectors and answers how many values these are.

// A byte becomes four, its nibbles the upper bytes of two f16: 0x000000BA -> 0x0B000A00; the lookup gives zero for an index whose
// top bit is set.
HWY_INLINE size_t unpack_nibbles(const uint8_t* codes, size_t count, const uint8_t* table, uint16_t* halves) {
#if HWY_TARGET == HWY_SCALAR
  (void)codes, (void)count, (void)table, (void)halves;
  return 0;  // has no vectors of bytes
#else
  const hn::ScalableTag<uint32_t> u32;
  const hn::Rebind<uint8_t, decltype(u32)> quarter;
  const hn::Repartition<uint8_t, decltype(u32)> u8;
  const size_t step = 2 * hn::Lanes(u32);
  const auto upper_bytes = hn::LoadDup128(u8, table);
  size_t i = 0;
  for (; i + step <= count; i += step) {
    const auto pair = hn::PromoteTo(u32, hn::LoadU(quarter, codes + i / 2));
    const auto nibbles = hn::And(hn::Or(hn::ShiftLeft<8>(pair), hn::ShiftLeft<20>(pair)), hn::Set(u32, 0x0F000F00));
    const auto index = hn::BitCast(u8, hn::Or(nibbles, hn::Set(u32, 0x00800080)));
    hn::StoreU(hn::BitCast(u32, hn::TableLookupBytesOr0(upper_bytes, index)), u32, reinterpret_cast<uint32_t*>(halves + i));
  }
  return i;
#endif
}

// kShift 8 for E5M2, 7 for E4M3. Sets `finite` to false where a code is above kLargest in magnitude.
template <int kShift, uint8_t kLargest>
HWY_INLINE size_t unpack_bytes(const uint8_t* codes, size_t count, uint16_t* halves, bool& finite) {
  const hn::ScalableTag<int16_t> i16;
  const hn::Rebind<int8_t, decltype(i16)> half;
  const size_t step = hn::Lanes(i16);
  auto largest = hn::Zero(i16);
  size_t i = 0;
  for (; i + step <= count; i += step) {
    // The sign fills the upper byte of an i16: shifted by 7 it stands twice.
    const auto code = hn::PromoteTo(i16, hn::LoadU(half, reinterpret_cast<const int8_t*>(codes) + i));
    largest = hn::Max(largest, hn::And(code, hn::Set(i16, 0x7F)));
    auto bits = hn::ShiftLeft<kShift>(code);
    if constexpr (kShift == 7) bits = hn::And(bits, hn::Set(i16, static_cast<int16_t>(0xBFFF)));
    hn::StoreU(bits, i16, reinterpret_cast<int16_t*>(halves) + i);
  }
  finite = hn::AllFalse(i16, hn::Gt(largest, hn::Set(i16, kLargest)));
  return i;
}

// The codes of the chunk's columns.
template <SourceCodes kCodes>
void unpack(const std::byte* row, HalfChunk& chunk) {
  const std::byte* bytes = row + chunk.first * info(kCodes).bits / 8;
  const auto* codes = reinterpret_cast<const uint8_t*>(bytes);
  size_t done = 0;
  chunk.finite = true;
  if constexpr (kCodes == SourceCodes::kE2M1) done = unpack_nibbles(codes, chunk.count, kE2m1Bytes, chunk.halves);
  if constexpr (kCodes == SourceCodes::kInt4) done = unpack_nibbles(codes, chunk.count, kInt4Bytes, chunk.halves);
  if constexpr (kCodes == SourceCodes::kE4M3) done = unpack_bytes<7, 0x7E>(codes, chunk.count, chunk.halves, chunk.finite);
  if constexpr (kCodes == SourceCodes::kE5M2) done = unpack_bytes<8, 0x7B>(codes, chunk.count, chunk.halves, chunk.finite);
  for (size_t i = chunk.finite ? done : 0; i < chunk.count; ++i) chunk.halves[i] = half_of_code<kCodes>(bytes, i);
}

// `count` values that share a scale, a tail after whole vectors among them.
template <bool kTensorScale>
HWY_INLINE void scale_group(const uint16_t* halves, size_t count, float scale, float tensor_scale, float* values) {
  const hn::CappedTag<float, 16> f32;
  const hn::Rebind<hwy::float16_t, decltype(f32)> f16;
  const hn::Rebind<uint16_t, decltype(f32)> u16;
  const auto factor = hn::Set(f32, scale), of_tensor = hn::Set(f32, tensor_scale);
  size_t i = 0;
  for (; i + hn::Lanes(f32) <= count; i += hn::Lanes(f32)) {
    auto v = hn::Mul(hn::PromoteTo(f32, hn::BitCast(f16, hn::LoadU(u16, halves + i))), factor);
    if constexpr (kTensorScale) v = hn::Mul(v, of_tensor);
    hn::StoreU(v, f32, values + i);
  }
  for (; i < count; ++i) values[i] = f16_to_f32(halves[i]) * scale * tensor_scale;
}

// Finite codes whose scales fit (scales_fit). kGroup: the number of values of a group, 0 where it is known at run time alone.
template <bool kTensorScale, size_t kGroup>
void scale_chunk(const HalfChunk& chunk, const RowScales& row, float* values) {
  const size_t group_elems = kGroup != 0 ? kGroup : row.group_elems;
  const float* scale = row.scales + chunk.first / group_elems;
  size_t at = 0;
  if constexpr (kGroup != 0) {  // a chunk starts with a group
    for (; at + kGroup <= chunk.count; at += kGroup, ++scale) {
      scale_group<kTensorScale>(chunk.halves + at, kGroup, *scale * row.factor, row.tensor_scale, values + at);
    }
  }
  size_t count = group_elems - (chunk.first + at) % group_elems;
  for (; at < chunk.count; at += count, count = group_elems, ++scale) {
    count = std::min(count, chunk.count - at);
    scale_group<kTensorScale>(chunk.halves + at, count, *scale * row.factor, row.tensor_scale, values + at);
  }
}

template <bool kTensorScale>
ScaleChunk scale_chunk_of(size_t group_elems) {
  if (group_elems == 16) return scale_chunk<kTensorScale, 16>;
  if (group_elems == 32) return scale_chunk<kTensorScale, 32>;
  return scale_chunk<kTensorScale, 0>;
}

void decode_row_codes(SourceCodes codes, const std::byte* bytes, std::span<const float> scales, size_t group_elems,
                      float tensor_scale, std::span<float> values) {
  static constexpr Unpack kUnpack[] = {unpack<SourceCodes::kE2M1>, unpack<SourceCodes::kInt4>, unpack<SourceCodes::kE4M3>,
                                       unpack<SourceCodes::kE5M2>};
  const RowScales row{scales.data(), group_elems, half_factor(codes), tensor_scale};
  const ScaleChunk scale = tensor_scale == 1 ? scale_chunk_of<false>(group_elems) : scale_chunk_of<true>(group_elems);
  const bool fit = scales_fit(scales, row.factor);
  HalfChunk chunk;
  for (chunk.first = 0; chunk.first < values.size(); chunk.first += kChunkElems) {
    chunk.count = std::min(kChunkElems, values.size() - chunk.first);
    kUnpack[static_cast<size_t>(codes)](bytes, chunk);
    (fit && chunk.finite ? scale : scale_one_by_one)(chunk, row, values.data() + chunk.first);
  }
}

// 2^(code - 127): the code is the exponent of an f32, 2^-127 (code 0) is denormal.
void decode_e8m0(const std::byte* bytes, float* values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t code = std::to_integer<uint32_t>(bytes[i]);
    const uint32_t nan = code == 0xFF ? 0x00400000 : 0;
    values[i] = std::bit_cast<float>(std::max(code << 23 | nan, 0x00400000u));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(decode_row_codes);
HWY_EXPORT(decode_e8m0);
}  // namespace

const SourceCodesInfo& info(SourceCodes codes) { return kInfo[static_cast<size_t>(codes)]; }

void decode_codes(SourceCodes codes, std::span<const std::byte> bytes, std::span<const float> scales, uint32_t group_elems,
                  float tensor_scale, std::span<float> values) noexcept {
  assert(group_elems > 0 && bytes.size() == values.size() * info(codes).bits / 8 && "a row and its codes");
  assert(scales.size() == (values.size() + group_elems - 1) / group_elems && "a scale per group");
  HWY_DYNAMIC_DISPATCH(decode_row_codes)(codes, bytes.data(), scales, group_elems, tensor_scale, values);
}

uint32_t scale_bytes(SourceScales scales) {
  static constexpr uint32_t kBytes[] = {4, 2, 2, 1, 1};
  return kBytes[static_cast<size_t>(scales)];
}

void decode_scales(SourceScales scales, std::span<const std::byte> bytes, std::span<float> values) noexcept {
  assert(bytes.size() == values.size() * scale_bytes(scales) && "scales and their bytes");
  static constexpr float kOne[] = {1};
  switch (scales) {
    case SourceScales::kF32:
      return decode_f32(bytes, values);
    case SourceScales::kF16:
      return decode_f16(bytes, values);
    case SourceScales::kBF16:
      return decode_bf16(bytes, values);
    case SourceScales::kE4M3:
      HWY_DYNAMIC_DISPATCH(decode_row_codes)(SourceCodes::kE4M3, bytes.data(), std::span(kOne), values.size(), 1, values);
      return;
    case SourceScales::kE8M0:
      HWY_DYNAMIC_DISPATCH(decode_e8m0)(bytes.data(), values.data(), values.size());
      return;
  }
}

}  // namespace ggufmill
#endif  // HWY_ONCE
