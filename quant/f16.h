// IEEE half floats and bfloat16 as bit patterns, in integer arithmetic: the same answer with and without hardware support.
//
// Blocks hold their scales as little-endian f16. A NaN becomes quiet in either direction, as in ggml.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace ggufmill {

inline constexpr float kF16Max = 65504.0f;
inline constexpr float kF16Tiny = 0x1p-24f;  // the smallest denormal

constexpr float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7FFFu;
  if (magnitude >= 0x7C00) {  // infinity; NaN with its payload, made quiet
    const uint32_t quiet = magnitude > 0x7C00 ? 0x00400000 : 0;
    return std::bit_cast<float>(sign | 0x7F800000 | ((magnitude & 0x3FF) << 13) | quiet);
  }
  if (magnitude < 0x0400) {  // denormal: magnitude * 2^-24, exact in f32
    const float value = static_cast<float>(magnitude) * kF16Tiny;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

// Nearest, ties to even; beyond 65520 infinity; NaN becomes sign | 0x7E00.
constexpr uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return static_cast<uint16_t>(sign | 0x7E00);
  if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);  // 65520 = 2^16 - 2^4 rounds up
  if (magnitude < 0x38800000) {  // below 2^-14: adding 0.5 leaves units of 2^-24, rounded to even, in the low bits
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000));
  }
  const uint32_t rounded = magnitude + 0x0FFF + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - (112u << 23)) >> 13));
}

constexpr float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Nearest, ties to even; NaN keeps its upper bits and becomes quiet.
constexpr uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// The f16 of a block's scale: finite values beyond the range saturate at +-65504, so that no block decodes to infinity.
constexpr uint16_t f32_to_f16_scale(float scale) {
  if (scale > kF16Max) return f32_to_f16(kF16Max);
  if (scale < -kF16Max) return f32_to_f16(-kF16Max);
  return f32_to_f16(scale);
}

constexpr uint16_t load_u16(const std::byte* from) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(from[0]) | (std::to_integer<unsigned>(from[1]) << 8));
}
constexpr void store_u16(std::byte* to, uint16_t value) {
  to[0] = static_cast<std::byte>(value & 0xFF);
  to[1] = static_cast<std::byte>(value >> 8);
}
constexpr float load_f16(const std::byte* from) { return f16_to_f32(load_u16(from)); }

}  // namespace ggufmill
