// Decoding of IQ3_S and IQ3_XXS: eight values at a time, from two points of the codebook and eight signs. Compiled once per SIMD
// target.
#if defined(GGUFMILL_QUANT_IQ3_DECODE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_IQ3_DECODE_INL
#undef GGUFMILL_QUANT_IQ3_DECODE_INL
#else
#define GGUFMILL_QUANT_IQ3_DECODE_INL
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y[i] = +-(scale * magnitude i). `low` and `high` hold four magnitudes each, a byte a value, the first in the lowest; bit i of
// `minus` makes value i negative.
HWY_INLINE void write_eight(uint32_t low, uint32_t high, uint32_t minus, float scale, float* y) {
  const hn::CappedTag<float, 8> f32;
  const hn::RebindToSigned<decltype(f32)> i32;
  const hn::Rebind<uint8_t, decltype(f32)> u8;
  alignas(32) static constexpr int32_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint64_t packed = low | static_cast<uint64_t>(high) << 32;
  alignas(8) uint8_t bytes[8];
  std::memcpy(bytes, &packed, sizeof bytes);
  for (size_t i = 0; i < 8; i += hn::Lanes(f32)) {
    const auto magnitude = hn::ConvertTo(f32, hn::PromoteTo(i32, hn::LoadU(u8, bytes + i)));
    const auto value = hn::Mul(magnitude, hn::Set(f32, scale));
    const auto negative = hn::TestBit(hn::Set(i32, static_cast<int32_t>(minus)), hn::Load(i32, kBits + i));
    hn::StoreU(hn::IfThenElse(hn::RebindMask(f32, negative), hn::Neg(value), value), f32, y + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
