#include "quant/measure/data_sets.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "formats/checkpoint.h"
#include "quant/f16.h"

namespace ggufmill {
namespace {

using Random = std::mt19937_64;

float as_bf16(double x) { return bf16_to_f32(f32_to_bf16(static_cast<float>(x))); }

std::vector<float> random_importance(size_t columns, Random& random) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<float> importance(columns);
  for (float& w : importance) w = static_cast<float>(std::exp(normal(random)) * (uniform(random) < 0.005 ? 50 : 1));
  return importance;
}

// E4M3 without infinity: the value nearest to x in 2^-9 .. 448, ties to the even mantissa.
float nearest_e4m3(float x) {
  const int exponent = std::max(-6, std::ilogb(std::max(x, 0x1p-9f)));
  const float step = std::ldexp(1.0f, exponent - 3);
  return std::clamp(std::nearbyint(x / step) * step, 0x1p-9f, 448.0f);
}

// The multiple of 0.5 nearest to |x| among those of E2M1, doubled: 0 1 2 3 4 6 8 12.
float nearest_doubled_e2m1(float x) {
  constexpr std::array<float, 8> kCodes = {0, 1, 2, 3, 4, 6, 8, 12};
  float best = 0;
  for (const float code : kCodes) {
    if (std::fabs(2 * std::fabs(x) - code) < std::fabs(2 * std::fabs(x) - best)) best = code;
  }
  return std::copysign(best, x);
}

std::vector<float> read_values(const InputFile& file, const SourceTensor& tensor, uint64_t first, size_t count) {
  const size_t bytes = info(tensor.dtype).bytes;
  std::vector<std::byte> raw(count * bytes);
  file.read_exact(tensor.extent.file_offset + first * bytes, raw);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    switch (tensor.dtype) {
      case DType::BF16:
        values[i] = bf16_to_f32(load_u16(&raw[2 * i]));
        break;
      case DType::F16:
        values[i] = load_f16(&raw[2 * i]);
        break;
      default:
        std::memcpy(&values[i], &raw[4 * i], 4);
    }
  }
  return values;
}

// What of a checkpoint is measured: all its matrices, or every n-th.
std::vector<const SourceTensor*> measurable(const Checkpoint& checkpoint, size_t max_rows) {
  std::vector<const SourceTensor*> all, chosen;
  uint64_t weights = 0;
  for (const SourceTensor& t : checkpoint.tensors()) {
    const bool floats = t.dtype == DType::BF16 || t.dtype == DType::F16 || t.dtype == DType::F32;
    if (!floats || t.shape.size() != 2 || t.shape[1] == 0 || t.shape[1] % 32 != 0 || t.shape[1] > kMaxMeasuredWeights) continue;
    all.push_back(&t);
    weights += std::min<uint64_t>(max_rows, t.shape[0]) * t.shape[1];
  }
  const uint64_t step = weights / kMaxMeasuredWeights + 1;
  for (size_t i = 0; i < all.size(); i += step) chosen.push_back(all[i]);
  return chosen;
}

}  // namespace

RowContext DataSet::context(size_t r, bool with_importance, Effort effort, Objective objective) const {
  RowContext context{.effort = effort, .objective = objective};
  if (with_importance) context.importance = importance;
  if (group_elems != 0) {
    const size_t groups = columns / group_elems;
    context.lattice = {std::span(steps).subspan(r * groups, groups), group_elems};
  }
  return context;
}

DataSet gaussian_data(size_t rows, size_t columns, uint64_t seed) {
  Random random(seed);
  std::normal_distribution<double> normal;
  DataSet data{.name = "gaussian", .columns = columns, .values = std::vector<float>(rows * columns)};
  for (float& x : data.values) x = as_bf16(0.02 * normal(random));
  data.importance = random_importance(columns, random);
  return data;
}

DataSet heavy_data(size_t rows, size_t columns, uint64_t seed) {
  Random random(seed);
  std::student_t_distribution<double> student(5);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  DataSet data{.name = "heavy", .columns = columns, .values = std::vector<float>(rows * columns)};
  data.importance = random_importance(columns, random);
  std::vector<double> size_of_column(columns);
  for (double& size : size_of_column) size = std::exp(0.3 * normal(random));
  for (size_t r = 0; r < rows; ++r) {
    const double size = 0.02 * std::exp(0.3 * normal(random)) / std::sqrt(5.0 / 3.0);
    for (size_t c = 0; c < columns; ++c) {
      const double outlier = uniform(random) < 0.0002 ? 6 : 1;
      data.values[r * columns + c] = as_bf16(size * size_of_column[c] * student(random) * outlier);
    }
  }
  return data;
}

DataSet nvfp4_data(size_t rows, size_t columns, uint64_t seed) {
  constexpr size_t kGroup = 16;
  DataSet data = heavy_data(rows, columns, seed);
  data.name = "nvfp4";
  data.group_elems = kGroup;
  float amax = 0;
  for (const float x : data.values) amax = std::max(amax, std::fabs(x));
  const float tensor_scale = amax / (6 * 448);
  for (size_t first = 0; first < data.values.size(); first += kGroup) {
    const std::span<float> group = std::span(data.values).subspan(first, kGroup);
    float largest = 0;
    for (const float x : group) largest = std::max(largest, std::fabs(x));
    const float step = nearest_e4m3(largest / 6 / tensor_scale) * tensor_scale / 2;
    for (float& x : group) x = step * nearest_doubled_e2m1(x / (2 * step));
    data.steps.push_back(step);
  }
  return data;
}

std::vector<DataSet> checkpoint_data(const std::filesystem::path& source, size_t max_rows, uint64_t seed) {
  const Checkpoint checkpoint(source);
  const std::vector<const SourceTensor*> matrices = measurable(checkpoint, max_rows);
  Random random(seed);
  std::vector<DataSet> sets;
  for (const SourceTensor* matrix : matrices) {
    const SourceTensor& tensor = *matrix;
    const InputFile file(checkpoint.shards()[tensor.shard].path);
    DataSet data{.name = tensor.name, .columns = tensor.shape[1]};
    const uint64_t rows = std::min<uint64_t>(max_rows, tensor.shape[0]);
    for (uint64_t k = 0; k < rows; ++k) {
      const uint64_t row = k * tensor.shape[0] / rows;
      const std::vector<float> values = read_values(file, tensor, row * data.columns, data.columns);
      data.values.insert(data.values.end(), values.begin(), values.end());
    }
    data.importance = random_importance(data.columns, random);
    sets.push_back(std::move(data));
  }
  return sets;
}

}  // namespace ggufmill
