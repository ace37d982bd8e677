// Rows of a Weight: where their bytes lie, and the way from those to f32.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "convert/weights.h"
#include "formats/extent.h"
#include "quant/row_context.h"

namespace ggufmill {

// The ggml type with the same bytes, for dtypes that are values by themselves (F32, F16, BF16, I32); nullptr for others.
const GgmlTypeInfo* ggml_type_of(DType dtype);

// Bytes of rows [first, first + rows) of `row_elems` values each, absolute in the shards of weight.codes and *weight.scales. A
// plain weight may be seen in rows of another length than its last dimension; one with a form has no other rows than its own.
Extent code_bytes(const Weight& weight, uint64_t row_elems, uint64_t first, uint64_t rows);
Extent scale_bytes(const Weight& weight, uint64_t first, uint64_t rows);  // {} without scales

// Bytes of some consecutive rows.
struct RowsBytes {
  uint64_t first = 0;                 // row
  std::span<const std::byte> codes;   // from `first` on
  std::span<const std::byte> scales;  // those that scale_bytes() named for these rows
};

// "scale 3 of row 7 is NaN" for the first scale that is NaN or infinite, nullopt if all are fine. A negative one is bad where
// ggml's blocks have no sign for it (E4M3, E8M0); symmetric INT4 may have such.
std::optional<std::string> bad_scale(const Weight& weight, const RowsBytes& rows);

// "id 3 of row 7 is 512, expected 0 to 511" for the first entry of a table of ids that is not below `limit`, which f32 holds
// exactly; nullopt if all are fine, and for weights.
std::optional<std::string> bad_id(const Weight& weight, const RowsBytes& rows, uint64_t limit);

// Decodes rows one after the other; keeps its buffers. Not thread-safe.
class RowDecoder {
 public:
  // Fills `values` (a whole row) with row `row`, one of those in `rows`.
  void decode(const Weight& weight, const RowsBytes& rows, uint64_t row, std::span<float> values);
  // The grid that the row decoded last lies on; no lattice for floats of 8 bits and more. Valid until the next decode().
  SourceLattice lattice(const Weight& weight);
  // The bytes of one row's codes and scales, where the scales are of single rows: for repack.h.
  static std::span<const std::byte> row_codes(const Weight& weight, const RowsBytes& rows, uint64_t row, uint64_t row_elems);
  static std::span<const std::byte> row_scales(const Weight& weight, const RowsBytes& rows, uint64_t row);

 private:
  std::vector<float> scales_, steps_;
  float tensor_scale_ = 1;
};

}  // namespace ggufmill
