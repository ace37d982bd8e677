// Values of quantized checkpoints, as publishers ship them in safetensors: codes of 4 or 8 bits and scales, each a tensor of its
// own. What is decoded here are rows of both; which tensors belong together is the reader's knowledge (convert/).
//   value = (code * scale of its group) * scale of the tensor
// Groups are 16 (NVFP4), 32 (MXFP4, MXFP8, INT4) or 128 values (FP8 in blocks), or a row. Formats: OCP 8-bit Floating Point 1.0
// and OCP Microscaling Formats 1.0; INT4 is the "pack-quantized" form of compressed-tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ggufmill {

// How the values of a quantized checkpoint are coded, before their scales.
enum class SourceCodes : uint8_t {
  kE2M1,  // 4 bits, two per byte, low nibble first: 0 .5 1 1.5 2 3 4 6, bit 3 the sign, also of 0 (NVFP4, MXFP4)
  kInt4,  // 4 bits, low nibble first, value = code - 8 (pack-quantized: 8 per little-endian I32, which are the same bytes)
  kE4M3,  // 8 bits, OCP FP8 E4M3 ("fn": 0x7F and 0xFF are NaN, no infinity)
  kE5M2   // 8 bits, OCP FP8 E5M2 (IEEE-like: infinities and NaN)
};

struct SourceCodesInfo {
  SourceCodes codes;
  std::string_view name;  // "E2M1" ...
  uint32_t bits;
  float lattice_unit;  // every code is an integer between -12 and 12 times this; 0: no lattice
};
const SourceCodesInfo& info(SourceCodes codes);

// values[c] = (code[c] * scales[c / group_elems]) * tensor_scale, each product rounded to f32 once (the first is exact for 4-bit
// codes with E4M3, E8M0 or BF16 scales). `bytes` holds values.size() codes, an even count for 4-bit codes; `scales` has
// ceil(values.size() / group_elems) entries. Denormals are kept. Total: NaN codes and scales give NaN. The same bits on every
// SIMD target, except for the payload of a NaN. A tensor_scale of 1 costs nothing.
void decode_codes(SourceCodes codes, std::span<const std::byte> bytes, std::span<const float> scales, uint32_t group_elems,
                  float tensor_scale, std::span<float> values) noexcept;

// How a checkpoint stores scales. E8M0: 2^(byte - 127), 0xFF is NaN; 2 and 4 byte floats are little-endian.
enum class SourceScales : uint8_t { kF32, kF16, kBF16, kE4M3, kE8M0 };

uint32_t scale_bytes(SourceScales scales);
// f32 of the values.size() scales in `bytes`.
void decode_scales(SourceScales scales, std::span<const std::byte> bytes, std::span<float> values) noexcept;

}  // namespace ggufmill
