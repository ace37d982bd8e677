// What of a plan is done: rows of every tensor, hashes of shards and files, error sums. Filled from the journal at the start and
// by the workers as tiles finish; read by the tile schedule, the hash cursors and the manifest. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "convert/journal.h"
#include "convert/plan.h"

namespace ggufmill {

struct RowRange {
  uint64_t first = 0, rows = 0;
  uint64_t end() const { return first + rows; }
};

// Error figures of a tensor; the same whatever order its rows came in.
struct TensorStats {
  ExactSum squared_error, squared_value;
  std::optional<WorstBlock> worst;
  uint64_t coarse_blocks = 0;
  uint64_t nan_count = 0, inf_count = 0;
  double relative_rmse() const;  // sqrt(sum d^2 / sum x^2), 0 where nothing was lost
};

class Ledger {
 public:
  explicit Ledger(const Plan& plan);

  // Marks rows as done. True if they complete the tensor. Rows must not be done already.
  bool add(const RowsRecord& record);
  void add(const ShardHashRecord& record);
  void add(FileHashRecord record);

  // What is not done of rows [first, first + rows) of a tensor, in order.
  std::vector<RowRange> missing(uint32_t tensor, uint64_t first, uint64_t rows) const;
  bool tensor_complete(uint32_t tensor) const;
  uint64_t done_bytes() const;  // of output rows
  std::optional<Sha256> shard_hash(uint32_t shard) const;
  std::optional<FileHashRecord> file_hash(uint32_t file) const;
  TensorStats stats(uint32_t tensor) const;

  // Blocks until more than `rows` rows from the start of `tensor` are done; answers how many are. 0 when cancelled.
  uint64_t wait_for_prefix(uint32_t tensor, uint64_t rows) const;
  void cancel();  // wakes every waiter
  bool cancelled() const;

 private:
  struct TensorState {
    std::map<uint64_t, uint64_t> done;  // first row -> end, coalesced
    TensorStats stats;
    uint64_t prefix() const { return done.empty() || done.begin()->first != 0 ? 0 : done.begin()->second; }
  };
  const Plan& plan_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<TensorState> tensors_;
  std::vector<std::optional<Sha256>> shard_hashes_;
  std::vector<std::optional<FileHashRecord>> file_hashes_;
  uint64_t done_bytes_ = 0;
  bool cancelled_ = false;
};

}  // namespace ggufmill
