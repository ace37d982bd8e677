// ExactSum: a sum of non-negative doubles without rounding, so that it does not depend on the order or the grouping of its terms.
//
// Error sums of a tensor come from rows that threads finish in any order and that an interrupted run cuts anywhere; the manifest
// must say the same number every time. The sum is one fixed-point number that covers every double (Kulisch's accumulator):
//   bit 0 = 2^-1074 (the smallest denormal) ... bit 2097 = 2^1023, above them 142 bits for carries (2^142 additions of the
//   largest double), in 35 limbs of 64 bits, least significant first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ggufmill {

class ExactSum {
 public:
  // Bytes of the longest serialized form.
  static constexpr size_t kMaxSerializedBytes = 2 + 34 * 8;

  // `term` must be finite and not negative; a broken promise stops the program.
  void add(double term);
  void merge(const ExactSum& other);

  // The double nearest to the sum, ties to even; infinity where the sum is beyond the largest double.
  double value() const;

  // first limb u8, number of limbs u8, limbs u64 little-endian; the limbs below the first and above the last are zero, the
  // first and the last are not. Zero is the two bytes 0, 0. One value has one form.
  std::vector<std::byte> serialize() const;
  // nullopt unless `bytes` is exactly what serialize() can write (sums of up to 2^78 of the largest double).
  static std::optional<ExactSum> deserialize(std::span<const std::byte> bytes);

  bool operator==(const ExactSum&) const = default;

 private:
  static constexpr size_t kLimbs = 35;
  void add_limb(size_t index, uint64_t limb);

  std::array<uint64_t, kLimbs> limbs_{};
};

}  // namespace ggufmill
