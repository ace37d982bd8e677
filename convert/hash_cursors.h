// Behind the writers each output file has a hash cursor: it reads back the finished prefix, mostly from the page cache, into the
// file's SHA-256, the header's and each tensor's XXH3-128, and drops the page cache behind it. A few files are followed at once.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "convert/ledger.h"
#include "convert/plan.h"
#include "formats/file.h"

namespace ggufmill {

class HashCursors {
 public:
  // Starts `threads` threads; `hashed` is called from them for every file whose hash is not in the ledger yet. They end early,
  // within one read, once `stop` is set or the ledger is cancelled; what goes wrong in one of them cancels the ledger.
  HashCursors(const Plan& plan, Ledger& ledger, std::vector<OutputFile>& parts, unsigned threads, const std::atomic<bool>& stop,
              std::function<void(FileHashRecord)> hashed);
  HashCursors(const HashCursors&) = delete;
  HashCursors& operator=(const HashCursors&) = delete;
  ~HashCursors();             // as end_early()
  void finish();              // waits until all files are hashed; throws what went wrong
  void end_early() noexcept;  // cancels the ledger and waits for the threads: `hashed` is not called any more

 private:
  void join() noexcept;
  void run();
  bool hash_file(uint32_t file);

  const Plan& plan_;
  Ledger& ledger_;
  std::vector<OutputFile>& parts_;
  const std::atomic<bool>& stop_;
  std::function<void(FileHashRecord)> hashed_;
  std::atomic<uint32_t> next_file_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace ggufmill
