// Importance of a weight tensor's columns, ready for the encoders, read from an imatrix when a tile needs them.
//
// Per matrix (expert) the weight of a column is (n x data + k x layer_mean) / (n + k), where data is the expert's mean squared
// activation over the n tokens it saw and layer_mean that over all tokens of all experts of the tensor. An expert that saw no
// token gets the layer's mean, a rare one mostly that, and a busy one its own data. A layer mean of zero everywhere is flat.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "formats/imatrix.h"

namespace ggufmill {

// k: how many tokens' worth of layer mean every expert's data is mixed with. 32 tokens are far too few to tell columns apart
// and far fewer than a used expert sees in a usual calibration run (Ultra: 22 of 512 experts a token, 0.5 M tokens: 20,000).
inline constexpr double kImportancePriorTokens = 32;

class Importance {
 public:
  explicit Importance(const Imatrix& imatrix) : imatrix_(imatrix) {}

  // Fills `weights` (entry.n_in values) for matrix `mat`. Thread-safe. Throws kBadInput for NaN, Inf or negative data.
  void weights(const ImatrixEntry& entry, uint64_t mat, std::span<float> weights);

 private:
  struct LayerMean {
    const ImatrixEntry* entry;
    std::vector<double> mean;
  };
  // The last few tensors' means: experts of one tensor come in a row, and a mean reads all its experts.
  static constexpr size_t kKeptMeans = 8;
  std::vector<double> layer_mean(const ImatrixEntry& entry);

  const Imatrix& imatrix_;
  std::mutex mutex_;
  std::list<LayerMean> means_;
};

}  // namespace ggufmill
