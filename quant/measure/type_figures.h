// What one type's codec is worth on given rows, beside ggml's: errors and speeds, measured in turns on one thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "quant/codecs.h"
#include "quant/measure/data_sets.h"
#include "quant/measure/ggml_peer.h"

namespace ggufmill {

struct MeasureOptions {
  const GgmlPeer* peer = nullptr;  // nullptr: ours alone
  Effort effort = Effort::kDefault;
  Objective objective = Objective::kImportance;
  float tensor_scale = 1;  // of types that have one; the peer knows none
  int rounds = 5;          // runs of each side, in turns; 0 measures errors alone
};

// One way of encoding: flat (no importance) or with importance.
struct EncodeFigures {
  double error = 0;       // sqrt(sum w (decoded - x)^2 / sum w x^2); w = importance where it was given, else 1
  double peer_error = 0;  // 0: no peer
  double weights_per_second = 0;
  double speed_ratio = 0;  // median of the rounds' ratios
  double error_ratio() const { return peer_error > 0 ? error / peer_error : 0; }
};

struct TypeFigures {
  EncodeFigures flat, weighted;
  double decode_per_second = 0;
  double peer_decode_per_second = 0;
};

// All sets together count as one; `sets` is not empty, and the type's blocks divide their rows. Times are this thread's CPU time.
TypeFigures measure_type(const Codec& codec, std::span<const DataSet> sets, const MeasureOptions& options);

}  // namespace ggufmill
