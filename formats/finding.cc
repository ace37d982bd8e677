#include "formats/finding.h"

#include "formats/error.h"

namespace ggufmill {

std::string to_line(const Finding& finding) {
  std::string line(name(finding.severity));
  for (const std::string& where : {finding.file, finding.tensor}) {
    if (!where.empty()) line += ": " + printable(where);
  }
  return line + ": " + printable(finding.message, 400);
}

}  // namespace ggufmill
