#include "convert/ledger.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <iterator>
#include <tuple>

namespace ggufmill {
namespace {

bool worse(const WorstBlock& a, const WorstBlock& b) {
  return std::tuple(-a.relative_error, a.row, a.column) < std::tuple(-b.relative_error, b.row, b.column);
}

}  // namespace

double TensorStats::relative_rmse() const {
  const double error = squared_error.value();
  return error == 0 ? 0 : std::sqrt(error / squared_value.value());
}

Ledger::Ledger(const Plan& plan)
    : plan_(plan), tensors_(plan.tensors.size()), shard_hashes_(plan.shards.size()), file_hashes_(plan.files.size()) {}

bool Ledger::add(const RowsRecord& record) {
  const std::lock_guard lock(mutex_);
  TensorState& t = tensors_.at(record.tensor);
  uint64_t first = record.first_row, end = record.first_row + record.rows;
  auto next = t.done.lower_bound(first);
  assert((next == t.done.end() || next->first >= end) && "rows are done once");
  if (next != t.done.end() && next->first == end) {
    end = next->second;
    next = t.done.erase(next);
  }
  if (next != t.done.begin()) {
    const auto before = std::prev(next);
    assert(before->second <= first && "rows are done once");
    if (before->second == first) {
      first = before->first;
      t.done.erase(before);
    }
  }
  t.done[first] = end;
  t.stats.squared_error.merge(record.squared_error);
  t.stats.squared_value.merge(record.squared_value);
  if (record.worst && (!t.stats.worst || worse(*record.worst, *t.stats.worst))) t.stats.worst = record.worst;
  t.stats.coarse_blocks += record.coarse_blocks;
  t.stats.nan_count += record.nan_count;
  t.stats.inf_count += record.inf_count;
  done_bytes_ += record.rows * plan_.tensors[record.tensor].row_bytes();
  changed_.notify_all();
  return t.prefix() == plan_.tensors[record.tensor].rows();
}

void Ledger::add(const ShardHashRecord& record) {
  const std::lock_guard lock(mutex_);
  shard_hashes_.at(record.shard) = record.sha256;
}

void Ledger::add(FileHashRecord record) {
  const std::lock_guard lock(mutex_);
  const uint32_t file = record.file;
  file_hashes_.at(file) = std::move(record);
}

std::vector<RowRange> Ledger::missing(uint32_t tensor, uint64_t first, uint64_t rows) const {
  const std::lock_guard lock(mutex_);
  const auto& done = tensors_.at(tensor).done;
  std::vector<RowRange> out;
  const uint64_t end = first + rows;
  auto it = done.upper_bound(first);
  if (it != done.begin()) first = std::max(first, std::prev(it)->second);
  for (; first < end; ++it) {
    const uint64_t stop = it == done.end() ? end : std::min(end, it->first);
    if (stop > first) out.push_back({first, stop - first});
    if (it == done.end()) break;
    first = it->second;
  }
  return out;
}

bool Ledger::tensor_complete(uint32_t tensor) const {
  const std::lock_guard lock(mutex_);
  return tensors_.at(tensor).prefix() == plan_.tensors[tensor].rows();
}

uint64_t Ledger::done_bytes() const {
  const std::lock_guard lock(mutex_);
  return done_bytes_;
}

std::optional<Sha256> Ledger::shard_hash(uint32_t shard) const {
  const std::lock_guard lock(mutex_);
  return shard_hashes_.at(shard);
}

std::optional<FileHashRecord> Ledger::file_hash(uint32_t file) const {
  const std::lock_guard lock(mutex_);
  return file_hashes_.at(file);
}

TensorStats Ledger::stats(uint32_t tensor) const {
  const std::lock_guard lock(mutex_);
  return tensors_.at(tensor).stats;
}

uint64_t Ledger::wait_for_prefix(uint32_t tensor, uint64_t rows) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return cancelled_ || tensors_.at(tensor).prefix() > rows; });
  return cancelled_ ? 0 : tensors_.at(tensor).prefix();
}

void Ledger::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

bool Ledger::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

}  // namespace ggufmill
