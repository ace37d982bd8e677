// RowWeights::load (row_weights.h) at the speed of the SIMD target: the same weights.
#if defined(GGUFMILL_QUANT_ROW_WEIGHTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_ROW_WEIGHTS_INL
#undef GGUFMILL_QUANT_ROW_WEIGHTS_INL
#else
#define GGUFMILL_QUANT_ROW_WEIGHTS_INL
#endif

#include <limits>

#include "hwy/highway.h"
#include "quant/row_weights.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// kElems is a multiple of 8.
template <size_t kElems>
HWY_INLINE void load_weights(const RowWeights& row, size_t first, const float* x, float* weights) {
  if (row.times_magnitude() || row.flat()) return row.load(first, kElems, x, weights);
  const hn::CappedTag<double, 8> f64;
  const hn::Rebind<float, decltype(f64)> f32;
  const auto inverse_mean = hn::Set(f64, row.inverse_mean());
  const auto floor = hn::Set(f32, RowWeights::kFloor);
  const auto zero = hn::Zero(f32), most = hn::Set(f32, std::numeric_limits<float>::max());
  const float* importance = row.importance().data() + first;
  for (size_t i = 0; i < kElems; i += hn::Lanes(f32)) {
    const auto v = hn::LoadU(f32, importance + i);
    const auto usable = hn::IfThenElseZero(hn::And(hn::Gt(v, zero), hn::Le(v, most)), v);
    hn::StoreU(hn::Add(hn::DemoteTo(f32, hn::Mul(hn::PromoteTo(f64, usable), inverse_mean)), floor), f32, weights + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
