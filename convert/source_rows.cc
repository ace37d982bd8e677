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

void refuse_bad_rows(const Plan& plan, const PlannedTensor& tensor, const Weight& source, const RowsBytes& rows) {
  const auto refuse = [&](const SourceTensor& part, const std::string& why) {
    throw Error(Exit::kBadInput, printable(plan.shards[part.shard].name) + ": " + quoted_tensor(part.name) + ": " + why);
  };
  if (const auto why = bad_id(source, rows, tensor.ids_below)) refuse(source.codes, *why);
  if (const auto why = bad_scale(source, rows)) refuse(*source.scales, *why);
}

SourceRows::SourceRows(const Plan& plan) : plan_(plan) {
  for (const Shard& shard : plan.shards) shards_.emplace_back(shard.path);
}

RowsBytes SourceRows::read_rows(const PlannedTensor& tensor, const Weight& source, const SourceRun& run,
                                std::vector<std::byte>& bytes) const {
  const Extent codes = code_bytes(source, run.columns, run.first, run.rows), scales = scale_bytes(source, run.first, run.rows);
  bytes.resize(codes.bytes + scales.bytes);
  const auto of_codes = std::span(bytes).first(codes.bytes), of_scales = std::span(bytes).subspan(codes.bytes);
  shards_[source.codes.shard].read_exact(codes.file_offset, of_codes);
  if (source.scales) shards_[source.scales->shard].read_exact(scales.file_offset, of_scales);
  const RowsBytes rows{run.first, of_codes, of_scales};
  refuse_bad_rows(plan_, tensor, source, rows);
  return rows;
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
  const uint64_t own = piece.beside == Piece::kNone ? out.size() : source.columns();
  std::vector<std::byte> bytes;
  MappedDecoder(t, piece, source).decode(read_rows(t, source, run, bytes), in_piece, out.first(own));
  if (piece.beside != Piece::kNone) {
    const Weight& beside = plan_.sources[piece.beside];
    const SourceRun row_beside{.columns = beside.columns(), .first = in_piece, .rows = 1};
    RowDecoder().decode(beside, read_rows(t, beside, row_beside, bytes), in_piece, out.subspan(own));
  }
  apply_op(t.op, out);
}

}  // namespace ggufmill
