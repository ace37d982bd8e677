// The values of a GGUF set against those of its source, dequantized: sampled rows or all.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "verify/report.h"
#include "verify/row_source.h"
#include "verify/structure.h"

namespace ggufmill {

struct ValueOptions {
  double sample = 0.01;  // fraction of rows of each tensor, at least one of each matrix
  bool full = false;     // all rows
  uint64_t seed = 0;
  std::map<std::string, double> max_error = {};  // class -> largest relative RMSE, in place of the type's own bound
  unsigned threads = 1;
};

// Compares every tensor that the source expects; adds a TensorReport for each that could be compared. Findings: tensors that only
// one side has, other shapes, errors above the bound (F32, F16 and BF16 must be the source's values, rounded), NaN and Inf where
// the source has none. Results do not depend on `threads`. Throws kUsage for a class that no tensor has, and what the source
// throws.
void check_values(std::span<const GgufFile> files, const RowSource& source, const ValueOptions& options, Report& report);

}  // namespace ggufmill
