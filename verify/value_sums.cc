#include "verify/value_sums.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace ggufmill {
namespace {

constexpr uint32_t kFloatBlockElems = 32;  // the relative error of a single tiny value says nothing

double relative(double squared_error, double squared_source) {
  if (squared_error == 0) return 0;
  return squared_source == 0 ? std::numeric_limits<double>::infinity() : std::sqrt(squared_error / squared_source);
}

bool same_value(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

void count_odd(uint64_t& count, std::optional<OddValue>& first, const OddValue& value) {
  if (count++ == 0) first = value;
}

}  // namespace

double ValueSums::relative_rmse() const { return relative(squared_error, squared_source); }

double ValueSums::cosine() const {
  if (squared_source == 0 && squared_decoded == 0) return 1;
  if (squared_source == 0 || squared_decoded == 0) return 0;
  return product / (std::sqrt(squared_source) * std::sqrt(squared_decoded));
}

void ValueSums::merge(const ValueSums& later) {
  rows += later.rows;
  squared_error += later.squared_error;
  squared_source += later.squared_source;
  squared_decoded += later.squared_decoded;
  product += later.product;
  max_error = std::max(max_error, later.max_error);
  if (later.worst_block.relative_error > worst_block.relative_error) worst_block = later.worst_block;
  nonfinite_count += later.nonfinite_count;
  inexact_count += later.inexact_count;
  if (!first_nonfinite) first_nonfinite = later.first_nonfinite;
  if (!first_inexact) first_inexact = later.first_inexact;
}

void add_row(ValueSums& sums, uint64_t row, std::span<const float> source, std::span<const float> decoded,
             std::span<const float> rounded, uint32_t block_elems) {
  const size_t block = block_elems == 1 ? kFloatBlockElems : block_elems;
  ++sums.rows;
  for (size_t first = 0; first < source.size(); first += block) {
    double squared_error = 0, squared_source = 0;
    for (size_t i = first; i < std::min(first + block, source.size()); ++i) {
      if (!rounded.empty() && !same_value(decoded[i], rounded[i])) {
        count_odd(sums.inexact_count, sums.first_inexact, {row, i, decoded[i], rounded[i]});
      }
      if (!std::isfinite(source[i])) continue;
      if (!std::isfinite(decoded[i])) {
        count_odd(sums.nonfinite_count, sums.first_nonfinite, {row, i, decoded[i], source[i]});
        continue;
      }
      const double x = source[i], y = decoded[i], d = y - x;
      squared_error += d * d;
      squared_source += x * x;
      sums.squared_decoded += y * y;
      sums.product += x * y;
      sums.max_error = std::max(sums.max_error, std::abs(d));
    }
    sums.squared_error += squared_error;
    sums.squared_source += squared_source;
    const double error = relative(squared_error, squared_source);
    if (error > sums.worst_block.relative_error) sums.worst_block = {row, first, error};
  }
}

}  // namespace ggufmill
