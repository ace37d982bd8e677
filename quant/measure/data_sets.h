// The rows that encoders are measured on. The same on every machine with one standard library.
//   gaussian  N(0, 0.02)
//   heavy     Student's t with 5 degrees of freedom, rows and columns of varying size, 0.02 % of the values 6 times as large
//   nvfp4     heavy, rounded to NVFP4 with a scale per tensor: what a quantized source holds; the lattice is known
// gaussian and heavy are rounded to BF16. Importance: lognormal with sigma 1, 0.5 % of the columns 50 times as large.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "quant/row_context.h"

namespace ggufmill {

struct DataSet {
  std::string name;
  size_t columns = 0;
  std::vector<float> values = {};      // [rows, columns]
  std::vector<float> importance = {};  // [columns]
  std::vector<float> steps = {};       // [rows, columns / group_elems], empty where there is no lattice
  uint32_t group_elems = 0;

  size_t rows() const { return values.size() / columns; }
  std::span<const float> row(size_t r) const { return std::span(values).subspan(r * columns, columns); }
  // Of row r, with importance or flat.
  RowContext context(size_t r, bool with_importance, Effort effort, Objective objective) const;
};

DataSet gaussian_data(size_t rows, size_t columns, uint64_t seed);
DataSet heavy_data(size_t rows, size_t columns, uint64_t seed);
DataSet nvfp4_data(size_t rows, size_t columns, uint64_t seed);

// The matrices of a checkpoint (BF16, F16 or F32) whose rows 32 divides, each a data set named after its tensor, up to `max_rows`
// rows of each, evenly spaced. Of a large model only every n-th matrix, so that no more than kMaxMeasuredWeights values are held.
// Importance is as above. Throws Error as Checkpoint does.
inline constexpr uint64_t kMaxMeasuredWeights = 16 << 20;
std::vector<DataSet> checkpoint_data(const std::filesystem::path& source, size_t max_rows, uint64_t seed);

}  // namespace ggufmill
