// What the scales of quantized weights span, and which of them are none: for who looks at a checkpoint. Reads scales, never
// codes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "convert/weights.h"
#include "formats/checkpoint.h"
#include "formats/finding.h"

namespace ggufmill {

struct ScaleRange {
  float least = 0, most = 0;
};

struct WeightScales {
  std::optional<ScaleRange> groups;  // of those that stand for groups of values; nullopt without, or where they were not read
  std::optional<ScaleRange> tensor;  // of whole matrices: what their values are multiplied with
};

// Bytes of all scales of groups.
uint64_t group_scale_bytes(std::span<const Weight> weights);

// One entry per weight, in their order; fills the weights' tensor scales too. Weights with a problem are passed over. Scales of
// groups are read where `groups` says so. Findings: a scale that is NaN, infinite or negative, or zero for a whole matrix; each
// tensor's first. Ranges are those of the others.
std::vector<WeightScales> scale_ranges(std::span<const Shard> shards, std::vector<Weight>& weights, bool groups,
                                       std::vector<Finding>& findings);

}  // namespace ggufmill
