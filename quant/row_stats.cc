#include "quant/row_stats.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

namespace ggufmill {
namespace {

constexpr size_t kLanes = 8;
constexpr uint32_t kInfBits = 0x7F800000;

struct BlockSums {
  double error[kLanes] = {};
  double value[kLanes] = {};
  double max_error[kLanes] = {};
  uint32_t nonfinite = 0;
};

uint32_t magnitude_bits(float x) { return std::bit_cast<uint32_t>(x) & 0x7FFFFFFF; }

double fold(const double (&lane)[kLanes]) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void add_element(BlockSums& sums, size_t lane, float x, float y) {
  const bool finite = magnitude_bits(x) < kInfBits && magnitude_bits(y) < kInfBits;
  const double value = finite ? static_cast<double>(x) : 0.0;
  const double error = finite ? static_cast<double>(y) - static_cast<double>(x) : 0.0;
  sums.error[lane] += error * error;
  sums.value[lane] += value * value;
  sums.max_error[lane] = std::max(sums.max_error[lane], std::fabs(error));
  sums.nonfinite += finite ? 0 : 1;
}

BlockSums block_sums(const float* x, const float* y, size_t count) {
  BlockSums sums;
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) add_element(sums, lane, x[i + lane], y[i + lane]);
  }
  for (size_t lane = 0; i < count; ++i, ++lane) add_element(sums, lane, x[i], y[i]);
  return sums;
}

void count_nonfinite(RowError& row, const float* x, const float* y, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (magnitude_bits(x[i]) > kInfBits) {
      ++row.nan_count;
    } else if (magnitude_bits(x[i]) == kInfBits) {
      ++row.inf_count;
    } else if (magnitude_bits(y[i]) >= kInfBits) {
      ++row.overflow_count;
    }
  }
}

}  // namespace

RowError row_error(std::span<const float> source, std::span<const float> decoded, uint32_t block_elems,
                   double coarse_error) noexcept {
  assert(source.size() == decoded.size() && block_elems > 0 && "one row, decoded from its own blocks");
  const size_t step = block_elems == 1 ? kFloatBlockElems : block_elems;
  RowError row;
  for (size_t start = 0; start < source.size(); start += step) {
    const size_t count = std::min(step, source.size() - start);
    const float* x = source.data() + start;
    const float* y = decoded.data() + start;
    const BlockSums sums = block_sums(x, y, count);
    const double error = fold(sums.error);
    const double value = fold(sums.value);
    row.squared_error += error;
    row.squared_value += value;
    for (const double e : sums.max_error) row.max_error = std::max(row.max_error, e);
    const double relative = error > 0 ? std::sqrt(error / value) : 0;  // infinity where value is 0
    row.worst_block = std::max(row.worst_block, relative);
    row.coarse_blocks += relative > coarse_error ? 1 : 0;
    if (sums.nonfinite != 0) count_nonfinite(row, x, y, count);
  }
  return row;
}

}  // namespace ggufmill
