#include "convert/estimate.h"

#include <chrono>
#include <map>
#include <random>
#include <tuple>
#include <vector>

#include "quant/codecs.h"

namespace ggufmill {
namespace {

constexpr size_t kSampleElems = 32768;

double seconds_per_weight(const Codec& codec, const std::vector<float>& sample, bool with_importance, Effort effort,
                          Objective objective) {
  const std::vector<float> importance(with_importance ? sample.size() : 0, 1.0f);
  std::vector<std::byte> blocks(*tensor_bytes(codec.type, sample.size(), 1));
  codec.encode(std::span(sample).first(info(codec.type).block_elems), {},
               std::span(blocks).first(info(codec.type).block_bytes));  // tables
  const auto start = std::chrono::steady_clock::now();
  codec.encode(sample, {.importance = importance, .effort = effort, .objective = objective}, blocks);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(sample.size());
}

}  // namespace

double estimate_encode_seconds(const Plan& plan) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> sample(kSampleElems);
  for (float& v : sample) v = normal(random);
  std::map<std::tuple<GgmlType, bool, Effort, Objective>, double> cost;
  double seconds = 0;
  for (const PlannedTensor& t : plan.tensors) {
    const auto [entry, fresh] = cost.try_emplace({t.type, t.importance != nullptr, t.effort, t.objective}, 0.0);
    if (fresh) entry->second = seconds_per_weight(*find_codec(t.type), sample, t.importance != nullptr, t.effort, t.objective);
    seconds += entry->second * static_cast<double>(t.elems());
  }
  return seconds;
}

}  // namespace ggufmill
