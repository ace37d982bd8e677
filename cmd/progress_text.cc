#include "cmd/progress_text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "cmd/sizes.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{100};
constexpr std::chrono::seconds kLogInterval{10};
constexpr std::chrono::seconds kRateWindow{20};

size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

bool is_dumb() {
  const char* term = std::getenv("TERM");
  return term == nullptr || std::string_view(term) == "dumb";
}

}  // namespace

ProgressText::ProgressText(Verbosity verbosity)
    : verbosity_(verbosity),
      terminal_(isatty(STDERR_FILENO) != 0 && !is_dumb()),
      color_(terminal_ && !is_set("NO_COLOR")),
      last_(Clock::now()) {}

ProgressText::~ProgressText() { clear_line(); }

void ProgressText::clear_line() {
  if (drawn_) std::cerr << "\r\033[K" << std::flush;
  drawn_ = false;
}

void ProgressText::line(const std::string& text) {
  if (verbosity_ == Verbosity::kQuiet) return;
  clear_line();
  std::cerr << text << '\n' << std::flush;
}

void ProgressText::planned(const Plan& plan) {
  const double bits =
      8.0 * static_cast<double>(plan.total_bytes()) / static_cast<double>(std::max<uint64_t>(1, plan.parameters()));
  line(printable(plan.model_name) + ": " + format_count(plan.parameters()) + " parameters, " + format_bytes(plan.source_bytes()) +
       " in " + std::to_string(plan.shards.size()) + " shards -> " + plan.recipe_name + ", " + format_bytes(plan.total_bytes()) +
       " in " + std::to_string(plan.files.size()) + (plan.files.size() == 1 ? " file, " : " files, ") + format_fixed(bits, 2) +
       " bits per weight");
  for (const Finding& f : plan.findings) {
    if (f.severity == Severity::kInfo && verbosity_ != Verbosity::kVerbose) continue;
    line(to_line(f));
  }
}

void ProgressText::resumed(uint64_t bytes_kept) {
  line("resuming: " + format_bytes(bytes_kept) + " of the output are done already");
}

double ProgressText::rate(const Progress& progress) {
  const auto now = Clock::now();
  samples_.push_back({now, progress.source_bytes});
  while (samples_.size() > 2 && now - samples_.front().time > kRateWindow) samples_.pop_front();
  const double seconds = std::chrono::duration<double>(now - samples_.front().time).count();
  return seconds < 0.5 ? 0 : static_cast<double>(progress.source_bytes - samples_.front().bytes) / seconds;
}

std::string ProgressText::bar(double done, size_t cells) const {
  const auto full = static_cast<size_t>(done * static_cast<double>(cells));
  std::string out = color_ ? "\033[32m" : "";
  for (size_t i = 0; i < cells; ++i) {
    if (i == full && color_) out += "\033[2m";
    out += i < full ? "█" : "░";
  }
  return out + (color_ ? "\033[0m" : "");
}

void ProgressText::progress(const Progress& p) {
  if (verbosity_ == Verbosity::kQuiet) return;
  const auto now = Clock::now();
  if (now - last_ < (terminal_ ? std::chrono::milliseconds(kTerminalInterval) : std::chrono::milliseconds(kLogInterval))) return;
  last_ = now;
  const double bytes_per_second = rate(p);
  const double done =
      p.source_bytes_total == 0 ? 1 : static_cast<double>(p.source_bytes) / static_cast<double>(p.source_bytes_total);
  std::string text =
      format_fixed(done * 100, 1) + " %  " + format_bytes(p.source_bytes) + " of " + format_bytes(p.source_bytes_total);
  if (bytes_per_second > 0) {
    text += "  " + format_bytes(static_cast<uint64_t>(bytes_per_second)) + "/s  ETA " +
            format_seconds(static_cast<double>(p.source_bytes_total - p.source_bytes) / bytes_per_second);
  }
  const std::string tensor = "  " + printable(p.tensor, 60);
  if (!terminal_) {
    line(text + tensor);
    return;
  }
  constexpr size_t kMaxCells = 24, kMinCells = 8;
  const size_t columns = terminal_columns();
  std::string drawn = text + tensor;
  const size_t cells =
      columns > drawn.size() + 2 ? std::min(kMaxCells, columns - drawn.size() - 2) : 0;  // the name comes before the bar
  const bool with_bar = cells >= kMinCells;
  if (drawn.size() > columns - 1) drawn.resize(columns - 1);
  std::cerr << "\r\033[K" << (with_bar ? bar(done, cells) + " " : "") << drawn << std::flush;
  drawn_ = true;
}

void ProgressText::tensor_done(const PlannedTensor& t, double relative_rmse) {
  if (verbosity_ != Verbosity::kVerbose) return;
  line(printable(t.name) + "  " + std::string(name(t.type)) + "  " + format_bytes(t.extent.bytes) + "  relative error " +
       format_fixed(relative_rmse, 5) + "  (" + t.reason + ")");
}

void ProgressText::nonfinite(const PlannedTensor& t, uint64_t nan_count, uint64_t inf_count) {
  line("warning: " + printable(t.name) + ": the source holds " + std::to_string(nan_count) + " NaN and " +
       std::to_string(inf_count) + " Inf values");
}

void ProgressText::coarse(const PlannedTensor& t, uint64_t coarse_blocks, const WorstBlock& worst) {
  const uint64_t blocks = t.elems() / info(t.type).block_elems;
  line("warning: " + printable(t.name) + ": " + std::to_string(coarse_blocks) + " of " + std::to_string(blocks) +
       " blocks lost more than usual with " + std::string(name(t.type)) + " (outliers?), the worst " +
       format_fixed(worst.relative_error, 2) + " of itself at row " + std::to_string(worst.row) + ", column " +
       std::to_string(worst.column));
}

void ProgressText::file_done(const std::string& name, uint64_t bytes, const std::string& sha256) {
  line(name + "  " + format_bytes(bytes) + "  SHA-256 " + sha256);
}

void ProgressText::finished(const RunFigures& f) {
  line("done in " + format_seconds(f.seconds) + ": " + format_bytes(f.bytes_read) + " read, " + format_bytes(f.bytes_written) +
       " written, " + format_seconds(f.cpu_seconds) + " of CPU, peak memory " + format_bytes(f.peak_rss_bytes));
}

}  // namespace ggufmill
