// The moves of repack.h. A published byte holds neighbours, value 2m in its low nibble and 2m + 1 in its high one; byte m of a
// ggml group of n values holds m and m + n/2:
//   published  10 32 54 76 98 BA DC FE   (hexadecimal digits: which value)
//   ggml       80 91 A2 B3 C4 D5 E6 F7
// So of two published bytes, k and k + n/4, the low nibbles are one ggml byte, the high nibbles the next. -0 of a scale needs no
// care: ggml ignores the sign.
#include "quant/repack.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace ggufmill {
namespace {

constexpr size_t kNvfp4ScaleBytes = 4, kNvfp4CodeBytes = 32, kMxfp4ScaleBytes = 1, kMxfp4CodeBytes = 16;

// Bytes 3 2 1 0 -> . 3 . 2 . 1 . 0
constexpr uint64_t spread(uint32_t bytes) {
  const uint64_t pairs = (bytes | uint64_t{bytes} << 16) & 0x0000FFFF0000FFFF;
  return (pairs | pairs << 8) & 0x00FF00FF00FF00FF;
}
static_assert(spread(0x33221100) == 0x0033002200110000);

// One ggml group of kBytes.
template <size_t kBytes>
void move_nibbles(const std::byte* published, std::byte* group) {
  for (size_t k = 0; k < kBytes / 2; k += 4) {
    uint32_t first, second;
    std::memcpy(&first, published + k, 4);
    std::memcpy(&second, published + kBytes / 2 + k, 4);
    const uint32_t low = (first & 0x0F0F0F0F) | (second & 0x0F0F0F0F) << 4;
    const uint32_t high = (first >> 4 & 0x0F0F0F0F) | (second & 0xF0F0F0F0);
    const uint64_t moved = spread(low) | spread(high) << 8;
    std::memcpy(group + 2 * k, &moved, 8);
  }
}

bool is_bad(float scale) { return !std::isfinite(scale) || scale < 0; }

}  // namespace

void repack_nvfp4(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> blocks) noexcept {
  const size_t count = blocks.size() / (kNvfp4ScaleBytes + kNvfp4CodeBytes);
  assert(codes.size() == count * kNvfp4CodeBytes && scales.size() == count * kNvfp4ScaleBytes && "a row of whole blocks");
  std::byte* block = blocks.data();
  for (size_t b = 0; b < count; ++b, block += kNvfp4ScaleBytes + kNvfp4CodeBytes) {
    std::memcpy(block, &scales[b * kNvfp4ScaleBytes], kNvfp4ScaleBytes);
    const std::byte* from = &codes[b * kNvfp4CodeBytes];
    for (size_t g = 0; g < kNvfp4CodeBytes; g += 8) move_nibbles<8>(from + g, block + kNvfp4ScaleBytes + g);
  }
}

void repack_mxfp4(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> blocks) noexcept {
  const size_t count = blocks.size() / (kMxfp4ScaleBytes + kMxfp4CodeBytes);
  assert(codes.size() == count * kMxfp4CodeBytes && scales.size() == count && "a row of whole blocks");
  std::byte* block = blocks.data();
  for (size_t b = 0; b < count; ++b, block += kMxfp4ScaleBytes + kMxfp4CodeBytes) {
    block[0] = scales[b];
    move_nibbles<16>(&codes[b * kMxfp4CodeBytes], block + kMxfp4ScaleBytes);
  }
}

std::optional<size_t> first_bad_scale(SourceScales scales, std::span<const std::byte> bytes) noexcept {
  constexpr size_t kAtATime = 256;
  float values[kAtATime];
  const size_t count = bytes.size() / scale_bytes(scales);
  for (size_t first = 0; first < count; first += kAtATime) {
    const std::span<float> some(values, std::min(kAtATime, count - first));
    decode_scales(scales, bytes.subspan(first * scale_bytes(scales), some.size() * scale_bytes(scales)), some);
    const auto bad = std::find_if(some.begin(), some.end(), is_bad);
    if (bad != some.end()) return first + static_cast<size_t>(bad - some.begin());
  }
  return std::nullopt;
}

}  // namespace ggufmill
