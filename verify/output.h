// Everything that can be checked about OUT: the order of the checks, and what each is told of the others.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "verify/report.h"
#include "verify/row_source.h"
#include "verify/values.h"

namespace ggufmill {

struct OutputCheck {
  std::filesystem::path out = {};  // see target.h
  // Called with the names of OUT's tensors if OUT is a GGUF set; empty: values are not compared.
  std::function<RowSource(const std::vector<std::string>& tensor_names)> source = {};
  ValueOptions values = {};  // its threads serve all checks
};

// Every defect of OUT is a finding of severity error. Throws for what is not OUT's fault: kUsage for an ambiguous path or a wrong
// option, what the source throws, kSystem on I/O trouble.
Report verify_output(const OutputCheck& check);

}  // namespace ggufmill
