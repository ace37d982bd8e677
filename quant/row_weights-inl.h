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

using WeightTag = hn::CappedTag<double, 8>;
using WeightFloats = hn::Vec<hn::Rebind<float, WeightTag>>;

// Importance as double, which holds any unit of it; 0 where it is negative or not finite.
HWY_INLINE hn::Vec<WeightTag> usable_importance(const float* importance) {
  const hn::Rebind<float, WeightTag> f32;
  const auto v = hn::LoadU(f32, importance);
  const auto positive = hn::Gt(v, hn::Zero(f32)), finite = hn::Le(v, hn::Set(f32, std::numeric_limits<float>::max()));
  return hn::PromoteTo(WeightTag(), hn::IfThenElseZero(hn::And(positive, finite), v));
}

// The weights of as many columns as there are lanes.
HWY_INLINE WeightFloats column_weights(const float* importance, double inverse_mean) {
  const WeightTag f64;
  const hn::Rebind<float, WeightTag> f32;
  const auto scaled = hn::Mul(usable_importance(importance), hn::Set(f64, inverse_mean));
  return hn::Add(hn::DemoteTo(f32, scaled), hn::Set(f32, RowWeights::kFloor));
}

// kElems is a multiple of 8.
template <size_t kElems>
HWY_INLINE void load_weights(const RowWeights& row, size_t first, const float* x, float* weights) {
  if (row.times_magnitude() || row.flat()) return row.load(first, kElems, x, weights);
  const hn::Rebind<float, WeightTag> f32;
  const float* importance = row.importance().data() + first;
  for (size_t i = 0; i < kElems; i += hn::Lanes(f32)) {
    hn::StoreU(column_weights(importance + i, row.inverse_mean()), f32, weights + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
