// The progress display for people, on stderr: a bar with bytes, rate, ETA and the current tensor on a terminal, one line every 10
// s when it is not one. NO_COLOR and TERM=dumb are respected.
#pragma once

#include <chrono>
#include <deque>
#include <string>

#include "convert/events.h"

namespace ggufmill {

enum class Verbosity { kQuiet, kNormal, kVerbose };

class ProgressText : public EventSink {
 public:
  explicit ProgressText(Verbosity verbosity);
  ~ProgressText() override;  // an error message begins on a clean line
  void planned(const Plan& plan) override;
  void resumed(uint64_t bytes_kept) override;
  void progress(const Progress& progress) override;
  void tensor_done(const PlannedTensor& tensor, double relative_rmse) override;
  void nonfinite(const PlannedTensor& tensor, uint64_t nan_count, uint64_t inf_count) override;
  void coarse(const PlannedTensor& tensor, uint64_t coarse_blocks, const WorstBlock& worst) override;
  void file_done(const std::string& name, uint64_t bytes, const std::string& sha256) override;
  void finished(const RunFigures& figures) override;
  void clear_line();  // before anything else is printed to the terminal

 private:
  using Clock = std::chrono::steady_clock;
  struct Sample {
    Clock::time_point time;
    uint64_t bytes;
  };
  void line(const std::string& text);     // a whole line, above the bar
  double rate(const Progress& progress);  // bytes of the source per second, over the last 20 s
  std::string bar(double done, size_t cells) const;

  Verbosity verbosity_;
  bool terminal_;
  bool color_;
  bool drawn_ = false;
  Clock::time_point last_;
  std::deque<Sample> samples_;
};

}  // namespace ggufmill
