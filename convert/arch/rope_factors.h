// rope_type llama3: a model trained on short texts has its rope stretched for long ones, frequency by frequency. llama.cpp knows
// it as a tensor of factors:
//   rope_freqs.weight  F32 [head_dim / 2]: what frequency i = theta^(-2i / head_dim) is divided by
//   waves shorter than old_length / high_freq_factor  1
//   waves longer than old_length / low_freq_factor    factor
//   between                                           1 / ((1 - s) / factor + s), s = (old_length / wave - low) / (high - low)
//
// Source: llama.cpp b10573, conversion/llama.py, generate_extra_tensors.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/arch/config.h"
#include "convert/model.h"

namespace ggufmill {

// None unless rope_type is llama3. kBadInput for factors that make no sense.
std::vector<ModelTensor> rope_freqs(const Config& config, uint64_t head_dim, double rope_theta);

}  // namespace ggufmill
