// The one table of codecs: every type that can be decoded, and how to encode those that can be written.
//
// A codec is a set of pure noexcept functions on spans of whole blocks; rows do not influence each other, so the bytes do not
// depend on how a tensor is cut. Decoding equals ggml's bit for bit in f32. Encoding minimizes the importance-weighted squared
// error; without importance every weight counts the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "formats/ggml_type.h"
#include "quant/row_context.h"

namespace ggufmill {

// Raised by every commit that changes a byte an encoder writes; part of the plan's digest.
inline constexpr uint32_t kEncodingVersion = 2;

// values.size() is a multiple of block_elems, blocks.size() the matching number of bytes.
using DecodeFn = void (*)(std::span<const std::byte> blocks, std::span<float> values) noexcept;
// One row. Total: NaN and Inf values have a defined answer (see each type's file), never undefined behaviour.
using EncodeFn = void (*)(std::span<const float> row, const RowContext& context, std::span<std::byte> blocks) noexcept;

// One row of a quantized source, codes and scales of groups, as blocks of the same bits; see repack.h.
using RepackFn = void (*)(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> blocks);

struct Codec {
  GgmlType type;
  DecodeFn decode;
  EncodeFn encode;          // nullptr: decode only
  bool uses_importance;     // false for round-to-nearest types
  bool lossless_container;  // F32, F16, BF16: no blocks, no search
  // The tensor's `.scale` multiplies what its blocks hold (RowContext::tensor_scale).
  bool scaled;
  // A recipe's fallback for rows that the wanted type's block does not divide.
  bool stands_in;
  // What is minimized unless the user says otherwise; docs/quantization.md has the figures behind the choice.
  Objective objective;
  // Relative RMSE on heavy-tailed weights (quant/measure/data_sets.h), flat, default effort; docs/quant-types.md. 0: exact.
  float typical_error;
  RepackFn repack = nullptr;  // for types that checkpoints come in too

  // No sound tensor loses more than this share of itself, whoever encoded it; for types with a loss.
  float largest_error() const { return 2 * typical_error; }
  // A super-block that lost more than this share of itself holds what the type cannot: an outlier beside values that matter.
  // Small blocks are not judged: with importance they may lose as much on purpose.
  float coarse_error() const {
    const bool judged = typical_error > 0 && info(type).block_elems >= 256;
    return judged ? std::max(0.3f, largest_error()) : std::numeric_limits<float>::infinity();
  }
};

// The types of weights.
std::span<const Codec> codecs();
// nullptr where the type has no codec (integers).
const Codec* find_weight_codec(GgmlType type);

// Ids as floats: all whole numbers up to here are exact.
inline constexpr float kMaxId = 1 << 24;
// The same and I32, tables of ids, which no recipe chooses.
const Codec* find_codec(GgmlType type);

}  // namespace ggufmill
