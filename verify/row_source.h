// Where verify gets the values that a tensor should have. cmd builds one from the source checkpoint (through convert's row maps),
// so that verify never sees convert.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/ggml_type.h"

namespace ggufmill {

struct ExpectedTensor {
  std::string name;          // GGUF name
  std::vector<uint64_t> ne;  // innermost first
  std::string class_name;    // "experts", "attention", ...: thresholds are per class
  // The source's own blocks are of this type and can be moved as they are: a file in that type holds exactly its values.
  std::optional<GgmlType> exact_type = std::nullopt;
  // The values went through exp: other converters' libraries round its last bit otherwise.
  bool computed = false;
};

struct RowSource {
  std::vector<ExpectedTensor> tensors;
  // Fills `out` (ne[0] values) with row `row` of tensors[tensor], before quantization. Thread-safe. Throws Error on read trouble.
  std::function<void(size_t tensor, uint64_t row, std::span<float> out)> read_row;
};

}  // namespace ggufmill
