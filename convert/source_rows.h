// Source values as f32: the shared way from a checkpoint's bytes to the numbers that encoders and the verifier see.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <vector>

#include "convert/model.h"
#include "convert/plan.h"
#include "formats/file.h"

namespace ggufmill {

void apply_op(ValueOp op, std::span<float> values);

// Reads single rows of planned tensors: what verify compares a finished file with. Thread-safe; keeps the shards open.
class SourceRows {
 public:
  explicit SourceRows(const Plan& plan);
  // Fills `out` (row_elems values) with row `row` of plan.tensors[tensor].
  void read(size_t tensor, uint64_t row, std::span<float> out) const;

 private:
  const Plan& plan_;
  std::vector<InputFile> shards_;
};

}  // namespace ggufmill
