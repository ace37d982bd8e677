// Arithmetic on sizes that come from a file: an attacker's until checked. Each function answers nullopt on overflow.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace ggufmill {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

// Product of all dimensions; 1 for a scalar.
inline std::optional<uint64_t> checked_product(std::span<const uint64_t> dims) {
  uint64_t product = 1;
  for (const uint64_t d : dims) {
    if (__builtin_mul_overflow(product, d, &product)) return std::nullopt;
  }
  return product;
}

// `value` rounded up to a multiple of `unit` (> 0).
inline std::optional<uint64_t> checked_round_up(uint64_t value, uint64_t unit) {
  const uint64_t rest = value % unit;
  return rest == 0 ? std::optional(value) : checked_add(value, unit - rest);
}

}  // namespace ggufmill
