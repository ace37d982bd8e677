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

#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/repack.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 16 bytes: two groups of 8 bytes or one of 16.
template <size_t kGroupBytes>
HWY_INLINE void move_nibbles(const uint8_t* published, uint8_t* groups) {
#if HWY_TARGET == HWY_SCALAR
  for (size_t g = 0; g < 16; g += kGroupBytes) {
    for (size_t k = 0; k < kGroupBytes / 2; ++k) {
      const uint8_t first = published[g + k], second = published[g + k + kGroupBytes / 2];
      groups[g + 2 * k] = static_cast<uint8_t>((first & 15) | second << 4);
      groups[g + 2 * k + 1] = static_cast<uint8_t>(first >> 4 | (second & 0xF0));
    }
  }
#else
  const hn::Full128<uint8_t> u8;
  const hn::Full128<uint16_t> u16;
  const hn::Full128<uint32_t> u32;
  const hn::Full128<uint64_t> u64;
  const auto low_nibbles = hn::Set(u8, 0x0F);
  const auto first = hn::LoadU(u8, published);
  // Each half of a group in the place of the other; what follows is right in the lower half of each group.
  const auto second = kGroupBytes == 8 ? hn::BitCast(u8, hn::Shuffle2301(hn::BitCast(u32, first)))
                                       : hn::BitCast(u8, hn::Shuffle01(hn::BitCast(u64, first)));
  const auto second_up = hn::BitCast(u8, hn::ShiftLeft<4>(hn::BitCast(u16, second)));
  const auto first_down = hn::BitCast(u8, hn::ShiftRight<4>(hn::BitCast(u16, first)));
  const auto even = hn::Or(hn::And(first, low_nibbles), hn::AndNot(low_nibbles, second_up));
  const auto odd = hn::Or(hn::And(first_down, low_nibbles), hn::AndNot(low_nibbles, second));
  auto moved = hn::InterleaveLower(u8, even, odd);
  if constexpr (kGroupBytes == 8) {
    const auto of_upper = hn::BitCast(u64, hn::InterleaveUpper(u8, even, odd));
    moved = hn::BitCast(u8, hn::InterleaveLower(u64, hn::BitCast(u64, moved), of_upper));
  }
  hn::StoreU(moved, u8, groups);
#endif
}

template <size_t kGroupBytes, size_t kScaleBytes, size_t kCodeBytes>
HWY_INLINE void repack_blocks(const std::byte* codes, const std::byte* scales, size_t count, std::byte* blocks) {
  const auto* from = reinterpret_cast<const uint8_t*>(codes);
  auto* block = reinterpret_cast<uint8_t*>(blocks);
  for (size_t b = 0; b < count; ++b, block += kScaleBytes + kCodeBytes, from += kCodeBytes) {
    std::memcpy(block, scales + b * kScaleBytes, kScaleBytes);
    for (size_t i = 0; i < kCodeBytes; i += 16) move_nibbles<kGroupBytes>(from + i, block + kScaleBytes + i);
  }
}

void repack_nvfp4_blocks(const std::byte* codes, const std::byte* scales, size_t count, std::byte* blocks) {
  repack_blocks<8, 4, 32>(codes, scales, count, blocks);
}
void repack_mxfp4_blocks(const std::byte* codes, const std::byte* scales, size_t count, std::byte* blocks) {
  repack_blocks<16, 1, 16>(codes, scales, count, blocks);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(repack_nvfp4_blocks);
HWY_EXPORT(repack_mxfp4_blocks);

// E4M3 and E8M0 are sizes of a block format; floats beside integers may have a sign.
bool may_be_negative(SourceScales scales) { return scales != SourceScales::kE4M3 && scales != SourceScales::kE8M0; }

}  // namespace

void repack_nvfp4(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> blocks) noexcept {
  const size_t count = blocks.size() / 36;
  assert(blocks.size() == count * 36 && codes.size() == count * 32 && scales.size() == count * 4 && "a row of whole blocks");
  HWY_DYNAMIC_DISPATCH(repack_nvfp4_blocks)(codes.data(), scales.data(), count, blocks.data());
}

void repack_mxfp4(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> blocks) noexcept {
  const size_t count = blocks.size() / 17;
  assert(blocks.size() == count * 17 && codes.size() == count * 16 && scales.size() == count && "a row of whole blocks");
  HWY_DYNAMIC_DISPATCH(repack_mxfp4_blocks)(codes.data(), scales.data(), count, blocks.data());
}

std::optional<size_t> first_bad_scale(SourceScales scales, std::span<const std::byte> bytes) noexcept {
  constexpr size_t kAtATime = 256;
  float values[kAtATime];
  const size_t count = bytes.size() / scale_bytes(scales);
  for (size_t first = 0; first < count; first += kAtATime) {
    const std::span<float> some(values, std::min(kAtATime, count - first));
    decode_scales(scales, bytes.subspan(first * scale_bytes(scales), some.size() * scale_bytes(scales)), some);
    const auto bad = std::find_if(some.begin(), some.end(),
                                  [&](float scale) { return !std::isfinite(scale) || (scale < 0 && !may_be_negative(scales)); });
    if (bad != some.end()) return first + static_cast<size_t>(bad - some.begin());
  }
  return std::nullopt;
}

}  // namespace ggufmill
#endif  // HWY_ONCE
