// The relative RMSE that a sound tensor of each type stays below.
#pragma once

#include "formats/ggml_type.h"

namespace ggufmill {

// 0 for types whose values must be the source's, rounded once (F32, F16, BF16); else twice what our encoder leaves on
// heavy-tailed weights (Codec::largest_error), 0.95 at most: a tensor beyond that, whoever encoded it, was not encoded badly but
// wrongly: other rows, another scale, a transpose. `type` has a codec.
double largest_relative_rmse(GgmlType type);

}  // namespace ggufmill
