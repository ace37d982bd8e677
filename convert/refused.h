// A model that cannot be planned because several things about it are wrong: one line for the user, and all of it as findings.
#pragma once

#include <string>
#include <vector>

#include "formats/error.h"
#include "formats/finding.h"

namespace ggufmill {

// kBadInput. `findings` are errors, in the order of the source; the message counts them and names the first.
class Refused : public Error {
 public:
  Refused(std::string message, std::vector<Finding> findings, std::string hint = "")
      : Error(Exit::kBadInput, std::move(message), std::move(hint)), findings_(std::move(findings)) {}
  const std::vector<Finding>& findings() const noexcept { return findings_; }

 private:
  std::vector<Finding> findings_;
};

}  // namespace ggufmill
