#include "verify/row_choice.h"

#include <algorithm>
#include <cmath>

namespace ggufmill {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
uint64_t mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

uint64_t key_of(uint64_t seed, std::string_view tensor) {
  uint64_t key = mixed(seed);
  for (const char c : tensor) key = mixed(key ^ static_cast<unsigned char>(c));
  return key;
}

}  // namespace

RowChoice::RowChoice(uint64_t rows, uint64_t matrices, double fraction, uint64_t seed, std::string_view tensor)
    : matrices_(matrices), rows_per_matrix_(rows / matrices), key_(key_of(seed, tensor)) {
  const auto wanted = static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(rows_per_matrix_)));
  per_matrix_ = std::clamp<uint64_t>(wanted, 1, rows_per_matrix_);
}

uint64_t RowChoice::operator[](uint64_t i) const {
  const uint64_t matrix = i / per_matrix_, run = i % per_matrix_;
  const uint64_t run_rows = rows_per_matrix_ / per_matrix_, longer_runs = rows_per_matrix_ % per_matrix_;
  const uint64_t first = matrix * rows_per_matrix_ + run * run_rows + std::min(run, longer_runs);
  return first + mixed(key_ ^ i) % (run_rows + (run < longer_runs ? 1 : 0));
}

}  // namespace ggufmill
