#include "convert/committer.h"

#include <unistd.h>

#include <utility>

namespace ggufmill {

namespace {
constexpr std::chrono::milliseconds kTick{100};
constexpr uint32_t kNoFile = UINT32_MAX;
}  // namespace

Committer::Committer(const Plan& plan, Journal& journal, std::vector<OutputFile>& parts, std::function<void()> tick)
    : plan_(plan), journal_(journal), parts_(parts), tick_(std::move(tick)) {
  waiting_.dirty.assign(parts.size(), true);  // headers were just written
  thread_ = std::thread([this] { run(); });
}

Committer::~Committer() { stop(); }

void Committer::push(JournalRecord record, uint32_t file, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  waiting_.records.push_back(std::move(record));
  if (file != kNoFile) waiting_.dirty[file] = true;
  waiting_.bytes += bytes;
}

void Committer::add(RowsRecord record) {
  const PlannedTensor& t = plan_.tensors[record.tensor];
  const uint64_t bytes = record.rows * t.row_bytes();
  push(std::move(record), t.file, bytes);
}

void Committer::add(ShardHashRecord record) { push(record, kNoFile, 0); }

void Committer::add(FileHashRecord record) {
  const uint32_t file = record.file;
  push(std::move(record), file, 0);
}

void Committer::commit(Waiting waiting) {
  for (size_t f = 0; f < parts_.size(); ++f) {
    if (!waiting.dirty[f]) continue;
    try {
      parts_[f].sync_data();
    } catch (const Error&) {
      // What the page cache says about this file is worth nothing now: it is rewritten whole by the next run.
      journal_.append(VoidRecord{VoidRecord::What::kFile, f});
      unlink(parts_[f].path().c_str());
      journal_.sync();
      throw;
    }
  }
  for (const JournalRecord& record : waiting.records) journal_.append(record);
  journal_.sync();
}

void Committer::run() {
  auto last_commit = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!stopping_ && !failure_) {
    wake_.wait_for(lock, kTick);
    const auto since = std::chrono::steady_clock::now() - last_commit;
    const bool due =
        !waiting_.records.empty() && ((since >= kMinInterval && waiting_.bytes >= kCommitBytes) || since >= kMaxInterval);
    Waiting batch;
    if (due) {
      batch = std::exchange(waiting_, Waiting{{}, std::vector<bool>(parts_.size(), false), 0});
      last_commit = std::chrono::steady_clock::now();
    }
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (due) commit(std::move(batch));
      if (tick_) tick_();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) failure_ = failure;
  }
}

void Committer::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Committer::check() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

void Committer::finish() {
  stop();
  if (failure_) std::rethrow_exception(failure_);
  commit(std::exchange(waiting_, Waiting{{}, std::vector<bool>(parts_.size(), false), 0}));
}

}  // namespace ggufmill
