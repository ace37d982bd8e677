#include "cmd/verify.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "cmd/finding_json.h"
#include "cmd/sizes.h"
#include "cmd/text_table.h"
#include "formats/error.h"
#include "verify/output.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;

// Enough to see what is wrong; -v shows all.
constexpr size_t kMaxFindingsShown = 40;

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

void print_json(const Report& report, std::ostream& out) {
  Json j;
  j["ok"] = report.ok();
  j["files"] = report.scope.files;
  j["bytes"] = report.scope.bytes;
  j["checked"] = {{"structure", true}, {"hashes", report.scope.hashes}, {"values", report.scope.values}};
  j["findings"] = Json::array();
  for (const Finding& f : report.findings) {
    j["findings"].push_back(finding_json(f));
  }
  j["tensors"] = Json::array();
  for (const TensorReport& t : report.tensors) {
    j["tensors"].push_back({{"name", t.name},
                            {"type", name(t.type)},
                            {"class", t.class_name},
                            {"rows_compared", t.rows_compared},
                            {"relative_rmse", finite_or_null(t.relative_rmse)},
                            {"cosine", finite_or_null(t.cosine)},
                            {"max_error", finite_or_null(t.max_error)},
                            {"worst_block",
                             {{"row", t.worst_block.row},
                              {"column", t.worst_block.column},
                              {"relative_error", finite_or_null(t.worst_block.relative_error)}}}});
  }
  out << j.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
}

std::string counted(uint64_t n, const std::string& what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); }

void print_summary(const VerifyOptions& options, const Report& report, std::ostream& out) {
  uint64_t errors = 0, warnings = 0, rows = 0;
  for (const Finding& f : report.findings) {
    errors += f.severity == Severity::kError;
    warnings += f.severity == Severity::kWarning;
  }
  for (const TensorReport& t : report.tensors) rows += t.rows_compared;
  const CheckedScope& scope = report.scope;
  out << (report.ok() ? "OK" : "FAILED") << "  " << printable(options.out.string(), 4096) << ": ";
  if (!report.ok()) out << counted(errors, "error") << ", ";
  if (warnings > 0) out << counted(warnings, "warning") << ", ";
  out << counted(scope.files, "file") << ", " << counted(scope.tensors, "tensor") << ", " << format_bytes(scope.bytes)
      << "; checked: structure" << (scope.hashes ? ", hashes" : "");
  if (scope.values) out << ", values of " << counted(rows, "row");
  out << '\n';
}

void print_findings(const VerifyOptions& options, const Report& report, std::ostream& out) {
  const size_t shown = options.verbose ? report.findings.size() : std::min(report.findings.size(), kMaxFindingsShown);
  for (size_t i = 0; i < shown; ++i) {
    const Finding& f = report.findings[i];
    out << name(f.severity) << ": ";
    if (!f.file.empty()) out << printable(f.file, 4096) << ": ";
    if (!f.tensor.empty()) out << quoted_tensor(f.tensor) << ": ";
    out << printable(f.message, 4096) << '\n';
  }
  if (shown < report.findings.size())
    out << "... and " << counted(report.findings.size() - shown, "more finding") << " (-v shows all)\n";
}

// Errors of all tensors of one class and type.
struct ClassErrors {
  uint64_t tensors = 0;
  uint64_t rows = 0;
  double sum_rmse = 0;
  double lowest_cosine = 1;
  double max_error = 0;
  const TensorReport* worst = nullptr;
};

void print_classes(const Report& report, std::ostream& out) {
  std::map<std::pair<std::string, std::string>, ClassErrors> groups;
  for (const TensorReport& t : report.tensors) {
    ClassErrors& g = groups[{t.class_name, std::string(name(t.type))}];
    ++g.tensors;
    g.rows += t.rows_compared;
    g.sum_rmse += t.relative_rmse;
    g.lowest_cosine = std::min(g.lowest_cosine, t.cosine);
    g.max_error = std::max(g.max_error, t.max_error);
    if (g.worst == nullptr || t.relative_rmse > g.worst->relative_rmse) g.worst = &t;
  }
  using enum TextTable::Align;
  TextTable table({{"class"},
                   {"type"},
                   {"tensors", kRight},
                   {"rows", kRight},
                   {"rel. RMSE", kRight},
                   {"worst", kRight},
                   {"cosine", kRight},
                   {"max error", kRight},
                   {"worst tensor"}});
  for (const auto& [key, g] : groups) {
    char cosine[32];
    std::snprintf(cosine, sizeof(cosine), "%.6f", g.lowest_cosine);
    const bool exact = g.worst->relative_rmse == 0;
    table.row({key.first, key.second, std::to_string(g.tensors), std::to_string(g.rows),
               exact ? "exact" : short_number(g.sum_rmse / static_cast<double>(g.tensors)),
               exact ? "" : short_number(g.worst->relative_rmse), cosine, exact ? "0" : short_number(g.max_error),
               exact ? "" : printable(g.worst->name, 28)});
  }
  out << '\n';
  table.print(out);
}

void print_tensors(const Report& report, std::ostream& out) {
  using enum TextTable::Align;
  TextTable table({{"tensor"},
                   {"class"},
                   {"type"},
                   {"rows", kRight},
                   {"rel. RMSE", kRight},
                   {"cosine", kRight},
                   {"max error", kRight},
                   {"worst block"}});
  for (const TensorReport& t : report.tensors) {
    char cosine[32];
    std::snprintf(cosine, sizeof(cosine), "%.6f", t.cosine);
    const std::string block = t.worst_block.relative_error == 0
                                  ? ""
                                  : short_number(t.worst_block.relative_error) + " at row " + std::to_string(t.worst_block.row) +
                                        ", column " + std::to_string(t.worst_block.column);
    table.row({printable(t.name), t.class_name, std::string(name(t.type)), std::to_string(t.rows_compared),
               t.relative_rmse == 0 ? "exact" : short_number(t.relative_rmse), cosine, short_number(t.max_error), block});
  }
  out << '\n';
  table.print(out);
}

}  // namespace

int run_verify(const VerifyOptions& options, std::ostream& out) {
  const Report report = verify_output({.out = options.out,
                                       .source = options.source,
                                       .values = {.sample = options.sample,
                                                  .full = options.full,
                                                  .seed = options.seed,
                                                  .max_error = options.max_error,
                                                  .threads = options.threads}});
  if (options.json) {
    print_json(report, out);
  } else {
    print_summary(options, report, out);
    print_findings(options, report, out);
    if (!report.tensors.empty()) print_classes(report, out);
    if (!report.tensors.empty() && options.verbose) print_tensors(report, out);
  }
  return static_cast<int>(report.ok() ? Exit::kOk : Exit::kDifference);
}

}  // namespace ggufmill
