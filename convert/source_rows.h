// Source values as f32: the shared way from a checkpoint's bytes to the numbers that encoders and the verifier see.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <vector>

#include "convert/model.h"
#include "convert/plan.h"
#include "formats/checkpoint.h"
#include "formats/file.h"
#include "formats/ggml_type.h"

namespace ggufmill {

// The ggml type with the same bytes, for the dtypes that are read (F32, F16, BF16); nullptr for others.
const GgmlTypeInfo* ggml_type_of(DType dtype);

// `bytes` holds values.size() values of `dtype`.
void decode_source(DType dtype, std::span<const std::byte> bytes, std::span<float> values);
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
