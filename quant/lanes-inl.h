// What searches with a lane per block or sub-block share: numbers per lane, and inverses of scales. Compiled once per SIMD
// target.
#if defined(GGUFMILL_QUANT_LANES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_LANES_INL
#undef GGUFMILL_QUANT_LANES_INL
#else
#define GGUFMILL_QUANT_LANES_INL
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <size_t kLanes>
struct LaneFloats {
  HWY_ALIGN float lane[kLanes];
  float& operator[](size_t l) { return lane[l]; }
  float operator[](size_t l) const { return lane[l]; }
};

// Scales below this, in the search's unit, leave every code at zero's: their inverse is taken as 0. The largest f16 scale of the
// largest floats lies above it (65504 * 2^-127 = 3.8e-34), and its inverse times any code is still finite.
inline constexpr float kSmallestScale = 1e-35f;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V inverse_or_zero(D d, V scale) {
  const auto usable = hn::Gt(hn::Abs(scale), hn::Set(d, kSmallestScale));
  return hn::IfThenElseZero(usable, hn::Div(hn::Set(d, 1.0f), hn::IfThenElse(usable, scale, hn::Set(d, 1.0f))));
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
