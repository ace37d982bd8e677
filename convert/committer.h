// The committer: one thread that makes finished tiles durable and then says so in the journal. It snapshots the finished records,
// fdatasyncs the part files they stand in, appends the records, fdatasyncs the journal.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "convert/journal.h"
#include "convert/plan.h"
#include "formats/file.h"

namespace ggufmill {

class Committer {
 public:
  // A commit happens once a second has passed and 64 MiB are waiting, and after 5 s whatever waits: what a kill can cost.
  static constexpr std::chrono::milliseconds kMinInterval{1000};
  static constexpr std::chrono::milliseconds kMaxInterval{5000};
  static constexpr uint64_t kCommitBytes = 64 << 20;

  // `tick` is called about ten times a second from the committer's thread. `parts` has one open file per plan.files.
  Committer(const Plan& plan, Journal& journal, std::vector<OutputFile>& parts, std::function<void()> tick);
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;
  ~Committer();  // stops without a commit

  // Rows whose bytes were written. Throws what an earlier commit failed with. Thread-safe, like all of these.
  void add(RowsRecord record);
  void add(ShardHashRecord record);
  void add(FileHashRecord record);
  // Throws what an earlier commit failed with, so that a run ends soon after it.
  void check();
  // Commits everything that waits and stops the thread; throws what went wrong. Nobody adds any more.
  void finish();

 private:
  struct Waiting {
    std::vector<JournalRecord> records;
    std::vector<bool> dirty;  // per part file
    uint64_t bytes = 0;
  };
  void run();
  void commit(Waiting waiting);
  void push(JournalRecord record, uint32_t file, uint64_t bytes);
  void stop();

  const Plan& plan_;
  Journal& journal_;
  std::vector<OutputFile>& parts_;
  std::function<void()> tick_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Waiting waiting_;
  std::exception_ptr failure_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ggufmill
