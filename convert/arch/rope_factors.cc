#include "convert/arch/rope_factors.h"

#include <cmath>
#include <numbers>
#include <string>

#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

struct Stretch {
  float factor, low, high, old_length;
  // Everything in f32 and in the converter's order (torch divides by multiplying with the reciprocal), for its bits.
  float of(float frequency) const {
    const float wave = 1.0f / frequency * static_cast<float>(2 * std::numbers::pi);
    if (wave < old_length / high) return 1;
    if (wave > old_length / low) return factor;
    const float smooth = (1.0f / wave * old_length - low) / (high - low);
    return 1.0f / ((1.0f - smooth) / factor + smooth);
  }
};

Stretch read_stretch(const Config& config, const std::string& rope) {
  const auto positive = [&](const std::string& name) {
    const std::string field = rope + "." + name;
    const double value = config.number({field});
    if (!(value > 0)) throw config.bad_field(field, "found " + std::to_string(value) + ", expected more than 0");
    return static_cast<float>(value);
  };
  const Stretch stretch = {.factor = positive("factor"),
                           .low = positive("low_freq_factor"),
                           .high = positive("high_freq_factor"),
                           .old_length = positive("original_max_position_embeddings")};
  if (!(stretch.high > stretch.low)) throw config.bad_field(rope + ".high_freq_factor", "is not above low_freq_factor");
  return stretch;
}

}  // namespace

std::vector<ModelTensor> rope_freqs(const Config& config, uint64_t head_dim, double rope_theta) {
  const std::string rope = rope_object(config);
  if (rope_type(config, rope) != "llama3") return {};
  const Stretch stretch = read_stretch(config, rope);
  ModelTensor tensor;
  tensor.name = "rope_freqs.weight";
  tensor.ne = {head_dim / 2};
  for (uint64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    tensor.values.push_back(stretch.of(1.0f / static_cast<float>(std::pow(rope_theta, static_cast<double>(exponent)))));
  }
  return {std::move(tensor)};
}

}  // namespace ggufmill
