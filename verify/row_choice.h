// Which rows of a tensor a verification compares: a pure function of shape, fraction, seed and name.
//
// The rows of each matrix (expert of a stacked tensor) are cut into runs of nearly equal length and one row is drawn from each: a
// sample is spread over the whole tensor, and every expert gives at least one row.
#pragma once

#include <cstdint>
#include <string_view>

namespace ggufmill {

class RowChoice {
 public:
  // `rows` > 0 over all `matrices` (which divides it); `fraction` in (0, 1]: 1 chooses every row.
  RowChoice(uint64_t rows, uint64_t matrices, double fraction, uint64_t seed, std::string_view tensor);
  uint64_t size() const { return matrices_ * per_matrix_; }
  // Row number of choice `i` < size(); increasing with i.
  uint64_t operator[](uint64_t i) const;

 private:
  uint64_t matrices_;
  uint64_t rows_per_matrix_;
  uint64_t per_matrix_;  // rows chosen of each
  uint64_t key_;
};

}  // namespace ggufmill
