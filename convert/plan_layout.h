// From tensors in order to files: which shard a tensor stands in, its offset, and the exact header bytes of every shard.
#pragma once

#include <string>
#include <vector>

#include "convert/plan.h"
#include "formats/metadata.h"

namespace ggufmill {

// Fills plan.files and each tensor's file and extent. plan.tensors stand in their final order and plan.stem is set. Throws kUsage
// where the wanted shards would be more than kMaxShards.
void lay_out(Plan& plan, const Metadata& metadata, const SplitOptions& split);

}  // namespace ggufmill
