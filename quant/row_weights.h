// The weight of every value of a row in an encoder's error.
//
//   w = importance / mean(importance of the row) + 1/32
// so the size of the numbers (1e-38 or 1e30) does not matter, and a column that calibration never touched still counts: in a
// block of such columns the encoder sees equal weights, beside important ones it may not drop them. No importance, or a row
// whose importance is zero everywhere, weighs every column 1. Negative and non-finite values (which the contract of EncodeFn
// excludes) count as 0. With Objective::kImportanceTimesMagnitude each weight of a row that has importance is multiplied by
// sqrt(mean(x^2) + x^2), with the mean over the block.
#pragma once

#include <cstddef>
#include <span>

#include "quant/row_context.h"

namespace ggufmill {

class RowWeights {
 public:
  static constexpr float kFloor = 1.0f / 32;

  // Keeps the span of importance.
  explicit RowWeights(const RowContext& context);

  // The weights of one block: columns [first, first + count), whose values are x[0 .. count), finite and near 1 (finite_block.h).
  void load(size_t first, size_t count, const float* x, float* weights) const;

  // What load computes with, for row_weights-inl.h.
  std::span<const float> importance() const { return importance_; }
  double inverse_mean() const { return inverse_mean_; }
  bool flat() const { return inverse_mean_ == 0; }
  bool times_magnitude() const { return times_magnitude_; }

 private:
  std::span<const float> importance_;
  double inverse_mean_ = 0;  // 0: flat
  bool times_magnitude_;
};

}  // namespace ggufmill
