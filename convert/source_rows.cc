#include "convert/source_rows.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "convert/weight_rows.h"
#include "quant/codecs.h"

namespace ggufmill {

void apply_op(ValueOp op, std::span<float> values) {
  switch (op) {
    case ValueOp::kNone:
      return;
    case ValueOp::kNegExp:
      for (float& v : values) v = static_cast<float>(-std::exp(static_cast<double>(v)));
      return;
    case ValueOp::kAddOne:
      for (float& v : values) v += 1;
      return;
  }
}

namespace {

// Values that a row takes of its piece's own source.
uint64_t own_elems(const PlannedTensor& tensor, const Piece& piece, const Weight& source) {
  return piece.beside == Piece::kNone ? tensor.row_elems() : source.columns();
}

uint64_t source_columns(const PlannedTensor& tensor, const Piece& piece, const Weight& source) {
  return source.form == nullptr && tensor.row_map.columns.empty() ? own_elems(tensor, piece, source) : source.columns();
}

}  // namespace

SourceRun source_run(const PlannedTensor& tensor, const Piece& piece, const Weight& source, uint64_t first, uint64_t rows) {
  const RowMap& map = tensor.row_map;
  SourceRun run{.columns = source_columns(tensor, piece, source)};
  const uint64_t elems = own_elems(tensor, piece, source);
  const uint64_t start = piece.first_elem + map.group_elem(first, elems);
  const uint64_t end = piece.first_elem + map.group_elem(first + rows - 1, elems) + map.group_span(elems);
  run.first = start / run.columns;
  run.rows = (end + run.columns - 1) / run.columns - run.first;
  return run;
}

MappedDecoder::MappedDecoder(const PlannedTensor& tensor, const Piece& piece, const Weight& source)
    : tensor_(tensor), piece_(piece), source_(source), columns_(source_columns(tensor, piece, source)) {}

uint64_t MappedDecoder::source_row(uint64_t row) const {
  const uint64_t elem = piece_.first_elem + tensor_.row_map.row_elem(row, own_elems(tensor_, piece_, source_));
  assert(elem % columns_ == 0 && "whole rows move");
  return elem / columns_;
}

void MappedDecoder::decode(const RowsBytes& bytes, uint64_t row, std::span<float> values) {
  if (moves_rows()) return decoder_.decode(source_, bytes, source_row(row), values);
  const uint64_t group = tensor_.row_map.group_rows();
  const SourceRun run = source_run(tensor_, piece_, source_, row / group * group, group);
  if (group_start_ != run.first) {
    group_.resize(run.rows * columns_);
    for (uint64_t r = 0; r < run.rows; ++r)
      decoder_.decode(source_, bytes, run.first + r, std::span(group_).subspan(r * columns_, columns_));
    group_start_ = run.first;
  }
  const uint64_t start = piece_.first_elem + tensor_.row_map.group_elem(row, tensor_.row_elems());
  tensor_.row_map.gather(std::span(group_).subspan(start - run.first * columns_), row % group, values);
}

SourceLattice MappedDecoder::lattice() { return moves_rows() ? decoder_.lattice(source_) : SourceLattice{}; }

SourceRows::SourceRows(const Plan& plan) : plan_(plan) {
  for (const Shard& shard : plan.shards) shards_.emplace_back(shard.path);
}

void SourceRows::read_beside(const Weight& source, uint64_t row, std::span<float> out) const {
  const Extent codes = code_bytes(source, source.columns(), row, 1), scales = scale_bytes(source, row, 1);
  std::vector<std::byte> bytes(codes.bytes + scales.bytes);
  const auto of_codes = std::span(bytes).first(codes.bytes), of_scales = std::span(bytes).subspan(codes.bytes);
  shards_[source.codes.shard].read_exact(codes.file_offset, of_codes);
  if (source.scales) shards_[source.scales->shard].read_exact(scales.file_offset, of_scales);
  RowDecoder().decode(source, {row, of_codes, of_scales}, row, out);
}

void SourceRows::read(size_t tensor, uint64_t row, std::span<float> out) const {
  const PlannedTensor& t = plan_.tensors.at(tensor);
  if (!t.literal.empty())
    return find_codec(t.type)->decode(std::span(t.literal).subspan(row * t.row_bytes(), t.row_bytes()), out);
  const auto after = std::ranges::upper_bound(t.pieces, row, {}, &Piece::out_row);
  assert(after != t.pieces.begin() && "pieces tile all rows");
  const Piece& piece = *std::prev(after);
  const Weight& source = plan_.sources[piece.source];
  const uint64_t group = t.row_map.group_rows(), in_piece = row - piece.out_row;
  const SourceRun run = source_run(t, piece, source, in_piece / group * group, group);
  const Extent codes = code_bytes(source, run.columns, run.first, run.rows), scales = scale_bytes(source, run.first, run.rows);
  std::vector<std::byte> bytes(codes.bytes + scales.bytes);
  const auto of_codes = std::span(bytes).first(codes.bytes), of_scales = std::span(bytes).subspan(codes.bytes);
  shards_[source.codes.shard].read_exact(codes.file_offset, of_codes);
  if (source.scales) shards_[source.scales->shard].read_exact(scales.file_offset, of_scales);
  const RowsBytes rows{run.first, of_codes, of_scales};
  if (const std::optional<std::string> why = bad_scale(source, rows)) {
    throw Error(Exit::kBadInput,
                printable(plan_.shards[source.scales->shard].name) + ": " + quoted_tensor(source.scales->name) + ": " + *why);
  }
  const uint64_t own = piece.beside == Piece::kNone ? out.size() : source.columns();
  MappedDecoder(t, piece, source).decode(rows, in_piece, out.first(own));
  if (piece.beside != Piece::kNone) read_beside(plan_.sources[piece.beside], in_piece, out.subspan(own));
  apply_op(t.op, out);
}

}  // namespace ggufmill
