// Rows that tests encode: integers of a fixed generator turned into floats by exact operations, so that they are the same bits on
// every machine and with every standard library.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "formats/ggml_type.h"
#include "quant/codecs.h"

namespace ggufmill {

// Bell-shaped values near 0.02 with heavy tails and a few outliers, as weights of a model are.
inline std::vector<float> sample_row(size_t columns, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> row(columns);
  for (float& x : row) {
    int64_t sum = 0;
    for (int k = 0; k < 6; ++k) sum += static_cast<int64_t>(random() >> 44) - (1 << 19);  // 20 bits each
    const int tail = static_cast<int>(random() % 16);
    const float stretch = tail == 0 ? 2.5f : tail < 3 ? 1.75f : 1.0f;
    x = static_cast<float>(sum) * 0x1p-25f * stretch;
    if (random() % 4096 == 0) x *= 6;
  }
  return row;
}

// Positive, of a wide range: powers of two times 1 .. 2, and a few large ones.
inline std::vector<float> sample_importance(size_t columns, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> importance(columns);
  for (float& w : importance) {
    const int exponent = static_cast<int>(random() % 7) - 3;  // drawn first: the order of arguments is the compiler's
    w = std::ldexp(1.0f + static_cast<float>(random() >> 50) * 0x1p-14f, exponent);
    if (random() % 128 == 0) w *= 64;
  }
  return importance;
}

// What the tests take as the `.scale` of a tensor of these magnitudes; only NVFP4 has one.
inline constexpr float kSampleTensorScale = 0x1p-10f;

inline std::vector<std::byte> encode_row(const Codec& codec, std::span<const float> row, const RowContext& context) {
  const GgmlTypeInfo& type = info(codec.type);
  std::vector<std::byte> blocks(row.size() / type.block_elems * type.block_bytes);
  codec.encode(row, context, blocks);
  return blocks;
}
inline std::vector<std::byte> encode_row(const Codec& codec, std::span<const float> row, std::span<const float> importance = {}) {
  return encode_row(codec, row, {.importance = importance, .tensor_scale = kSampleTensorScale});
}

inline std::vector<float> decode_row(const Codec& codec, std::span<const std::byte> blocks) {
  const GgmlTypeInfo& type = info(codec.type);
  std::vector<float> values(blocks.size() / type.block_bytes * type.block_elems);
  codec.decode(blocks, values);
  return values;
}

// sqrt(sum w (y - x)^2 / sum w x^2); without weights all are 1.
inline double relative_error(std::span<const float> x, std::span<const float> y, std::span<const float> weights = {}) {
  double error = 0, value = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double w = weights.empty() ? 1.0 : weights[i], d = static_cast<double>(y[i]) - x[i];
    error += w * d * d;
    value += w * x[i] * static_cast<double>(x[i]);
  }
  return value > 0 ? std::sqrt(error / value) : std::sqrt(error);
}

}  // namespace ggufmill
