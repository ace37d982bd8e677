// A finding as JSON, the same in every report: {severity, file, tensor, message}.
#pragma once

#include <nlohmann/json.hpp>

#include "formats/finding.h"

namespace ggufmill {

inline nlohmann::ordered_json finding_json(const Finding& f) {
  return {{"severity", name(f.severity)}, {"file", f.file}, {"tensor", f.tensor}, {"message", f.message}};
}

}  // namespace ggufmill
