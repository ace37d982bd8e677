#include "quant/row_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/row_weights.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DoubleTag = hn::CappedTag<double, 8>;

// As double, which holds the importance of any unit; 0 where it is negative or not finite.
HWY_INLINE hn::Vec<DoubleTag> usable(const float* importance) {
  const DoubleTag f64;
  const hn::Rebind<float, DoubleTag> f32;
  const auto v = hn::LoadU(f32, importance);
  const auto positive = hn::Gt(v, hn::Zero(f32)), finite = hn::Le(v, hn::Set(f32, std::numeric_limits<float>::max()));
  return hn::PromoteTo(f64, hn::IfThenElseZero(positive, hn::IfThenElseZero(finite, v)));
}

// In 8 parts, the same on every target; the rest of a row that 8 does not divide is added last.
double usable_sum(std::span<const float> importance) {
  constexpr size_t kParts = 8;
  const DoubleTag f64;
  HWY_ALIGN double part[kParts] = {};
  const size_t whole = importance.size() / kParts * kParts;
  for (size_t first = 0; first < kParts; first += hn::Lanes(f64)) {
    auto sum = hn::Zero(f64);
    for (size_t i = first; i < whole; i += kParts) sum = hn::Add(sum, usable(&importance[i]));
    hn::Store(sum, f64, part + first);
  }
  HWY_ALIGN float rest[kParts] = {};
  std::copy(importance.begin() + static_cast<std::ptrdiff_t>(whole), importance.end(), rest);
  for (size_t first = 0; first < kParts; first += hn::Lanes(f64)) {
    hn::Store(hn::Add(hn::Load(f64, part + first), usable(rest + first)), f64, part + first);
  }
  double sum = 0;
  for (const double p : part) sum += p;
  return sum;
}

void scale_usable(const float* importance, size_t count, double inverse_mean, float* weights) {
  const DoubleTag f64;
  const hn::Rebind<float, DoubleTag> f32;
  const auto scaled = [&](const float* from) {
    return hn::Add(hn::DemoteTo(f32, hn::Mul(usable(from), hn::Set(f64, inverse_mean))), hn::Set(f32, RowWeights::kFloor));
  };
  const size_t lanes = hn::Lanes(f64);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(scaled(importance + i), f32, weights + i);
  if (i == count) return;
  HWY_ALIGN float rest[8] = {}, scaled_rest[8];
  std::copy(importance + i, importance + count, rest);
  hn::StoreU(scaled(rest), f32, scaled_rest);
  std::copy(scaled_rest, scaled_rest + (count - i), weights + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(usable_sum);
HWY_EXPORT(scale_usable);
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
    HWY_DYNAMIC_DISPATCH(scale_usable)(&importance_[first], count, inverse_mean_, weights);
  }
  if (!times_magnitude_ || inverse_mean_ == 0) return;
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += x[i] * x[i];
  const float mean = sum / static_cast<float>(count);
  for (size_t i = 0; i < count; ++i) weights[i] *= std::sqrt(mean + x[i] * x[i]);
}

}  // namespace ggufmill
#endif  // HWY_ONCE
