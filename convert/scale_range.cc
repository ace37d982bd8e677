#include "convert/scale_range.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "convert/weight_rows.h"
#include "formats/error.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

constexpr uint64_t kPieceBytes = 4 << 20;  // read at once

bool is_scale(float value) { return value >= 0 && !std::isinf(value); }

void widen(std::span<const float> scales, std::optional<ScaleRange>& range) {
  for (const float scale : scales) {
    if (!is_scale(scale)) continue;
    if (!range) range = {scale, scale};
    range->least = std::min(range->least, scale);
    range->most = std::max(range->most, scale);
  }
}

class GroupReader {
 public:
  GroupReader(std::span<const Shard> shards, std::vector<Finding>& findings)
      : shards_(shards), findings_(findings), files_(shards.size()) {}

  std::optional<ScaleRange> range(const Weight& weight) {
    std::optional<ScaleRange> range;
    if (!weight.scales) return range;
    bool good = true;
    const uint64_t rows = weight.elems() / weight.columns();
    const uint64_t step = std::max<uint64_t>(1, kPieceBytes / scale_bytes(weight, 0, 1).bytes) * weight.group_rows;
    for (uint64_t first = 0; first < rows; first += step) {
      read(weight, first, std::min(step, rows - first));
      const std::optional<std::string> bad = bad_scale(weight, {first, {}, bytes_});
      if (bad && good) findings_.push_back({Severity::kError, shards_[weight.scales->shard].name, weight.scales->name, *bad});
      good = good && !bad;
      widen(values_, range);
    }
    return range;
  }

 private:
  void read(const Weight& weight, uint64_t first, uint64_t rows) {
    std::optional<InputFile>& file = files_[weight.scales->shard];
    const Shard& shard = shards_[weight.scales->shard];
    if (!file) file.emplace(shard.path);
    if (file->id() != shard.id) throw Error(Exit::kBadInput, printable(shard.name) + ": changed while it was read");
    const Extent extent = scale_bytes(weight, first, rows);
    bytes_.resize(extent.bytes);
    file->read_exact(extent.file_offset, bytes_);
    values_.resize(extent.bytes / info(weight.scales->dtype).bytes);
    decode_scales(*scales_of(weight.scales->dtype), bytes_, values_);
  }

  std::span<const Shard> shards_;
  std::vector<Finding>& findings_;
  std::vector<std::optional<InputFile>> files_;  // by shard
  std::vector<std::byte> bytes_;
  std::vector<float> values_;
};

}  // namespace

uint64_t group_scale_bytes(std::span<const Weight> weights) {
  uint64_t bytes = 0;
  for (const Weight& w : weights) bytes += w.scales ? w.scales->extent.bytes : 0;
  return bytes;
}

std::vector<WeightScales> scale_ranges(std::span<const Shard> shards, std::vector<Weight>& weights, bool groups,
                                       std::vector<Finding>& findings) {
  std::vector<uint32_t> readable;
  for (uint32_t i = 0; i < weights.size(); ++i) {
    if (weights[i].form != nullptr && weights[i].problem.empty()) readable.push_back(i);
  }
  const std::vector<Finding> bad = find_tensor_scales(shards, readable, weights);
  findings.insert(findings.end(), bad.begin(), bad.end());
  std::vector<WeightScales> out(weights.size());
  GroupReader reader(shards, findings);
  for (const uint32_t i : readable) {
    widen(weights[i].tensor_scales, out[i].tensor);
    if (groups) out[i].groups = reader.range(weights[i]);
  }
  return out;
}

}  // namespace ggufmill
