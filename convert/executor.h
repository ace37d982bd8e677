// Runs a plan: reads the source once, encodes in parallel, writes part files, keeps the journal, renames the finished set into
// place.
#pragma once

#include <atomic>
#include <filesystem>

#include "convert/events.h"
#include "convert/plan.h"

namespace ggufmill {

struct RunOptions {
  std::filesystem::path folder;  // of the output; plan.stem names the files
  unsigned threads = 1;
  uint64_t memory_bytes = 512ull << 20;
  bool hash_sources = true;
  bool allow_nonfinite = false;
  bool restart = false;
  bool force = false;
  bool break_lock = false;
  std::string program_version;
};

enum class Outcome { kFinished, kStopped };

// Throws Error: kCannotCreate where the output exists, kTryAgain where another process holds it, kBadInput and kSystem on trouble
// underway; what is done by then stays in the work folder, and the same call goes on from there. `stop` may be set from a signal
// handler: tiles in flight are finished, the journal is flushed, and the answer is kStopped.
Outcome run_plan(const Plan& plan, const RunOptions& options, EventSink& events, const std::atomic<bool>& stop);

// `STEM.ggufmill` beside the output.
std::filesystem::path work_folder_path(const Plan& plan, const std::filesystem::path& folder);

}  // namespace ggufmill
