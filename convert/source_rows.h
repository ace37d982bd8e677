// Source values as f32: the shared way from a checkpoint's bytes to the numbers that encoders and the verifier see.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <vector>

#include "convert/model.h"
#include "convert/plan.h"
#include "convert/weight_rows.h"
#include "formats/file.h"

namespace ggufmill {

void apply_op(ValueOp op, std::span<float> values);

// Rows of a source that hold what rows of a piece need.
struct SourceRun {
  uint64_t columns = 0;  // values in a row of the source: its own, or the output's where a plain one is seen as such
  uint64_t first = 0, rows = 0;
};
// Of rows [first, first + rows) of the piece, which are whole groups of the tensor's map.
SourceRun source_run(const PlannedTensor& tensor, const Piece& piece, const Weight& source, uint64_t first, uint64_t rows);

// Decodes rows of a piece through the tensor's map, one after the other; keeps its buffers. Not thread-safe.
class MappedDecoder {
 public:
  MappedDecoder(const PlannedTensor& tensor, const Piece& piece, const Weight& source);
  // Fills `values` (what the row takes of the piece's own source) with row `row` of the piece; `bytes` holds the source rows of
  // its whole group. Without the tensor's ValueOp.
  void decode(const RowsBytes& bytes, uint64_t row, std::span<float> values);
  // The lattice of the row decoded last, none where columns are gathered.
  SourceLattice lattice();
  // Rows are rows of the source in another order: their bytes can be moved.
  bool moves_rows() const { return tensor_.row_map.columns.empty(); }
  uint64_t source_row(uint64_t row) const;  // where moves_rows()
  uint64_t columns() const { return columns_; }

 private:
  const PlannedTensor& tensor_;
  const Piece& piece_;
  const Weight& source_;
  const uint64_t columns_;
  RowDecoder decoder_;
  std::vector<float> group_;  // values of the source rows of a group, where columns are gathered
  uint64_t group_start_ = UINT64_MAX;
};

// kBadInput naming shard, tensor and value for rows with a scale that is no number, which would spoil its whole group in every
// target type, and for an id out of range, which would be another id.
void refuse_bad_rows(const Plan& plan, const PlannedTensor& tensor, const Weight& source, const RowsBytes& rows);

// Reads single rows of planned tensors: what verify compares a finished file with. Thread-safe; keeps the shards open.
class SourceRows {
 public:
  explicit SourceRows(const Plan& plan);
  // Fills `out` (row_elems values) with row `row` of plan.tensors[tensor].
  void read(size_t tensor, uint64_t row, std::span<float> out) const;

 private:
  // Bytes of rows as runs of `columns` values, checked; `bytes` holds them.
  RowsBytes read_rows(const PlannedTensor& tensor, const Weight& source, const SourceRun& run,
                      std::vector<std::byte>& bytes) const;

  const Plan& plan_;
  std::vector<InputFile> shards_;
};

}  // namespace ggufmill
