#include "convert/source_rows.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "quant/codecs.h"

namespace ggufmill {

const GgmlTypeInfo* ggml_type_of(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return &info(GgmlType::F32);
    case DType::F16:
      return &info(GgmlType::F16);
    case DType::BF16:
      return &info(GgmlType::BF16);
    default:
      return nullptr;
  }
}

void decode_source(DType dtype, std::span<const std::byte> bytes, std::span<float> values) {
  const GgmlTypeInfo* type = ggml_type_of(dtype);
  assert(type != nullptr && "the plan refuses other dtypes");
  find_codec(type->type)->decode(bytes, values);
}

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
  const SourceTensor& source = plan_.sources[piece.source];
  const uint64_t row_bytes = t.row_elems() * info(source.dtype).bytes;
  std::vector<std::byte> bytes(row_bytes);
  const uint64_t source_row = t.row_map.source_row(row - piece.out_row);
  shards_[source.shard].read_exact(source.extent.file_offset + source_row * row_bytes, bytes);
  decode_source(source.dtype, bytes, out);
  apply_op(t.op, out);
}

}  // namespace ggufmill
