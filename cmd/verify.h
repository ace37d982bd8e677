// `verify`: what the option tree fills in, and the run that prints the report.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "verify/row_source.h"

namespace ggufmill {

struct VerifyOptions {
  std::filesystem::path out = {};
  // Builds the values that OUT should hold; gets the names of OUT's tensors, so that a set without (or of only) the MTP block is
  // compared with what was meant. Empty: no values are compared.
  std::function<RowSource(const std::vector<std::string>& tensor_names)> source = {};
  double sample = 0.01;  // fraction of rows per tensor
  bool full = false;     // all rows
  uint64_t seed = 0;
  std::map<std::string, double> max_error = {};  // class -> largest relative RMSE
  unsigned threads = 1;
  bool json = false;
  bool verbose = false;
};

// Prints the report to `out`; kOk or kDifference. Throws Error for a bad SOURCE or a wrong option.
int run_verify(const VerifyOptions& options, std::ostream& out = std::cout);

}  // namespace ggufmill
