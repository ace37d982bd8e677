// Remembers what a conversion told; can ask it to stop, or fail, at a chosen event.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convert/events.h"

namespace ggufmill {

class EventLog : public EventSink {
 public:
  void planned(const Plan&) override {}
  void resumed(uint64_t bytes) override { bytes_kept = bytes; }
  void progress(const Progress& progress) override { last_progress = progress; }
  void tensor_done(const PlannedTensor& tensor, double relative_rmse) override {
    errors[tensor.name] = relative_rmse;
    if (on_tensor) on_tensor(errors.size());
  }
  void nonfinite(const PlannedTensor& tensor, uint64_t nan_count, uint64_t inf_count) override {
    odd_values[tensor.name] = {nan_count, inf_count};
  }
  void coarse(const PlannedTensor& tensor, uint64_t blocks, const WorstBlock&) override { coarse_blocks[tensor.name] = blocks; }
  void file_done(const std::string& name, uint64_t, const std::string& sha256) override {
    files[name] = sha256;
    if (on_file) on_file();
  }
  void finished(const RunFigures& run_figures) override { figures = run_figures; }

  std::function<void(size_t)> on_tensor;  // with the number of tensors that are done
  std::function<void()> on_file;          // called by a hash cursor
  std::optional<uint64_t> bytes_kept;
  Progress last_progress;
  std::map<std::string, double> errors;                             // by tensor
  std::map<std::string, std::pair<uint64_t, uint64_t>> odd_values;  // by tensor: NaN, Inf
  std::map<std::string, uint64_t> coarse_blocks;                    // by tensor
  std::map<std::string, std::string> files;                         // name -> SHA-256
  std::optional<RunFigures> figures;
};

}  // namespace ggufmill
