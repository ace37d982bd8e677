#include "convert/hash_cursors.h"

#include <algorithm>
#include <utility>

namespace ggufmill {
namespace {

constexpr uint64_t kReadBytes = 4 << 20;
// Dirty pages are not dropped by DONTNEED: dropping lags by what a commit makes clean.
constexpr uint64_t kDropLag = 256 << 20;

// Reads a file from its start once, into its SHA-256.
class PrefixReader {
 public:
  PrefixReader(const OutputFile& file, const Ledger& ledger, const std::atomic<bool>& stop)
      : file_(file), ledger_(ledger), stop_(stop), buffer_(kReadBytes) {}

  // The next bytes up to `end`, each part also into `part_hash` where there is one. False where the run is to end.
  bool read_to(uint64_t end, Xxh128Stream* part_hash) {
    while (offset_ < end) {
      if (stop_ || ledger_.cancelled()) return false;
      const auto part = std::span(buffer_).first(std::min(kReadBytes, end - offset_));
      file_.start_writeback({offset_, part.size()});
      file_.read_exact(offset_, part);
      sha256_.update(part);
      if (part_hash != nullptr) part_hash->update(part);
      offset_ += part.size();
      if (offset_ > dropped_ + 2 * kDropLag) {
        file_.drop_cache({dropped_, kDropLag});
        dropped_ += kDropLag;
      }
    }
    return true;
  }
  Sha256 finish() {
    file_.drop_cache({dropped_, offset_ - dropped_});
    return sha256_.finish();
  }

 private:
  const OutputFile& file_;
  const Ledger& ledger_;
  const std::atomic<bool>& stop_;
  std::vector<std::byte> buffer_;
  Sha256Stream sha256_;
  uint64_t offset_ = 0, dropped_ = 0;
};

}  // namespace

HashCursors::HashCursors(const Plan& plan, Ledger& ledger, std::vector<OutputFile>& parts, unsigned threads,
                         const std::atomic<bool>& stop, std::function<void(FileHashRecord)> hashed)
    : plan_(plan), ledger_(ledger), parts_(parts), stop_(stop), hashed_(std::move(hashed)) {
  const size_t n = std::min<size_t>(std::max(1u, threads), plan.files.size());
  try {
    for (size_t i = 0; i < n; ++i) threads_.emplace_back([this] { run(); });
  } catch (...) {
    end_early();  // the system has no more threads: those that run must not outlive this object
    throw;
  }
}

HashCursors::~HashCursors() { end_early(); }

void HashCursors::join() noexcept {
  for (std::thread& t : threads_) t.join();
  threads_.clear();
}

void HashCursors::end_early() noexcept {
  if (threads_.empty()) return;
  ledger_.cancel();
  join();
}

void HashCursors::finish() {
  join();
  if (failure_) std::rethrow_exception(failure_);
}

void HashCursors::run() {
  try {
    for (uint32_t file; (file = next_file_++) < plan_.files.size();) {
      if (!ledger_.file_hash(file) && !hash_file(file)) return;
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    ledger_.cancel();
  }
}

// False when the run is to end.
bool HashCursors::hash_file(uint32_t file) {
  const PlannedFile& planned = plan_.files[file];
  PrefixReader reader(parts_[file], ledger_, stop_);
  FileHashRecord record;
  record.file = file;
  Xxh128Stream part;
  if (!reader.read_to(planned.header.size(), &part)) return false;
  record.header_hash = part.finish();
  for (uint32_t i = planned.first_tensor; i < planned.first_tensor + planned.n_tensors; ++i) {
    const PlannedTensor& t = plan_.tensors[i];
    if (!reader.read_to(t.extent.file_offset, nullptr)) return false;  // padding
    part.reset();
    for (uint64_t rows = 0; rows < t.rows();) {
      rows = ledger_.wait_for_prefix(i, rows);
      if (rows == 0 || !reader.read_to(t.extent.file_offset + rows * t.row_bytes(), &part)) return false;
    }
    record.tensor_hashes.push_back(part.finish());
  }
  if (!reader.read_to(planned.bytes, nullptr)) return false;
  record.sha256 = reader.finish();
  ledger_.add(record);
  hashed_(std::move(record));
  return true;
}

}  // namespace ggufmill
