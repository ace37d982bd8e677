#include "quant/row_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ggufmill {
namespace {

float usable(float importance) { return importance > 0 && importance <= std::numeric_limits<float>::max() ? importance : 0.0f; }

}  // namespace

RowWeights::RowWeights(const RowContext& context)
    : importance_(context.importance), times_magnitude_(context.objective == Objective::kImportanceTimesMagnitude) {
  constexpr size_t kLanes = 8;  // a fixed order of additions that a vectoriser may keep
  double lane_sum[kLanes] = {};
  for (size_t i = 0; i < importance_.size(); ++i) lane_sum[i % kLanes] += static_cast<double>(usable(importance_[i]));
  double sum = 0;
  for (const double lane : lane_sum) sum += lane;
  if (sum > 0) inverse_mean_ = static_cast<double>(importance_.size()) / sum;
}

void RowWeights::load(size_t first, size_t count, const float* x, float* weights) const {
  if (inverse_mean_ == 0) {
    std::fill_n(weights, count, 1.0f);
  } else {
    for (size_t i = 0; i < count; ++i) {
      weights[i] = static_cast<float>(static_cast<double>(usable(importance_[first + i])) * inverse_mean_) + kFloor;
    }
  }
  if (!times_magnitude_ || inverse_mean_ == 0) return;
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += x[i] * x[i];
  const float mean = sum / static_cast<float>(count);
  for (size_t i = 0; i < count; ++i) weights[i] *= std::sqrt(mean + x[i] * x[i]);
}

}  // namespace ggufmill
