#include "cmd/progress_json.h"

#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cmd/finding_json.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds kProgressInterval{1};

// UTC, ISO 8601.
std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

void print(Json fields) {
  Json event;
  event["event"] = fields["event"];
  event["time"] = now_text();
  for (auto& [key, value] : fields.items()) event[key] = value;
  // A name with broken UTF-8 must not end the run: it is shown with replacement characters.
  std::cout << event.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
}

}  // namespace

void ProgressJson::planned(const Plan& plan) {
  Json findings = Json::array();
  for (const Finding& f : plan.findings) findings.push_back(finding_json(f));
  print({{"event", "plan"},
         {"model", plan.model_name},
         {"recipe", plan.recipe_name},
         {"source_bytes", plan.source_bytes()},
         {"total_bytes", plan.total_bytes()},
         {"parameters", plan.parameters()},
         {"tensors", plan.tensors.size()},
         {"files", plan.files.size()},
         {"findings", std::move(findings)}});
}

void ProgressJson::resumed(uint64_t bytes_kept) { print({{"event", "resume"}, {"bytes_kept", bytes_kept}}); }

void ProgressJson::progress(const Progress& p) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_progress_ < kProgressInterval) return;
  last_progress_ = now;
  print({{"event", "progress"},
         {"source_bytes", p.source_bytes},
         {"source_bytes_total", p.source_bytes_total},
         {"output_bytes", p.output_bytes},
         {"output_bytes_total", p.output_bytes_total},
         {"tensor", p.tensor}});
}

void ProgressJson::tensor_done(const PlannedTensor& t, double relative_rmse) {
  print({{"event", "tensor"},
         {"name", t.name},
         {"type", name(t.type)},
         {"class", name(t.tensor_class)},
         {"bytes", t.extent.bytes},
         {"relative_rmse", relative_rmse}});
}

void ProgressJson::nonfinite(const PlannedTensor& t, uint64_t nan_count, uint64_t inf_count) {
  print({{"event", "nonfinite"}, {"name", t.name}, {"nan_count", nan_count}, {"inf_count", inf_count}});
}

void ProgressJson::coarse(const PlannedTensor& t, uint64_t coarse_blocks, const WorstBlock& worst) {
  print({{"event", "coarse"},
         {"name", t.name},
         {"type", name(t.type)},
         {"coarse_blocks", coarse_blocks},
         {"worst_block", {{"row", worst.row}, {"column", worst.column}, {"relative_error", worst.relative_error}}}});
}

void ProgressJson::file_done(const std::string& name, uint64_t bytes, const std::string& sha256) {
  print({{"event", "file"}, {"path", name}, {"bytes", bytes}, {"sha256", sha256}});
}

void ProgressJson::finished(const RunFigures& f) {
  print({{"event", "done"},
         {"seconds", f.seconds},
         {"cpu_seconds", f.cpu_seconds},
         {"encode_cpu_seconds", f.encode_cpu_seconds},
         {"peak_rss_bytes", f.peak_rss_bytes},
         {"bytes_read", f.bytes_read},
         {"bytes_written", f.bytes_written},
         {"bytes_kept", f.bytes_kept}});
}

void print_error_event(int code, const std::string& message, const std::string& hint, std::span<const Finding> findings) {
  Json event = {{"event", "error"}, {"code", code}, {"message", message}, {"hint", hint}};
  for (const Finding& f : findings) event["findings"].push_back(finding_json(f));
  print(std::move(event));
}

}  // namespace ggufmill
