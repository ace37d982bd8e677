// The relative RMSE that a sound tensor of each type stays below.
#pragma once

#include "formats/ggml_type.h"

namespace ggufmill {

// 0 for types whose values must be the source's, rounded once (F32, F16, BF16). `type` has a codec.
double largest_relative_rmse(GgmlType type);

}  // namespace ggufmill
