// NVFP4 tensors and their `.scale`: one F32 per matrix that every decoded value is multiplied with. The format's block scales are
// E4M3, whose full precision spans 2^-6 .. 448: without a factor in front, the blocks of usual weights (a few hundredths) land
// below that. llama.cpp reads a `.scale` for some tensors only (create_tensor calls with "scale" in llama-model.cpp, b10573).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/plan.h"
#include "formats/finding.h"

namespace ggufmill {

// What a tensor that is encoded to NVFP4 gets: blocks whose largest value lies in 0.0004 .. 10.5 keep full precision. A constant,
// so that no tensor is read twice; between powers of two NVFP4's error does not depend on it.
inline constexpr float kNvfp4Scale = 0x1p-8f;

// Whether llama.cpp reads "<stem>.scale" for "<stem>.weight".
bool takes_scale(std::string_view tensor_name);

// Whether scales need not be written: all are 1, or there are none.
bool is_near_one(std::span<const float> scales);

// Sets PlannedTensor::scale of every tensor that is encoded to NVFP4 and takes one and puts its `.scale` tensor behind it; a
// finding where some take none. A tensor of repacked blocks gets the source's scales, one per matrix, as `.scale` and those of
// its activations as `.input_scale`, each left out where all are 1. Throws kBadInput for a scale of activations that is no scale.
void add_scale_tensors(std::span<const Weight> weights, std::vector<PlannedTensor>& tensors, std::vector<Finding>& findings);

}  // namespace ggufmill
