// llama.cpp's split rules: names stem-00001-of-0000N.gguf; every shard has split.no (u16, from 0), split.count (u16) and
// split.tensors.count (i32, of the whole set); only the first one has the model's metadata.
#include "convert/plan_layout.h"

#include <algorithm>
#include <cassert>
#include <span>

#include "formats/error.h"

namespace ggufmill {
namespace {

using Run = std::span<PlannedTensor>;

uint64_t padded(uint64_t bytes) { return (bytes + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment; }

// Bytes of a tensor's entry in a header: name, dims, type, offset.
uint64_t entry_bytes(const PlannedTensor& t) { return 8 + t.name.size() + 4 + 8 * t.ne.size() + 4 + 8; }

Metadata shard_metadata(const Metadata& whole, size_t shard, size_t shards, size_t tensors) {
  Metadata out;
  if (shard == 0) out = whole;
  if (shards > 1) {
    out.set("split.no", static_cast<uint16_t>(shard));
    out.set("split.count", static_cast<uint16_t>(shards));
    out.set("split.tensors.count", static_cast<int32_t>(tensors));
  }
  return out;
}

// Cuts before every tensor that would make a shard larger than max_bytes; one that is larger alone gets a shard of its own.
std::vector<size_t> cut_by_bytes(const Plan& plan, uint64_t first_header, uint64_t max_bytes) {
  const uint64_t other_header = gguf_header_bytes(shard_metadata({}, 1, 2, 1), {}).size();
  std::vector<size_t> starts = {0};
  uint64_t header = first_header, data = 0;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const uint64_t entry = entry_bytes(plan.tensors[i]), bytes = padded(plan.tensors[i].extent.bytes);
    if (i > starts.back() && padded(header + entry) + data + bytes > max_bytes) {
      starts.push_back(i);
      header = other_header;
      data = 0;
    }
    header += entry;
    data += bytes;
  }
  return starts;
}

std::vector<size_t> cut_by_tensors(size_t tensors, uint64_t max_tensors) {
  std::vector<size_t> starts = {0};
  for (size_t i = max_tensors; i < tensors; i += max_tensors) starts.push_back(i);
  return starts;
}

Error too_many(const char* flag, size_t shards, const std::string& enough) {
  return Error(Exit::kUsage,
               std::string(flag) + ": " + std::to_string(shards) + " shards, but llama.cpp's readers open at most " +
                   std::to_string(kMaxShards),
               std::string(flag) + " " + enough + " is enough");
}

std::vector<size_t> cut(const Plan& plan, uint64_t first_header, const SplitOptions& split) {
  uint64_t total = first_header, largest = 0;
  for (const PlannedTensor& t : plan.tensors) {
    total += entry_bytes(t) + padded(t.extent.bytes);
    largest = std::max(largest, padded(t.extent.bytes));
  }
  switch (split.mode) {
    case SplitOptions::Mode::kNone:
      return {0};
    case SplitOptions::Mode::kTensors: {
      std::vector<size_t> starts = cut_by_tensors(plan.tensors.size(), split.max_tensors);
      const uint64_t enough = (plan.tensors.size() + kMaxShards - 1) / kMaxShards;
      if (starts.size() > kMaxShards) throw too_many("--split-max-tensors", starts.size(), std::to_string(enough));
      return starts;
    }
    case SplitOptions::Mode::kSize: {
      std::vector<size_t> starts = cut_by_bytes(plan, first_header, split.max_bytes);
      if (starts.size() > kMaxShards)
        throw too_many("--split-max-size", starts.size(), std::to_string(total / kMaxShards + largest));
      return starts;
    }
    case SplitOptions::Mode::kDefault:
      break;
  }
  if (total <= kDefaultSplitBytes) return {0};
  uint64_t size = kDefaultSplitBytes;
  std::vector<size_t> starts = cut_by_bytes(plan, first_header, size);
  for (; starts.size() > kMaxShards; starts = cut_by_bytes(plan, first_header, size)) size += size / 4;
  return starts;
}

std::vector<GgufTensor> header_entries(Run run) {
  std::vector<GgufTensor> entries;
  uint64_t offset = 0;
  for (const PlannedTensor& t : run) {
    entries.push_back({t.name, t.type, t.ne, {offset, t.extent.bytes}});
    offset += padded(t.extent.bytes);
  }
  return entries;
}

}  // namespace

void lay_out(Plan& plan, const Metadata& metadata, const SplitOptions& split) {
  for (PlannedTensor& t : plan.tensors) t.extent = {0, *tensor_bytes(t.type, t.row_elems(), t.rows())};
  const uint64_t first_header = gguf_header_bytes(shard_metadata(metadata, 0, 2, plan.tensors.size()), {}).size();
  std::vector<size_t> starts = cut(plan, first_header, split);
  const size_t shards = starts.size();
  starts.push_back(plan.tensors.size());
  plan.files.clear();
  for (size_t s = 0; s < shards; ++s) {
    const Run run = std::span(plan.tensors).subspan(starts[s], starts[s + 1] - starts[s]);
    PlannedFile file;
    file.name = shards == 1 ? plan.stem + ".gguf"
                            : split_file_name(plan.stem, static_cast<uint32_t>(s + 1), static_cast<uint32_t>(shards));
    file.header = gguf_header_bytes(shard_metadata(metadata, s, shards, plan.tensors.size()), header_entries(run));
    file.first_tensor = static_cast<uint32_t>(starts[s]);
    file.n_tensors = static_cast<uint32_t>(run.size());
    file.bytes = file.header.size();
    for (PlannedTensor& t : run) {
      t.file = static_cast<uint32_t>(s);
      t.extent.file_offset = file.bytes;
      file.bytes += padded(t.extent.bytes);
    }
    plan.files.push_back(std::move(file));
  }
}

}  // namespace ggufmill
