#include "convert/importance.h"

#include <algorithm>

namespace ggufmill {

std::vector<double> Importance::layer_mean(const ImatrixEntry& entry) {
  const std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(means_, &entry, &LayerMean::entry);
  if (known != means_.end()) {
    means_.splice(means_.begin(), means_, known);
    return means_.front().mean;
  }
  std::vector<double> mean(entry.n_in, 0.0);
  std::vector<float> sums(entry.n_in);
  double tokens = 0;
  for (uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    if (!(entry.counts[mat] > 0)) continue;
    imatrix_.read_sums(entry, mat, sums);
    for (uint64_t i = 0; i < entry.n_in; ++i) mean[i] += sums[i];
    tokens += entry.counts[mat];
  }
  if (tokens > 0) {
    for (double& m : mean) m /= tokens;
  }
  means_.push_front({&entry, mean});
  if (means_.size() > kKeptMeans) means_.pop_back();
  return mean;
}

void Importance::weights(const ImatrixEntry& entry, uint64_t mat, std::span<float> weights) {
  const std::vector<double> mean = layer_mean(entry);
  const double n = std::max(0.0, static_cast<double>(entry.counts[mat]));
  if (n > 0) {
    imatrix_.read_sums(entry, mat, weights);  // n x data is the sum itself
  } else {
    std::ranges::fill(weights, 0.0f);
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = static_cast<float>((weights[i] + kImportancePriorTokens * mean[i]) / (n + kImportancePriorTokens));
  }
}

}  // namespace ggufmill
