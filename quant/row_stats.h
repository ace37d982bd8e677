// What encoding one row cost: sums of squares in f64 between the row's source values and the values that its blocks decode to.
//
// The order of every addition is fixed (below), so the sums are the same bits on every machine, SIMD target and number of
// threads. Sums over rows and tensors are ExactSum's task (exact_sum.h).
//   Inside a block of the type: lane j of 8 adds elements j, j+8, j+16, ... in that order;
//   the lanes fold as ((0+4)+(2+6)) + ((1+5)+(3+7)); blocks are added to the row in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace ggufmill {

struct RowError {
  double squared_error = 0;     // sum of (decoded - source)^2
  double squared_value = 0;     // sum of source^2
  double worst_block = 0;       // largest sqrt(block's squared_error / squared_value); 0 for a block of zeros that stays zero
  uint64_t coarse_blocks = 0;   // blocks whose relative error is above `coarse_error`
  uint64_t nan_count = 0;       // NaN in the source
  uint64_t inf_count = 0;       // +-Inf in the source
  uint64_t overflow_count = 0;  // finite in the source, NaN or Inf decoded (F16 beyond 65504)
};

// Blocks of a float type (block_elems 1) are taken as 32 values: the relative error of a single tiny value says nothing.
inline constexpr uint32_t kFloatBlockElems = 32;

// `source` and `decoded` have one row's values, in the same order. Values counted in one of the three counts are left out of
// the sums. A block of zeros that decodes to something else has worst_block = infinity. block_elems > 0; the last block may be
// partial.
RowError row_error(std::span<const float> source, std::span<const float> decoded, uint32_t block_elems,
                   double coarse_error = std::numeric_limits<double>::infinity()) noexcept;

}  // namespace ggufmill
