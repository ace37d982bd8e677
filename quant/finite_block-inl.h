// load_block (finite_block.h) at the speed of the SIMD target: the same values and the same unit.
#if defined(GGUFMILL_QUANT_FINITE_BLOCK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_FINITE_BLOCK_INL
#undef GGUFMILL_QUANT_FINITE_BLOCK_INL
#else
#define GGUFMILL_QUANT_FINITE_BLOCK_INL
#endif

#include "hwy/highway.h"
#include "quant/finite_block.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The largest |x| of kElems values (a multiple of 16). As integers the bits of |x| order like the values, with infinity and NaN
// above all others.
template <size_t kElems>
HWY_INLINE float largest_magnitude(const float* x) {
  const hn::CappedTag<int32_t, 16> i32;
  const hn::RebindToFloat<decltype(i32)> f32;
  const auto mask = hn::Set(i32, 0x7FFFFFFF);
  auto largest = hn::Zero(i32);
  for (size_t i = 0; i < kElems; i += hn::Lanes(i32)) {
    largest = hn::Max(largest, hn::And(hn::BitCast(i32, hn::LoadU(f32, x + i)), mask));
  }
  return std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(i32, largest)));
}

template <size_t kElems>
HWY_INLINE BlockUnit load_finite_block(const float* values, float* out) {
  constexpr float kLargestPlain = 0x1p120f;
  const float amax = largest_magnitude<kElems>(values);
  if (!(amax >= BlockUnit::kSmallest && amax <= kLargestPlain)) return load_block(values, kElems, out);
  const uint32_t exponent = std::bit_cast<uint32_t>(amax) >> 23;
  BlockUnit unit;
  unit.zero = false;
  unit.up = std::bit_cast<float>(exponent << 23);
  unit.down = std::bit_cast<float>((254 - exponent) << 23);
  const hn::CappedTag<float, 16> f32;
  const auto down = hn::Set(f32, unit.down);
  for (size_t i = 0; i < kElems; i += hn::Lanes(f32)) hn::StoreU(hn::Mul(hn::LoadU(f32, values + i), down), f32, out + i);
  return unit;
}

// |v| rounded to f16, 65504 at most.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V f16_magnitude(D d, V v) {
  const hn::RebindToUnsigned<D> u32;
  const V magnitude = hn::Min(hn::Abs(v), hn::Set(d, kF16Max));
  const auto bits = hn::BitCast(u32, magnitude);
  const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(u32, 1));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(u32, 0x0FFF)), odd);
  const V normal = hn::BitCast(d, hn::And(rounded, hn::Set(u32, 0xFFFFE000)));
  const V half = hn::Set(d, 0.5f);  // the last bit of f32 is then 2^-24
  const V denormal = hn::Sub(hn::Add(magnitude, half), half);
  return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x1p-14f)), denormal, normal);
}

// The value of BlockUnit::scale_bits(v), lane by lane; `up` and `down` of each lane's unit.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V rounded_to_f16(D d, V v, V up, V down) {
  return hn::CopySign(hn::Mul(f16_magnitude(d, hn::Mul(v, up)), down), v);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
