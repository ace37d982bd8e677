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
  }
}

SourceRows::SourceRows(const Plan& plan) : plan_(plan) {
  for (const Shard& shard : plan.shards) shards_.emplace_back(shard.path);
}

void SourceRows::read(size_t tensor, uint64_t row, std::span<float> out) const {
  const PlannedTensor& t = plan_.tensors.at(tensor);
  if (!t.literal.empty())
    return find_codec(t.type)->decode(std::span(t.literal).subspan(row * t.row_bytes(), t.row_bytes()), out);
  const auto after = std::ranges::upper_bound(t.pieces, row, {}, &Piece::out_row);
  assert(after != t.pieces.begin() && "pieces tile all rows");
  const Piece& piece = *std::prev(after);
  const Weight& source = plan_.sources[piece.source];
  const uint64_t source_row = t.row_map.source_row(row - piece.out_row);
  const Extent codes = code_bytes(source, t.row_elems(), source_row, 1), scales = scale_bytes(source, source_row, 1);
  std::vector<std::byte> bytes(codes.bytes + scales.bytes);
  const auto of_codes = std::span(bytes).first(codes.bytes), of_scales = std::span(bytes).subspan(codes.bytes);
  shards_[source.codes.shard].read_exact(codes.file_offset, of_codes);
  if (source.scales) shards_[source.scales->shard].read_exact(scales.file_offset, of_scales);
  RowDecoder().decode(source, {source_row, of_codes, of_scales}, source_row, out);
  apply_op(t.op, out);
}

}  // namespace ggufmill
