#include "convert/executor.h"

#include <sys/resource.h>
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <mutex>
#include <set>
#include <vector>

#include "convert/committer.h"
#include "convert/encode_tile.h"
#include "convert/finish.h"
#include "convert/hash_cursors.h"
#include "convert/journal.h"
#include "convert/ledger.h"
#include "convert/part_files.h"
#include "convert/resume.h"
#include "convert/tiles.h"
#include "convert/work_folder.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t peak_rss_bytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

void refuse_existing(const Plan& plan, const RunOptions& options) {
  const std::vector<fs::path> existing = existing_outputs(options.folder, plan.stem);
  if (existing.empty() || options.force) return;
  throw Error(Exit::kCannotCreate, printable(existing[0].string(), 4096) + ": exists already",
              "--force replaces it once the new files are complete");
}

// A run that is refused before its first byte leaves nothing behind.
void check_room(const Plan& plan, const RunOptions& options, bool interrupted, WorkFolder& work) {
  try {
    refuse_existing(plan, options);
    check_disk_space(plan, options.folder, work.path());
  } catch (const Error&) {
    if (!interrupted) work.remove();
    throw;
  }
}

// The three stages of the pipeline and what they share.
class Run {
 public:
  Run(const Plan& plan, const RunOptions& options, EventSink& events, const std::atomic<bool>& stop, Journal& journal,
      Ledger& ledger, std::vector<OutputFile>& parts)
      : plan_(plan),
        options_(options),
        events_(events),
        stop_(stop),
        ledger_(ledger),
        parts_(parts),
        budget_(tile_budget(plan, options.memory_bytes, options.threads)),
        reader_(plan, ledger, budget_.tile_elems, options.hash_sources),
        committer_(plan, journal, parts, [this] { report_progress(); }),
        cursors_(plan, ledger, parts, std::min(4u, options.threads / 4 + 1), stop,
                 [this](FileHashRecord record) { file_hashed(std::move(record)); }) {
    if (plan.imatrix != nullptr) importance_.emplace(*plan.imatrix);
    tiles_.resize(budget_.live_tiles);
    for (Tile& tile : tiles_) free_.push_back(&tile);
  }

  // True when everything is done and durable, false when it was stopped.
  bool run() {
    try {
      write_literals();
      run_pipeline();
      if (stop_) cursors_.end_early();
      cursors_.finish();
    } catch (...) {
      cursors_.end_early();
      commit_quietly();
      throw;
    }
    committer_.finish();
    assert((stop_ || complete()) && "only a stop leaves something undone");
    return complete();
  }

  uint64_t bytes_read() const { return reader_.bytes_read(); }
  uint64_t bytes_written() const { return bytes_written_; }
  double encode_cpu_seconds() const { return encode_cpu_seconds_; }

 private:
  // Tensors without source rows.
  void write_literals() {
    for (uint32_t tensor = 0; tensor < plan_.tensors.size(); ++tensor) {
      const PlannedTensor& t = plan_.tensors[tensor];
      if (t.literal.empty() || ledger_.tensor_complete(tensor)) continue;
      parts_[t.file].write_exact(t.extent.file_offset, t.literal);
      RowsRecord record;
      record.tensor = tensor;
      record.rows = t.rows();
      record.hash = xxh128(t.literal);
      {
        const std::lock_guard lock(mutex_);
        bytes_written_ += t.literal.size();
      }
      ledger_.add(record);
      committer_.add(std::move(record));
      const std::lock_guard lock(events_mutex_);
      events_.tensor_done(t, 0);
    }
  }

  void run_pipeline() {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options_.threads);
    tbb::parallel_pipeline(
        budget_.live_tiles,
        tbb::make_filter<void, Tile*>(tbb::filter_mode::serial_in_order, [this](tbb::flow_control& flow) { return read(flow); }) &
            tbb::make_filter<Tile*, Tile*>(tbb::filter_mode::serial_in_order, [this](Tile* tile) { return hash(tile); }) &
            tbb::make_filter<Tile*, void>(tbb::filter_mode::parallel, [this](Tile* tile) { encode(tile); }));
  }

  Tile* read(tbb::flow_control& flow) {
    committer_.check();
    Tile* tile;
    {
      const std::lock_guard lock(mutex_);
      tile = free_.back();  // as many tiles as tokens: never empty here
      free_.pop_back();
    }
    if (stop_ || ledger_.cancelled() || !reader_.next(*tile)) {  // cancelled: a hash cursor failed, and finish() says why
      give_back(tile);
      flow.stop();
      return nullptr;
    }
    const std::lock_guard lock(mutex_);
    source_bytes_ = reader_.bytes_passed();
    if (tile->encoded) current_tensor_ = tile->tensor;
    return tile;
  }

  Tile* hash(Tile* tile) {
    if (!tile->hashed) return tile;
    if (!shard_hash_) shard_hash_.emplace();
    shard_hash_->update(std::span<const std::byte>(tile->raw).subspan(tile->hash_from));
    if (!tile->last_of_shard) return tile;
    const Sha256 sha256 = shard_hash_->finish();
    shard_hash_.reset();
    const Shard& shard = plan_.shards[tile->shard];
    if (shard.expected_sha256 && *shard.expected_sha256 != sha256) {
      throw Error(Exit::kBadInput,
                  printable(shard.name) + ": SHA-256 is " + sha256.hex() + ", the download's name for it says " +
                      shard.expected_sha256->hex(),
                  "the download is damaged: fetch this file again");
    }
    ledger_.add(ShardHashRecord{tile->shard, sha256});
    committer_.add(ShardHashRecord{tile->shard, sha256});
    return tile;
  }

  void encode(Tile* tile) {
    if (tile->encoded) {
      EncodedTile done = encode_tile(plan_, *tile, importance_ ? &*importance_ : nullptr, options_.allow_nonfinite);
      const PlannedTensor& t = plan_.tensors[tile->tensor];
      parts_[t.file].write_exact(t.extent.file_offset + tile->first_row * t.row_bytes(), tile->blocks);
      {
        const std::lock_guard lock(mutex_);
        bytes_written_ += tile->blocks.size();
        encode_cpu_seconds_ += done.encode_cpu_seconds;
      }
      const bool complete = ledger_.add(done.record);
      committer_.add(std::move(done.record));
      if (complete) {
        const std::lock_guard lock(events_mutex_);
        events_.tensor_done(t, ledger_.stats(tile->tensor).relative_rmse());
      }
    }
    give_back(tile);
  }

  void give_back(Tile* tile) {
    const std::lock_guard lock(mutex_);
    free_.push_back(tile);
  }

  void file_hashed(FileHashRecord record) {
    const PlannedFile& file = plan_.files[record.file];
    {
      const std::lock_guard lock(events_mutex_);
      events_.file_done(file.name, file.bytes, record.sha256.hex());
    }
    committer_.add(std::move(record));
  }

  void report_progress() {
    Progress p;
    {
      const std::lock_guard lock(mutex_);
      p.source_bytes = source_bytes_;
      if (current_tensor_ < plan_.tensors.size()) p.tensor = plan_.tensors[current_tensor_].name;
    }
    p.source_bytes_total = reader_.bytes_total();
    p.output_bytes = ledger_.done_bytes();
    p.output_bytes_total = plan_.total_bytes();
    const std::lock_guard lock(events_mutex_);
    events_.progress(p);
  }

  bool complete() const {
    for (uint32_t t = 0; t < plan_.tensors.size(); ++t) {
      if (!ledger_.tensor_complete(t)) return false;
    }
    const std::set<uint32_t> used = plan_.used_shards();
    for (const uint32_t s : used) {
      if (options_.hash_sources && !ledger_.shard_hash(s)) return false;
    }
    for (uint32_t f = 0; f < plan_.files.size(); ++f) {
      if (!ledger_.file_hash(f)) return false;
    }
    return true;
  }

  // After a failure: what is finished is kept if it still can be; the first error is the one to tell.
  void commit_quietly() noexcept {
    try {
      committer_.finish();
    } catch (...) {
    }
  }

  const Plan& plan_;
  const RunOptions& options_;
  EventSink& events_;
  const std::atomic<bool>& stop_;
  Ledger& ledger_;
  std::vector<OutputFile>& parts_;
  const TileBudget budget_;
  std::optional<Importance> importance_;
  std::mutex mutex_;  // of the next group
  std::vector<Tile*> free_;
  uint64_t source_bytes_ = 0, bytes_written_ = 0;
  uint32_t current_tensor_ = UINT32_MAX;
  double encode_cpu_seconds_ = 0;
  std::mutex events_mutex_;
  std::vector<Tile> tiles_;
  std::optional<Sha256Stream> shard_hash_;
  TileReader reader_;
  Committer committer_;  // its thread uses everything above
  HashCursors cursors_;  // and these use the committer
};

}  // namespace

fs::path work_folder_path(const Plan& plan, const fs::path& folder) { return folder / (plan.stem + ".ggufmill"); }

Outcome run_plan(const Plan& plan, const RunOptions& options, EventSink& events, const std::atomic<bool>& stop) {
  const auto start = std::chrono::steady_clock::now();
  tile_budget(plan, options.memory_bytes, options.threads);  // throws where --memory is too small
  check_name_lengths(plan, options.folder);

  // From here nobody else works on this output.
  const fs::path work_path = work_folder_path(plan, options.folder);
  if (!fs::exists(work_path / "journal")) refuse_existing(plan, options);
  WorkFolder work(work_path, options.break_lock);
  if (options.restart) {
    undo_renames(options.folder, work);
    refuse_existing(plan, options);
    work.discard_work();
  }

  // From here the ledger says what is done, and the journal what must be done again.
  Journal journal(work.journal());
  Ledger ledger(plan);
  Resumed resumed = resume(plan, work, journal, ledger, stop);
  if (resumed.stopped) return Outcome::kStopped;
  RunFigures figures;
  figures.bytes_kept = resumed.finish ? plan.total_bytes() : ledger.done_bytes();
  if (resumed.interrupted) events.resumed(figures.bytes_kept);

  if (resumed.finish) {
    resumed.finish->replace |= options.force;
    rename_into_place(*resumed.finish, options.folder, plan.stem, work);
  } else {
    check_room(plan, options, resumed.interrupted, work);
    // From here every output file has its full size.
    std::vector<OutputFile> parts = open_parts(plan, work, ledger);
    Run run(plan, options, events, stop, journal, ledger, parts);
    if (!run.run()) return Outcome::kStopped;
    figures.bytes_read = run.bytes_read();
    figures.bytes_written = run.bytes_written();
    figures.encode_cpu_seconds = run.encode_cpu_seconds();
    for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
      const TensorStats stats = ledger.stats(t);
      if (stats.nan_count + stats.inf_count > 0) events.nonfinite(plan.tensors[t], stats.nan_count, stats.inf_count);
      if (stats.coarse_blocks > 0 && stats.worst) events.coarse(plan.tensors[t], stats.coarse_blocks, *stats.worst);
    }
    // From here all files are complete, durable and hashed; only names are missing.
    const FinishRecord finish =
        write_finish(plan, make_manifest(plan, ledger, options.program_version), work, journal, options.force);
    rename_into_place(finish, options.folder, plan.stem, work);
  }

  figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  figures.cpu_seconds = cpu_seconds();
  figures.peak_rss_bytes = peak_rss_bytes();
  events.finished(figures);
  return Outcome::kFinished;
}

}  // namespace ggufmill
