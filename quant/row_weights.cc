#include "quant/row_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/row_weights.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/row_weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// In 8 parts, the same on every target; the rest of a row that 8 does not divide is added last.
double usable_sum(std::span<const float> importance) {
  constexpr size_t kParts = 8;
  const WeightTag f64;
  HWY_ALIGN double part[kParts] = {};
  const size_t whole = importance.size() / kParts * kParts;
  for (size_t first = 0; first < kParts; first += hn::Lanes(f64)) {
    auto sum = hn::Zero(f64);
    for (size_t i = first; i < whole; i += kParts) sum = hn::Add(sum, usable_importance(&importance[i]));
    hn::Store(sum, f64, part + first);
  }
  HWY_ALIGN float rest[kParts] = {};
  std::copy(importance.begin() + static_cast<std::ptrdiff_t>(whole), importance.end(), rest);
  for (size_t first = 0; first < kParts; first += hn::Lanes(f64)) {
    hn::Store(hn::Add(hn::Load(f64, part + first), usable_importance(rest + first)), f64, part + first);
  }
  double sum = 0;
  for (const double p : part) sum += p;
  return sum;
}

void weigh_columns(const float* importance, size_t count, double inverse_mean, float* weights) {
  const hn::Rebind<float, WeightTag> f32;
  const size_t lanes = hn::Lanes(f32);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(column_weights(importance + i, inverse_mean), f32, weights + i);
  if (i == count) return;
  HWY_ALIGN float rest[8] = {}, rest_weights[8];
  std::copy(importance + i, importance + count, rest);
  hn::StoreU(column_weights(rest, inverse_mean), f32, rest_weights);
  std::copy(rest_weights, rest_weights + (count - i), weights + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(usable_sum);
HWY_EXPORT(weigh_columns);
}  // namespace

RowWeights::RowWeights(const RowContext& context)
    : importance_(context.importance), times_magnitude_(context.objective == Objective::kImportanceTimesMagnitude) {
  const double sum = importance_.empty() ? 0 : HWY_DYNAMIC_DISPATCH(usable_sum)(importance_);
  if (sum > 0) inverse_mean_ = static_cast<double>(importance_.size()) / sum;
}

void RowWeights::load(size_t first, size_t count, const float* x, float* weights) const {
  if (inverse_mean_ == 0) {
    std::fill_n(weights, count, 1.0f);
  } else {
    HWY_DYNAMIC_DISPATCH(weigh_columns)(&importance_[first], count, inverse_mean_, weights);
  }
  if (!times_magnitude_ || inverse_mean_ == 0) return;
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += x[i] * x[i];
  const float mean = sum / static_cast<float>(count);
  for (size_t i = 0; i < count; ++i) weights[i] *= std::sqrt(mean + x[i] * x[i]);
}

}  // namespace ggufmill
#endif  // HWY_ONCE
