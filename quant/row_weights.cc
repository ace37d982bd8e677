#include "quant/row_weights.h"

#include <algorithm>
#include <limits>

namespace ggufmill {
namespace {

float usable(float importance) { return importance > 0 && importance <= std::numeric_limits<float>::max() ? importance : 0.0f; }

}  // namespace

RowWeights::RowWeights(std::span<const float> importance) : importance_(importance) {
  constexpr size_t kLanes = 8;  // a fixed order of additions that a vectoriser may keep
  double lane_sum[kLanes] = {};
  for (size_t i = 0; i < importance.size(); ++i) lane_sum[i % kLanes] += static_cast<double>(usable(importance[i]));
  double sum = 0;
  for (const double lane : lane_sum) sum += lane;
  if (sum > 0) inverse_mean_ = static_cast<double>(importance.size()) / sum;
}

void RowWeights::load(size_t first, size_t count, float* weights) const {
  if (inverse_mean_ == 0) {
    std::fill_n(weights, count, 1.0f);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    weights[i] = static_cast<float>(static_cast<double>(usable(importance_[first + i])) * inverse_mean_) + kFloor;
  }
}

}  // namespace ggufmill
