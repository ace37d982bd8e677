// What does not fit when a checkpoint's tensors are matched with rules: all of it, thrown at once.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "formats/finding.h"

namespace ggufmill {

enum class Problem : uint8_t { kUnknown, kUnfit, kMissing };

class MatchProblems {
 public:
  // `of_mtp`: of a block of multi-token prediction.
  void note(Problem kind, std::string_view tensor, std::string_view why, bool of_mtp = false);
  // Throws Refused: one line with the counts of each kind and the first few, a fair share of each kind. `may_leave_mtp_out`: the
  // user did not decide about multi-token prediction.
  void throw_if_any(std::string_view folder, std::string_view architecture, bool may_leave_mtp_out) const;

 private:
  struct Kind {
    uint64_t count = 0;
    std::vector<Finding> kept;
  };
  std::array<Kind, 3> kinds_;
  std::unordered_set<std::string> said_;  // several rules may find the same
  uint64_t of_mtp_ = 0;
};

}  // namespace ggufmill
