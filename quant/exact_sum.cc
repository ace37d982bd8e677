#include "quant/exact_sum.h"

#include <bit>
#include <cassert>
#include <cmath>

namespace ggufmill {
namespace {

constexpr int kMantissaBits = 52;       // stored bits of a double's mantissa
constexpr int kLowestExponent = -1074;  // weight of bit 0
constexpr uint64_t kMantissaMask = (uint64_t{1} << kMantissaBits) - 1;

}  // namespace

void ExactSum::add_limb(size_t index, uint64_t limb) {
  for (; limb != 0 && index < kLimbs; ++index) {
    const uint64_t sum = limbs_[index] + limb;
    limb = sum < limb ? 1 : 0;  // the carry
    limbs_[index] = sum;
  }
  assert(limb == 0 && "an ExactSum holds 2^142 terms");
}

void ExactSum::add(double term) {
  assert(std::isfinite(term) && !(term < 0) && "ExactSum takes finite, non-negative terms");
  const uint64_t bits = std::bit_cast<uint64_t>(term);
  const uint64_t exponent = (bits >> kMantissaBits) & 0x7FF;
  uint64_t mantissa = bits & kMantissaMask;
  if (exponent != 0) mantissa |= uint64_t{1} << kMantissaBits;
  // A normal number of exponent field e has its lowest mantissa bit at 2^(e - 1075), bit e - 1 here; denormals at bit 0.
  const uint64_t position = exponent == 0 ? 0 : exponent - 1;
  const size_t index = position / 64;
  const unsigned shift = position % 64;
  add_limb(index, mantissa << shift);
  if (shift > 0) add_limb(index + 1, mantissa >> (64 - shift));
}

void ExactSum::merge(const ExactSum& other) {
  for (size_t i = 0; i < kLimbs; ++i) add_limb(i, other.limbs_[i]);
}

double ExactSum::value() const {
  size_t top = kLimbs;
  while (top > 0 && limbs_[top - 1] == 0) --top;
  if (top == 0) return 0;
  const int top_bit = static_cast<int>(64 * (top - 1)) + 63 - std::countl_zero(limbs_[top - 1]);
  if (top_bit <= kMantissaBits) return std::ldexp(static_cast<double>(limbs_[0]), kLowestExponent);  // fits: exact

  const auto bit = [&](int at) { return (limbs_[static_cast<size_t>(at) / 64] >> (at % 64)) & 1; };
  const int lowest_kept = top_bit - kMantissaBits;
  uint64_t mantissa = 0;
  for (int at = top_bit; at >= lowest_kept; --at) mantissa = 2 * mantissa + bit(at);
  const int half_bit = lowest_kept - 1;
  if (bit(half_bit) != 0) {
    bool above_half = false;
    for (int at = 0; at < half_bit && !above_half; ++at) above_half = bit(at) != 0;
    if (above_half || (mantissa & 1) != 0) ++mantissa;  // 2^53 after a carry is exact too
  }
  return std::ldexp(static_cast<double>(mantissa), lowest_kept + kLowestExponent);
}

std::vector<std::byte> ExactSum::serialize() const {
  size_t first = 0;
  while (first < kLimbs && limbs_[first] == 0) ++first;
  if (first == kLimbs) return {std::byte{0}, std::byte{0}};
  size_t end = kLimbs;
  while (limbs_[end - 1] == 0) --end;
  std::vector<std::byte> bytes;
  bytes.reserve(2 + 8 * (end - first));
  bytes.push_back(static_cast<std::byte>(first));
  bytes.push_back(static_cast<std::byte>(end - first));
  for (size_t i = first; i < end; ++i) {
    for (unsigned shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<std::byte>(limbs_[i] >> shift));
  }
  return bytes;
}

std::optional<ExactSum> ExactSum::deserialize(std::span<const std::byte> bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const size_t first = std::to_integer<size_t>(bytes[0]);
  const size_t count = std::to_integer<size_t>(bytes[1]);
  // The top limb stays free, so that no number of merges of what was read here overflows.
  if (first + count > kLimbs - 1 || bytes.size() != 2 + 8 * count) return std::nullopt;
  if (count == 0 && first != 0) return std::nullopt;
  ExactSum sum;
  for (size_t i = 0; i < count; ++i) {
    uint64_t limb = 0;
    for (size_t b = 0; b < 8; ++b) limb |= std::to_integer<uint64_t>(bytes[2 + 8 * i + b]) << (8 * b);
    sum.limbs_[first + i] = limb;
  }
  const bool canonical = count == 0 || (sum.limbs_[first] != 0 && sum.limbs_[first + count - 1] != 0);
  return canonical ? std::optional(sum) : std::nullopt;
}

}  // namespace ggufmill
