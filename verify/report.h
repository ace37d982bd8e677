// What a verification found: a value, printed by cmd.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "formats/error.h"
#include "formats/finding.h"
#include "formats/ggml_type.h"
#include "formats/manifest.h"

namespace ggufmill {

struct TensorReport {
  std::string name;
  std::string class_name;
  GgmlType type = GgmlType::F32;
  uint64_t rows_compared = 0;
  double relative_rmse = 0;  // sqrt(sum d^2 / sum x^2) over the rows compared
  double cosine = 1;         // of all values compared, as one vector
  double max_error = 0;      // largest |d|
  WorstBlock worst_block;
};

// What the checks covered, for the summary.
struct CheckedScope {
  uint64_t files = 0;
  uint64_t tensors = 0;
  uint64_t bytes = 0;   // of the files
  bool hashes = false;  // recorded hashes were there and compared
  bool values = false;  // values were compared with a source
};

struct Report {
  CheckedScope scope;
  std::vector<Finding> findings;
  std::vector<TensorReport> tensors;  // in file order; those whose values were compared

  bool ok() const {
    return std::ranges::none_of(findings, [](const Finding& f) { return f.severity == Severity::kError; });
  }
  void add(Severity severity, std::string file, std::string tensor, std::string message) {
    findings.push_back({severity, std::move(file), std::move(tensor), std::move(message)});
  }
  void error(std::string file, std::string tensor, std::string message) {
    add(Severity::kError, std::move(file), std::move(tensor), std::move(message));
  }
  // The defect of `file` that a reader's Error tells; "FILE: tensor "NAME": " at its start moves to the fields. Errors of the
  // system (kSystem) are not defects of the file and are thrown on.
  void error(const std::string& file, const Error& error);
};

}  // namespace ggufmill
