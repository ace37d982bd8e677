#include "quant/row_stats.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/row_stats.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef GGUFMILL_QUANT_ROW_STATS_ONCE
#define GGUFMILL_QUANT_ROW_STATS_ONCE
namespace ggufmill {
namespace {

constexpr size_t kStatLanes = 8;  // the documented number, whatever a vector holds
constexpr uint32_t kInfBits = 0x7F800000;

uint32_t magnitude_bits(float x) { return std::bit_cast<uint32_t>(x) & 0x7FFFFFFF; }

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

// Takes a block's sums into the row's; answers the square of its relative error.
double add_block(RowError& row, double error, double value, double squared_coarse_error) {
  row.squared_error += error;
  row.squared_value += value;
  const double relative = error > 0 ? error / value : 0;  // infinity where value is 0
  row.coarse_blocks += relative > squared_coarse_error ? 1 : 0;
  return relative;
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F64 = hn::CappedTag<double, kStatLanes>;
using F64Vec = hn::Vec<F64>;
constexpr size_t kStatVectors = kStatLanes / hn::MaxLanes(F64());

HWY_INLINE double fold(const F64Vec (&sums)[kStatVectors]) {
  alignas(64) double lane[kStatLanes];
  for (size_t v = 0; v < kStatVectors; ++v) hn::Store(sums[v], F64(), lane + v * hn::Lanes(F64()));
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

struct BlockSums {
  double error, value;
};

// With kMasked, values that are not finite count as equal zeros.
template <bool kMasked>
HWY_INLINE BlockSums block_sums(const float* source, const float* decoded, size_t count) {
  const F64 f64;
  const hn::Rebind<float, F64> f32;
  F64Vec error[kStatVectors], value[kStatVectors];
  for (size_t v = 0; v < kStatVectors; ++v) error[v] = value[v] = hn::Zero(f64);
  for (size_t i = 0; i < count; i += kStatLanes) {
    for (size_t v = 0; v < kStatVectors; ++v) {
      auto x = hn::LoadU(f32, source + i + v * hn::Lanes(f64)), y = hn::LoadU(f32, decoded + i + v * hn::Lanes(f64));
      if constexpr (kMasked) {
        const auto infinity = hn::Inf(f32);
        const auto finite = hn::And(hn::Lt(hn::Abs(x), infinity), hn::Lt(hn::Abs(y), infinity));
        x = hn::IfThenElseZero(finite, x);
        y = hn::IfThenElseZero(finite, y);
      }
      const auto wide = hn::PromoteTo(f64, x);
      const auto off = hn::Sub(hn::PromoteTo(f64, y), wide);
      error[v] = hn::Add(error[v], hn::Mul(off, off));
      value[v] = hn::Add(value[v], hn::Mul(wide, wide));
    }
  }
  return {fold(error), fold(value)};
}

// The whole blocks of a row: row.size() is a multiple of `step`, and that of kStatLanes. Squares of floats cannot overflow a
// double, so a block whose sums are finite holds finite values alone.
void add_blocks(std::span<const float> source, const float* decoded, size_t step, double coarse_error, RowError& row) {
  double worst = 0;
  for (size_t start = 0; start < source.size(); start += step) {
    const float* x = source.data() + start;
    const float* y = decoded + start;
    BlockSums sums = block_sums<false>(x, y, step);
    if (!std::isfinite(sums.error + sums.value)) {
      sums = block_sums<true>(x, y, step);
      count_nonfinite(row, x, y, step);
    }
    worst = std::max(worst, add_block(row, sums.error, sums.value, coarse_error * coarse_error));
  }
  row.worst_block = std::max(row.worst_block, std::sqrt(worst));
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(add_blocks);
}  // namespace

RowError row_error(std::span<const float> source, std::span<const float> decoded, uint32_t block_elems,
                   double coarse_error) noexcept {
  assert(source.size() == decoded.size() && block_elems > 0 && "one row, decoded from its own blocks");
  const size_t step = block_elems == 1 ? kFloatBlockElems : block_elems;
  RowError row;
  const size_t whole = step % kStatLanes == 0 ? source.size() / step * step : 0;
  HWY_DYNAMIC_DISPATCH(add_blocks)(source.first(whole), decoded.data(), step, coarse_error, row);
  for (size_t start = whole; start < source.size(); start += step) {  // padded with zeros, which change nothing
    const size_t count = std::min(step, source.size() - start);
    float x[kFloatBlockElems] = {}, y[kFloatBlockElems] = {};
    assert(count <= kFloatBlockElems && "only a row of floats ends with a part of a block");
    std::copy_n(source.data() + start, count, x);
    std::copy_n(decoded.data() + start, count, y);
    HWY_DYNAMIC_DISPATCH(add_blocks)(std::span<const float>(x), y, kFloatBlockElems, coarse_error, row);
  }
  return row;
}

}  // namespace ggufmill
#endif  // HWY_ONCE
