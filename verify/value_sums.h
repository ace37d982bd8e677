// The sums that compare decoded rows with the rows they came from.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "formats/manifest.h"

namespace ggufmill {

// A value that must not be there, and what should.
struct OddValue {
  uint64_t row = 0;
  uint64_t column = 0;
  float found = 0;
  float expected = 0;
};

// Of any number of rows; doubles throughout, added in the order of the calls.
struct ValueSums {
  uint64_t rows = 0;
  double squared_error = 0;    // sum d^2, values that are not finite in the source left out everywhere here
  double squared_source = 0;   // sum x^2
  double squared_decoded = 0;  // sum y^2
  double product = 0;          // sum x y
  double max_error = 0;
  WorstBlock worst_block;        // by sqrt(sum d^2 / sum x^2) over a block of the type
  uint64_t nonfinite_count = 0;  // NaN or Inf where the source is finite
  std::optional<OddValue> first_nonfinite;
  uint64_t inexact_count = 0;  // not the source's bits, rounded to the type (only rows given with `rounded`)
  std::optional<OddValue> first_inexact;

  // sqrt(sum d^2 / sum x^2): 0 where all is zero, infinity where only the source is.
  double relative_rmse() const;
  double cosine() const;  // 1 where both are zero
  void merge(const ValueSums& later);
};

// One row. `rounded` is empty, or the source rounded to the type, which `decoded` must then be: bit for bit, any NaN for a NaN.
// Types without blocks (block_elems 1) are looked at in blocks of 32.
void add_row(ValueSums& sums, uint64_t row, std::span<const float> source, std::span<const float> decoded,
             std::span<const float> rounded, uint32_t block_elems);

}  // namespace ggufmill
