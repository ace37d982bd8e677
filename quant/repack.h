// Lossless moves of quantized source rows into ggml blocks: the same bits in another order.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "quant/source_codes.h"

namespace ggufmill {

// One row of NVFP4 as published (codes two per byte, low nibble first; one E4M3 scale per 16 values) to ggml's NVFP4 blocks (64
// values, 36 bytes; quant/fp4.cc has the layout). The number of values is a multiple of 64. The scales are those that
// first_bad_scale lets pass: the blocks then decode to the values of decode_codes, bit for bit, except for the sign of zeros:
// ggml reads code 8 (-0) as +0. The scale of the tensor goes into its `.scale`.
void repack_nvfp4(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> blocks) noexcept;

// One row of MXFP4 as published (codes two per byte, low nibble first; one E8M0 scale per 32 values) to ggml's MXFP4 blocks (32
// values, 17 bytes). The number of values is a multiple of 32. Bit for bit as above.
void repack_mxfp4(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> blocks) noexcept;

// The index of the first scale that no block can hold or that is no number: NaN or infinite, of E4M3 also below zero (-0 is
// fine). nullopt if all are fine. Of E4M3 these are 0x7F and all from 0x81, of E8M0 it is 0xFF.
std::optional<size_t> first_bad_scale(SourceScales scales, std::span<const std::byte> bytes) noexcept;

}  // namespace ggufmill
