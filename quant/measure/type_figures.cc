#include "quant/measure/type_figures.h"

#include <algorithm>
#include <cmath>
#include <ctime>

namespace ggufmill {
namespace {

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

template <class Run>
double seconds_of(Run run) {
  const double start = thread_seconds();
  run();
  return thread_seconds() - start;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// The blocks of all sets by one side, and what they decode to.
class Side {
 public:
  Side(const Codec& codec, std::span<const DataSet> sets, const MeasureOptions& options)
      : codec_(codec), sets_(sets), options_(options), blocks_(sets.size()), decoded_(sets.size()) {
    for (size_t s = 0; s < sets.size(); ++s) {
      blocks_[s].resize(sets[s].values.size() / type().block_elems * type().block_bytes);
      decoded_[s].resize(sets[s].values.size());
      weights_ += static_cast<double>(sets[s].values.size());
    }
  }

  const GgmlTypeInfo& type() const { return info(codec_.type); }
  double weights() const { return weights_; }
  float tensor_scale() const { return codec_.scaled ? options_.tensor_scale : 1.0f; }

  void encode(bool with_importance) {
    for (size_t s = 0; s < sets_.size(); ++s) {
      const size_t row_bytes = sets_[s].columns / type().block_elems * type().block_bytes;
      for (size_t r = 0; r < sets_[s].rows(); ++r) {
        RowContext context = sets_[s].context(r, with_importance, options_.effort, options_.objective);
        context.tensor_scale = scale_ = tensor_scale();
        codec_.encode(sets_[s].row(r), context, std::span(blocks_[s]).subspan(r * row_bytes, row_bytes));
      }
    }
  }
  void encode_by_peer(bool with_importance) {
    scale_ = 1;
    for (size_t s = 0; s < sets_.size(); ++s) {
      const std::span<const float> importance =
          with_importance ? std::span<const float>(sets_[s].importance) : std::span<const float>();
      options_.peer->encode(codec_.type, sets_[s].values, sets_[s].columns, importance, blocks_[s]);
    }
  }
  void decode() {
    for (size_t s = 0; s < sets_.size(); ++s) codec_.decode(blocks_[s], decoded_[s]);
  }
  void decode_by_peer() {
    for (size_t s = 0; s < sets_.size(); ++s) options_.peer->decode(codec_.type, blocks_[s], decoded_[s]);
  }

  // Decodes by our codec.
  double error(bool with_importance) {
    decode();
    double error = 0, value = 0;
    for (size_t s = 0; s < sets_.size(); ++s) {
      for (size_t i = 0; i < decoded_[s].size(); ++i) {
        const double w = with_importance ? sets_[s].importance[i % sets_[s].columns] : 1.0;
        const double x = sets_[s].values[i], off = scale_ * decoded_[s][i] - x;
        error += w * off * off;
        value += w * x * x;
      }
    }
    return value > 0 ? std::sqrt(error / value) : 0;
  }

 private:
  const Codec& codec_;
  std::span<const DataSet> sets_;
  const MeasureOptions& options_;
  std::vector<std::vector<std::byte>> blocks_;
  std::vector<std::vector<float>> decoded_;
  double weights_ = 0;
  float scale_ = 1;  // what multiplies the decoded blocks
};

EncodeFigures measure_encode(Side& ours, Side* theirs, bool with_importance, int rounds) {
  EncodeFigures figures;
  ours.encode(with_importance);
  figures.error = ours.error(with_importance);
  if (theirs != nullptr) {
    theirs->encode_by_peer(with_importance);
    figures.peer_error = theirs->error(with_importance);
  }
  std::vector<double> own_seconds, ratios;
  for (int round = 0; round < rounds; ++round) {
    own_seconds.push_back(seconds_of([&] { ours.encode(with_importance); }));
    if (theirs == nullptr) continue;
    ratios.push_back(seconds_of([&] { theirs->encode_by_peer(with_importance); }) / own_seconds.back());
  }
  if (rounds > 0) figures.weights_per_second = ours.weights() / median(own_seconds);
  figures.speed_ratio = median(ratios);
  return figures;
}

}  // namespace

TypeFigures measure_type(const Codec& codec, std::span<const DataSet> sets, const MeasureOptions& options) {
  TypeFigures figures;
  Side ours(codec, sets, options), theirs(codec, sets, options);
  const auto peer = [&](bool with_importance) {
    return options.peer != nullptr && options.peer->encodes(codec.type, with_importance) ? &theirs : nullptr;
  };
  figures.flat = measure_encode(ours, peer(false), false, options.rounds);
  figures.weighted = measure_encode(ours, peer(true), true, options.rounds);
  const bool peer_decodes = options.peer != nullptr && options.peer->decodes(codec.type);
  std::vector<double> own_seconds, peer_seconds;
  for (int round = 0; round < options.rounds; ++round) {
    own_seconds.push_back(seconds_of([&] { ours.decode(); }));
    if (peer_decodes) peer_seconds.push_back(seconds_of([&] { ours.decode_by_peer(); }));
  }
  if (!own_seconds.empty()) figures.decode_per_second = ours.weights() / median(own_seconds);
  if (!peer_seconds.empty()) figures.peer_decode_per_second = ours.weights() / median(peer_seconds);
  return figures;
}

}  // namespace ggufmill
