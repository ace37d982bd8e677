#include "convert/weight_rows.h"

#include <cassert>
#include <cmath>
#include <cstring>

#include "quant/codecs.h"
#include "quant/repack.h"

namespace ggufmill {
namespace {

uint64_t scales_per_row(const Weight& w) { return (w.columns() + w.group_elems - 1) / w.group_elems; }

// Rows of a stack's matrices have scales of their own: a group never reaches into the next matrix.
uint64_t scale_row(const Weight& w, uint64_t row) {
  const uint64_t per_matrix = w.rows_per_matrix();
  return row / per_matrix * ((per_matrix + w.group_rows - 1) / w.group_rows) + row % per_matrix / w.group_rows;
}

uint64_t row_scale_bytes(const Weight& w) { return scales_per_row(w) * info(w.scales->dtype).bytes; }

uint64_t row_code_bytes(const Weight& w, uint64_t row_elems) {
  return w.form == nullptr ? row_elems * info(w.codes.dtype).bytes : row_elems * info(w.code_kind).bits / 8;
}

// Entry `i` of a table of I32 or I64.
int64_t id_at(std::span<const std::byte> codes, DType dtype, size_t i) {
  int64_t wide = 0;
  int32_t narrow = 0;
  if (dtype == DType::I64) {
    std::memcpy(&wide, codes.data() + i * sizeof wide, sizeof wide);
    return wide;
  }
  std::memcpy(&narrow, codes.data() + i * sizeof narrow, sizeof narrow);
  return narrow;
}

}  // namespace

const GgmlTypeInfo* ggml_type_of(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return &info(GgmlType::F32);
    case DType::F16:
      return &info(GgmlType::F16);
    case DType::BF16:
      return &info(GgmlType::BF16);
    case DType::I32:
      return &info(GgmlType::I32);
    default:
      return nullptr;
  }
}

Extent code_bytes(const Weight& weight, uint64_t row_elems, uint64_t first, uint64_t rows) {
  const uint64_t row_bytes = row_code_bytes(weight, row_elems);
  return {weight.codes.extent.file_offset + first * row_bytes, rows * row_bytes};
}

Extent scale_bytes(const Weight& weight, uint64_t first, uint64_t rows) {
  if (!weight.scales || rows == 0) return {};
  const uint64_t from = scale_row(weight, first), to = scale_row(weight, first + rows - 1) + 1;
  return {weight.scales->extent.file_offset + from * row_scale_bytes(weight), (to - from) * row_scale_bytes(weight)};
}

std::optional<std::string> bad_scale(const Weight& weight, const RowsBytes& rows) {
  if (!weight.scales) return std::nullopt;
  const SourceScales kind = *scales_of(weight.scales->dtype);
  const std::optional<size_t> bad = first_bad_scale(kind, rows.scales);
  if (!bad) return std::nullopt;
  float value = 0;
  decode_scales(kind, rows.scales.subspan(*bad * info(weight.scales->dtype).bytes, info(weight.scales->dtype).bytes),
                {&value, 1});
  const uint64_t groups = scales_per_row(weight), scale = scale_row(weight, rows.first) * groups + *bad;
  return "scale " + std::to_string(scale % groups) + " of row " + std::to_string(scale / groups) + " is " +
         (std::isnan(value)   ? "NaN"
          : std::isinf(value) ? "infinite"
                              : "negative");
}

std::optional<std::string> bad_id(const Weight& weight, const RowsBytes& rows, uint64_t limit) {
  const DType dtype = weight.codes.dtype;
  if (weight.form != nullptr || (dtype != DType::I32 && dtype != DType::I64)) return std::nullopt;
  const size_t bytes = info(dtype).bytes;
  for (size_t i = 0; i < rows.codes.size() / bytes; ++i) {
    const int64_t id = id_at(rows.codes, dtype, i);
    if (id >= 0 && static_cast<uint64_t>(id) < limit) continue;
    return "id " + std::to_string(i % weight.columns()) + " of row " + std::to_string(rows.first + i / weight.columns()) +
           " is " + std::to_string(id) + ", expected 0 to " + std::to_string(limit - 1);
  }
  return std::nullopt;
}

void RowDecoder::decode(const Weight& weight, const RowsBytes& rows, uint64_t row, std::span<float> values) {
  const std::span<const std::byte> codes = row_codes(weight, rows, row, values.size());
  if (weight.form == nullptr && weight.codes.dtype == DType::I64) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(id_at(codes, DType::I64, i));
    return;
  }
  if (weight.form == nullptr) {
    const GgmlTypeInfo* type = ggml_type_of(weight.codes.dtype);
    assert(type != nullptr && "the plan refuses other dtypes");
    return find_codec(type->type)->decode(codes, values);
  }
  assert(values.size() == weight.columns() && "a quantized weight has no other rows than its own");
  tensor_scale_ = weight.tensor_scale_of(row);
  scales_.resize(scales_per_row(weight));
  if (weight.scales)
    decode_scales(*scales_of(weight.scales->dtype), row_scales(weight, rows, row), scales_);
  else
    scales_[0] = 1;
  decode_codes(weight.code_kind, codes, scales_, static_cast<uint32_t>(weight.group_elems), tensor_scale_, values);
}

SourceLattice RowDecoder::lattice(const Weight& weight) {
  const float unit = weight.form == nullptr ? 0 : info(weight.code_kind).lattice_unit;
  if (unit == 0 || !weight.scales) return {};
  steps_.resize(scales_.size());
  for (size_t i = 0; i < scales_.size(); ++i) steps_[i] = scales_[i] * unit * tensor_scale_;
  return {.steps = steps_, .group_elems = static_cast<uint32_t>(weight.group_elems)};
}

std::span<const std::byte> RowDecoder::row_codes(const Weight& weight, const RowsBytes& rows, uint64_t row, uint64_t row_elems) {
  const uint64_t bytes = row_code_bytes(weight, row_elems);
  return rows.codes.subspan((row - rows.first) * bytes, bytes);
}

std::span<const std::byte> RowDecoder::row_scales(const Weight& weight, const RowsBytes& rows, uint64_t row) {
  const uint64_t bytes = row_scale_bytes(weight);
  return rows.scales.subspan((scale_row(weight, row) - scale_row(weight, rows.first)) * bytes, bytes);
}

}  // namespace ggufmill
