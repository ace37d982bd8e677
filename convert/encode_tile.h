// The parallel step: one tile of source bytes becomes encoded rows and a record of what they are.
#pragma once

#include "convert/importance.h"
#include "convert/journal.h"
#include "convert/plan.h"
#include "convert/tiles.h"

namespace ggufmill {

struct EncodedTile {
  RowsRecord record;
  double encode_cpu_seconds = 0;  // this thread's time inside the codec's encode function
};

// Fills tile.blocks from tile.raw. `importance` is nullptr without an imatrix. Throws kBadInput naming the tensor for NaN and Inf
// in a tensor that is quantized, and for values that F16 cannot hold, unless `allow_nonfinite`.
EncodedTile encode_tile(const Plan& plan, Tile& tile, Importance* importance, bool allow_nonfinite);

}  // namespace ggufmill
