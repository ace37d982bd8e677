#include "convert/row_map.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace ggufmill {
namespace {

uint64_t product(std::span<const Axis> axes) {
  return std::accumulate(axes.begin(), axes.end(), uint64_t{1}, [](uint64_t n, const Axis& a) { return n * a.size; });
}

uint64_t span_of(std::span<const Axis> axes) {
  return std::accumulate(axes.begin(), axes.end(), uint64_t{1},
                         [](uint64_t n, const Axis& a) { return n + (a.size - 1) * a.stride; });
}

// Offset of index `i` in an array of `axes`.
uint64_t offset_of(std::span<const Axis> axes, uint64_t i) {
  uint64_t offset = 0;
  for (size_t a = axes.size(); a-- > 0;) {
    offset += i % axes[a].size * axes[a].stride;
    i /= axes[a].size;
  }
  return offset;
}

// Axes of one step vanish, neighbours that continue each other become one.
std::vector<Axis> simplified(const std::vector<Axis>& axes) {
  std::vector<Axis> out;
  for (const Axis& a : axes) {
    if (a.size == 1) continue;
    if (!out.empty() && out.back().stride == a.size * a.stride) {
      out.back() = {out.back().size * a.size, a.stride};
    } else {
      out.push_back(a);
    }
  }
  return out;
}

// How many of the leading axes step over all that the axes behind them reach.
size_t nested(std::span<const Axis> rows, std::span<const Axis> columns) {
  size_t n = 0;
  for (; n < rows.size(); ++n) {
    const uint64_t behind = span_of(rows.subspan(n + 1)) + span_of(columns) - 1;
    if (rows[n].stride < behind) break;
  }
  return n;
}

}  // namespace

uint64_t RowMap::group_rows() const { return product(group); }

uint64_t RowMap::group_elem(uint64_t row, uint64_t row_elems) const {
  return row / group_rows() * (group_stride != 0 ? group_stride : row_elems * group_rows());
}

uint64_t RowMap::row_elem(uint64_t row, uint64_t row_elems) const {
  return group_elem(row, row_elems) + offset_of(group, row % group_rows());
}

uint64_t RowMap::group_span(uint64_t row_elems) const {
  return span_of(group) + (columns.empty() ? row_elems : span_of(columns)) - 1;
}

void RowMap::gather(std::span<const float> span, uint64_t row, std::span<float> out) const {
  const Axis inner = columns.back();
  const std::span<const Axis> outer = std::span(columns).first(columns.size() - 1);
  const uint64_t start = offset_of(group, row);
  for (uint64_t c = 0; c < out.size(); c += inner.size) {
    const float* from = span.data() + start + offset_of(outer, c / inner.size);
    for (uint64_t i = 0; i < inner.size; ++i) out[c + i] = from[i * inner.stride];
  }
}

bool RowMap::moves_blocks(uint64_t block_elems) const {
  if (!group.empty() || group_stride != 0 || columns.empty() || columns.back().stride != 1) return false;
  const auto whole = [&](const Axis& a) { return a.stride % block_elems == 0; };
  return columns.back().size % block_elems == 0 && std::ranges::all_of(std::span(columns).first(columns.size() - 1), whole);
}

void RowMap::gather_packed(std::span<const std::byte> row, uint64_t unit_elems, uint64_t unit_bytes,
                           std::span<std::byte> out) const {
  const std::span<const Axis> outer = std::span(columns).first(columns.size() - 1);
  const uint64_t run_bytes = columns.back().size / unit_elems * unit_bytes;
  for (uint64_t run = 0; run < out.size() / run_bytes; ++run) {
    const auto from = row.subspan(offset_of(outer, run) / unit_elems * unit_bytes, run_bytes);
    std::ranges::copy(from, out.begin() + static_cast<std::ptrdiff_t>(run * run_bytes));
  }
}

MappedRows map_rows(std::vector<Axis> rows, std::vector<Axis> columns, uint64_t first_elem, uint64_t max_group_elems) {
  rows = simplified(rows);
  columns = simplified(columns);
  MappedRows out;
  // Outer axes become parts of their own until one axis steps from group to group, or all is one small group.
  std::vector<uint64_t> starts = {first_elem};
  const auto is_done = [&] {
    const size_t n = nested(rows, columns);
    return rows.size() <= 1 || n == 1 || (n == 0 && product(rows) * product(columns) <= max_group_elems);
  };
  while (!is_done()) {
    std::vector<uint64_t> next;
    next.reserve(starts.size() * rows[0].size);
    for (const uint64_t start : starts) {
      for (uint64_t i = 0; i < rows[0].size; ++i) next.push_back(start + i * rows[0].stride);
    }
    starts = std::move(next);
    rows.erase(rows.begin());
  }
  const uint64_t row_elems = product(columns);
  const uint64_t part_rows = product(rows);
  for (const uint64_t start : starts) out.parts.push_back({start, part_rows});
  if (!rows.empty() && nested(rows, columns) == 1) {
    out.map.group_stride = rows[0].stride;
    rows.erase(rows.begin());
  }
  out.map.group = rows;
  if (columns.size() > 1 || (columns.size() == 1 && columns[0].stride != 1)) out.map.columns = columns;
  if (out.map.group_stride == row_elems * out.map.group_rows()) out.map.group_stride = 0;
  return out;
}

}  // namespace ggufmill
