// What every block encoder does first with 32 or 256 values from a checkpoint: make them finite, and bring them near 1.
//
// NaN counts as 0. Infinity counts as the largest finite magnitude of the block, or 65504 if the block has none but zeros. The
// values are then multiplied by the power of two that puts the largest in [1, 2): searches may square and add without overflow
// or underflow, whatever came in, and their result is the same for x and for 2^k * x.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/f16.h"

namespace ggufmill {

// The rare path of copy_finite: replaces what is not finite; answers the largest magnitude.
inline float replace_not_finite(size_t count, float* values) {
  float largest = 0;
  for (size_t i = 0; i < count; ++i) {
    if (std::isfinite(values[i])) largest = std::fabs(values[i]) > largest ? std::fabs(values[i]) : largest;
  }
  const float instead = largest > 0 ? largest : kF16Max;
  for (size_t i = 0; i < count; ++i) {
    if (std::isnan(values[i])) values[i] = 0;
    if (std::isinf(values[i])) values[i] = std::copysign(largest = instead, values[i]);
  }
  return largest;
}

// Copies `count` values, made finite; answers their largest magnitude.
inline float copy_finite(const float* values, size_t count, float* out) {
  constexpr int32_t kInfinity = 0x7F800000;
  int32_t largest = 0;  // bits without the sign: as integers they have the order of magnitudes
  for (size_t i = 0; i < count; ++i) {
    const int32_t bits = std::bit_cast<int32_t>(values[i]) & 0x7FFFFFFF;
    largest = bits > largest ? bits : largest;
  }
  std::memcpy(out, values, count * sizeof(float));
  return largest < kInfinity ? std::bit_cast<float>(largest) : replace_not_finite(count, out);
}

// The power of two between a block's values and its search, and the f16 rounding of a scale on the other side of it.
struct BlockUnit {
  bool zero = true;  // every value is 0, or so small that each format's nearest block is zero
  float up = 1;      // value = searched value * up
  float down = 1;

  // Below this every value is nearer to 0 than to the smallest step of any format, 2^-24.
  static constexpr float kSmallest = 0x1p-25f;

  // The f16 bits of a searched scale; saturates.
  uint16_t scale_bits(float scale) const { return f32_to_f16_scale(scale * up); }
  // What those bits are worth in the search.
  float scale_value(uint16_t bits) const { return f16_to_f32(bits) * down; }
  // As scale_value(scale_bits(scale)), except that a scale too small for f16 becomes the smallest there is, not zero.
  float rounded(float scale) const {
    const uint16_t bits = scale_bits(scale);
    const bool vanished = (bits & 0x7FFF) == 0 && scale != 0;
    return scale_value(vanished ? static_cast<uint16_t>(bits | 1) : bits);
  }
  // The smallest f16 that is no smaller in magnitude: among denormal scales far from the nearest, and the only one of the two
  // whose largest integer reaches the values.
  float rounded_up(float scale) const {
    const uint16_t bits = scale_bits(scale);
    const bool smaller = std::fabs(scale_value(bits)) < std::fabs(scale) && (bits & 0x7FFF) < 0x7BFF;
    return scale_value(smaller ? static_cast<uint16_t>(bits + 1) : bits);
  }
};

// 2^exponent for -127 .. 127; the lowest is denormal.
inline float power_of_two(int exponent) {
  return std::bit_cast<float>(exponent > -127 ? static_cast<uint32_t>(exponent + 127) << 23 : uint32_t{1} << 22);
}

// copy_finite, then in place into the unit.
inline BlockUnit load_block(const float* values, size_t count, float* out) {
  const float amax = copy_finite(values, count, out);
  BlockUnit unit;
  if (!(amax >= BlockUnit::kSmallest)) return unit;
  unit.zero = false;
  const int exponent = static_cast<int>(std::bit_cast<uint32_t>(amax) >> 23) - 127;  // -25 .. 127
  unit.up = power_of_two(exponent);
  unit.down = power_of_two(-exponent);
  for (size_t i = 0; i < count; ++i) out[i] *= unit.down;
  return unit;
}

}  // namespace ggufmill
