// Decoding of value = scale * code, vector by vector. Compiled once per SIMD target.
#if defined(GGUFMILL_QUANT_SCALED_VALUES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_SCALED_VALUES_INL
#undef GGUFMILL_QUANT_SCALED_VALUES_INL
#else
#define GGUFMILL_QUANT_SCALED_VALUES_INL
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using ValueTag = hn::CappedTag<float, 16>;
using CodeTag = hn::RebindToSigned<ValueTag>;
using CodeVec = hn::Vec<CodeTag>;

// As many bytes as there are lanes, as integers.
HWY_INLINE CodeVec bytes_at(const std::byte* from) {
  const hn::Rebind<uint8_t, CodeTag> u8;
  return hn::PromoteTo(CodeTag(), hn::LoadU(u8, reinterpret_cast<const uint8_t*>(from)));
}

// `bits` bits of each lane, from bit `shift` on.
HWY_INLINE CodeVec bits_at(CodeVec v, int shift, int32_t bits) {
  return hn::And(hn::ShiftRightSame(v, shift), hn::Set(CodeTag(), (1 << bits) - 1));
}

// y[m] = scale * code_at(m) for m = 0 .. kCount - 1; code_at answers a vector of codes from m on.
template <size_t kCount, class CodeAt>
HWY_INLINE void write_scaled(float scale, float* y, CodeAt code_at) {
  const ValueTag f32;
  for (size_t m = 0; m < kCount; m += hn::Lanes(f32)) {
    hn::StoreU(hn::Mul(hn::ConvertTo(f32, code_at(m)), hn::Set(f32, scale)), f32, y + m);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
