// Something worth telling the user that is not an exception: plan, verify and inspect collect them.
#pragma once

#include <string>
#include <string_view>

namespace ggufmill {

enum class Severity { kInfo, kWarning, kError };

struct Finding {
  Severity severity = Severity::kInfo;
  std::string file;    // may be empty
  std::string tensor;  // may be empty
  std::string message;
};

// "warning: FILE: TENSOR: MESSAGE", for people.
std::string to_line(const Finding& finding);

constexpr std::string_view name(Severity severity) {
  return severity == Severity::kInfo ? "info" : severity == Severity::kWarning ? "warning" : "error";
}

}  // namespace ggufmill
