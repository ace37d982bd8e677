// The weight of every column of a row in an encoder's error, from the importance matrix.
//
//   w = importance / mean(importance of the row) + 1/32
// so the size of the numbers (1e-38 or 1e30) does not matter, and a column that calibration never touched still counts: in a
// block of such columns the encoder sees equal weights, beside important ones it may not drop them. No importance, or a row
// whose importance is zero everywhere, weighs every column 1. Negative and non-finite values (which the contract of EncodeFn
// excludes) count as 0.
#pragma once

#include <cstddef>
#include <span>

namespace ggufmill {

class RowWeights {
 public:
  static constexpr float kFloor = 1.0f / 32;

  // Keeps the span.
  explicit RowWeights(std::span<const float> importance);

  // The weights of columns [first, first + count).
  void load(size_t first, size_t count, float* weights) const;

 private:
  std::span<const float> importance_;
  double inverse_mean_ = 0;  // 0: flat
};

}  // namespace ggufmill
