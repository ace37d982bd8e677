// What a running conversion tells: the progress display and the JSON lines are two listeners.
#pragma once

#include <cstdint>
#include <string>

#include "convert/plan.h"
#include "formats/manifest.h"

namespace ggufmill {

struct Progress {
  uint64_t source_bytes = 0;  // read or skipped so far
  uint64_t source_bytes_total = 0;
  uint64_t output_bytes = 0;  // encoded so far, what earlier runs left included
  uint64_t output_bytes_total = 0;
  std::string tensor;  // the one being read
};

// Figures of a finished run; the bench and the `done` event print them.
struct RunFigures {
  double seconds = 0;             // wall
  double cpu_seconds = 0;         // whole process, user and system
  double encode_cpu_seconds = 0;  // inside the codecs' encode functions
  uint64_t bytes_read = 0;        // from the source
  uint64_t bytes_written = 0;     // to output files
  uint64_t bytes_kept = 0;        // output bytes that earlier runs had done
  uint64_t peak_rss_bytes = 0;
};

// Calls come from several threads, one at a time for each method.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void planned(const Plan& plan) = 0;
  virtual void resumed(uint64_t bytes_kept) = 0;        // only where an interrupted run was found
  virtual void progress(const Progress& progress) = 0;  // a few times a second
  virtual void tensor_done(const PlannedTensor& tensor, double relative_rmse) = 0;
  // Once per tensor, at the end, where the source holds NaN or Inf.
  virtual void nonfinite(const PlannedTensor& tensor, uint64_t nan_count, uint64_t inf_count) = 0;
  // Once per tensor, at the end, where super-blocks lost more than the codec's coarse_error() (outliers that its grid cannot
  // hold).
  virtual void coarse(const PlannedTensor& tensor, uint64_t coarse_blocks, const WorstBlock& worst) = 0;
  virtual void file_done(const std::string& name, uint64_t bytes, const std::string& sha256) = 0;
  virtual void finished(const RunFigures& figures) = 0;
};

}  // namespace ggufmill
