#include "convert/resume.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "formats/error.h"
#include "formats/manifest.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kReadBytes = 4 << 20;

// First pass over the journal: what later records say about earlier ones.
struct Overview {
  std::optional<PlanRecord> plan;
  std::optional<FinishRecord> finish;
  std::map<uint32_t, FileId> shard_ids;                // the last known
  std::map<uint32_t, uint64_t> shard_void, file_void;  // shard or file -> records before this number do not count
  std::set<uint64_t> void_records;
};

Overview read_overview(const Journal& journal) {
  Overview o;
  journal.replay([&](uint64_t number, const JournalRecord& record) {
    if (const auto* plan = std::get_if<PlanRecord>(&record)) {
      if (number == 0) o.plan = *plan;
    } else if (const auto* shard = std::get_if<ShardRecord>(&record)) {
      o.shard_ids[shard->shard] = shard->id;
    } else if (const auto* finish = std::get_if<FinishRecord>(&record)) {
      o.finish = *finish;
    } else if (const auto* v = std::get_if<VoidRecord>(&record)) {
      o.finish.reset();
      if (v->what == VoidRecord::What::kRecord) o.void_records.insert(v->id);
      if (v->what == VoidRecord::What::kShard) o.shard_void[static_cast<uint32_t>(v->id)] = number;
      if (v->what == VoidRecord::What::kFile) o.file_void[static_cast<uint32_t>(v->id)] = number;
    }
  });
  return o;
}

uint64_t void_before(const std::map<uint32_t, uint64_t>& voids, uint32_t id) {
  const auto found = voids.find(id);
  return found == voids.end() ? 0 : found->second;
}

class Resumer {
 public:
  Resumer(const Plan& plan, const WorkFolder& folder, Journal& journal, Ledger& ledger, const std::atomic<bool>& stop)
      : plan_(plan), folder_(folder), journal_(journal), ledger_(ledger), stop_(stop), overview_(read_overview(journal)) {
    feeds_.resize(plan.files.size());
    for (const PlannedTensor& t : plan.tensors) {
      plan.add_shards_of(t, feeds_[t.file]);
    }
  }

  Resumed run() {
    if (!overview_.plan) {
      start_journal();
      return {};
    }
    check_plan();
    if (overview_.finish) {
      check_finish(*overview_.finish);
      return {true, false, overview_.finish};
    }
    note_shards();
    open_parts();
    replay();
    journal_.sync();
    return {true, stop_, std::nullopt};
  }

 private:
  void start_journal() {
    if (journal_.records() > 0) {
      throw Error(Exit::kCannotCreate, printable(folder_.journal().string(), 4096) + ": does not begin with a plan",
                  "--restart discards the interrupted run");
    }
    // Part files without a journal may hold anything, a longer file's end or bytes in the padding: none is kept.
    for (const PlannedFile& file : plan_.files) fs::remove(folder_.part(file.name));
    journal_.append(PlanRecord{kJournalVersion, plan_.digest, plan_.digest_parts});
    note_shards();
    journal_.sync();
  }

  void check_plan() const {
    const PlanRecord& old = *overview_.plan;
    if (old.version == kJournalVersion && old.digest == plan_.digest) return;
    std::string different = "journal version";
    for (size_t i = 0; i < std::min(old.parts.size(), plan_.digest_parts.size()); ++i) {
      if (old.parts[i] == plan_.digest_parts[i]) continue;
      different = plan_.digest_parts[i].what;
      break;
    }
    throw Error(
        Exit::kCannotCreate,
        printable(folder_.path().string(), 4096) + ": an interrupted run of another plan is here: " + different + " differ",
        "--restart discards it; the earlier command resumes it");
  }

  // The files that are renamed are the plan's and the two beside them, whatever the journal says.
  void check_finish(const FinishRecord& finish) const {
    std::vector<std::string> names, expected;
    for (const FinishRecord::File& file : finish.files) names.push_back(file.name);
    for (const PlannedFile& file : plan_.files) expected.push_back(file.name);
    expected.push_back(sha256sums_file_name(plan_.stem));
    expected.push_back(manifest_file_name(plan_.stem));
    if (names == expected) return;
    throw Error(Exit::kCannotCreate,
                printable(folder_.journal().string(), 4096) + ": its FINISH record names other files than the plan",
                "--restart discards the interrupted run");
  }

  // Shards that are not what they were when rows were taken from them void those rows.
  void note_shards() {
    for (uint32_t s = 0; s < plan_.shards.size(); ++s) {
      const auto known = overview_.shard_ids.find(s);
      if (known != overview_.shard_ids.end() && known->second == plan_.shards[s].id) continue;
      if (known != overview_.shard_ids.end()) {
        overview_.shard_void[s] = journal_.records();
        journal_.append(VoidRecord{VoidRecord::What::kShard, s});
      }
      journal_.append(ShardRecord{s, plan_.shards[s].id});
    }
  }

  void open_parts() {
    for (uint32_t f = 0; f < plan_.files.size(); ++f) {
      const fs::path path = folder_.part(plan_.files[f].name);
      const bool regular = fs::is_regular_file(fs::symlink_status(path));
      if (regular && fs::file_size(path) == plan_.files[f].bytes) {
        parts_.emplace_back(OutputFile(path, OutputFile::Mode::kReopen));
        continue;
      }
      if (regular || fs::exists(fs::symlink_status(path))) fs::remove(path);
      parts_.emplace_back(std::nullopt);
      overview_.file_void[f] = journal_.records();
      journal_.append(VoidRecord{VoidRecord::What::kFile, f});
    }
  }

  // Whether a FILE_HASH record still stands: nothing that went into the file was taken back after it.
  bool stands(const FileHashRecord& record, uint64_t number) const {
    if (record.file >= plan_.files.size() || number < void_before(overview_.file_void, record.file)) return false;
    if (record.tensor_hashes.size() != plan_.files[record.file].n_tensors) return false;
    return std::ranges::none_of(feeds_[record.file],
                                [&](uint32_t shard) { return number < void_before(overview_.shard_void, shard); });
  }

  bool stands(const RowsRecord& record, uint64_t number) const {
    if (record.tensor >= plan_.tensors.size() || record.shard >= plan_.shards.size()) return false;
    const PlannedTensor& t = plan_.tensors[record.tensor];
    if (record.rows == 0 || record.first_row > t.rows() || record.rows > t.rows() - record.first_row) return false;
    return number >= void_before(overview_.file_void, t.file) && number >= void_before(overview_.shard_void, record.shard) &&
           !overview_.void_records.contains(number);
  }

  bool intact(const RowsRecord& record) {
    const PlannedTensor& t = plan_.tensors[record.tensor];
    buffer_.resize(record.rows * t.row_bytes());
    parts_[t.file]->read_exact(t.extent.file_offset + record.first_row * t.row_bytes(), buffer_);
    return xxh128(buffer_) == record.hash;
  }

  // Whether a hashed part file still has the bytes that were hashed. Where it has not, its rows are looked at one by one.
  bool unchanged(const FileHashRecord& record) {
    const OutputFile& part = *parts_[record.file];
    const uint64_t bytes = plan_.files[record.file].bytes;
    Sha256Stream hash;
    for (uint64_t offset = 0; offset < bytes && !stop_; offset += buffer_.size()) {
      buffer_.resize(std::min(kReadBytes, bytes - offset));
      part.read_exact(offset, buffer_);
      part.drop_cache({offset, buffer_.size()});
      hash.update(buffer_);
    }
    return !stop_ && hash.finish() == record.sha256;
  }

  void find_hashed_files() {
    journal_.replay([&](uint64_t number, const JournalRecord& record) {
      const auto* file = std::get_if<FileHashRecord>(&record);
      if (file != nullptr && stands(*file, number)) hashed_files_.insert_or_assign(file->file, *file);
    });
    std::erase_if(hashed_files_, [&](const auto& entry) { return !unchanged(entry.second); });
  }

  void replay() {
    find_hashed_files();
    std::vector<VoidRecord> damaged;
    journal_.replay([&](uint64_t number, const JournalRecord& record) {
      if (stop_) return;
      if (const auto* rows = std::get_if<RowsRecord>(&record); rows != nullptr && stands(*rows, number)) {
        // Rows of hashed files were just read as part of the whole; those of files in flight are read now: silent damage is
        // found.
        if (hashed_files_.contains(plan_.tensors[rows->tensor].file) || intact(*rows)) {
          ledger_.add(*rows);
        } else {
          damaged.push_back({VoidRecord::What::kRecord, number});
        }
      } else if (const auto* shard = std::get_if<ShardHashRecord>(&record)) {
        if (shard->shard < plan_.shards.size() && number >= void_before(overview_.shard_void, shard->shard)) ledger_.add(*shard);
      }
    });
    for (const VoidRecord& v : damaged) journal_.append(v);
    for (auto& [f, record] : hashed_files_) ledger_.add(std::move(record));
  }

  const Plan& plan_;
  const WorkFolder& folder_;
  Journal& journal_;
  Ledger& ledger_;
  const std::atomic<bool>& stop_;
  Overview overview_;
  std::vector<std::set<uint32_t>> feeds_;  // shards that feed a file
  std::vector<std::optional<OutputFile>> parts_;
  std::map<uint32_t, FileHashRecord> hashed_files_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Resumed resume(const Plan& plan, const WorkFolder& folder, Journal& journal, Ledger& ledger, const std::atomic<bool>& stop) {
  return Resumer(plan, folder, journal, ledger, stop).run();
}

}  // namespace ggufmill
