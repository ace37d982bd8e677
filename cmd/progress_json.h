// Events of a conversion as JSON lines on stdout; docs/cli-json.md has the keys.
#pragma once

#include <chrono>
#include <span>
#include <string>

#include "convert/events.h"
#include "formats/finding.h"

namespace ggufmill {

class ProgressJson : public EventSink {
 public:
  void planned(const Plan& plan) override;
  void resumed(uint64_t bytes_kept) override;
  void progress(const Progress& progress) override;
  void tensor_done(const PlannedTensor& tensor, double relative_rmse) override;
  void nonfinite(const PlannedTensor& tensor, uint64_t nan_count, uint64_t inf_count) override;
  void coarse(const PlannedTensor& tensor, uint64_t coarse_blocks, const WorstBlock& worst) override;
  void file_done(const std::string& name, uint64_t bytes, const std::string& sha256) override;
  void finished(const RunFigures& figures) override;

 private:
  std::chrono::steady_clock::time_point last_progress_{};
};

// One `error` event; `findings` are all that speaks against a model that is refused.
void print_error_event(int code, const std::string& message, const std::string& hint, std::span<const Finding> findings);

}  // namespace ggufmill
