// Where an output row's values stand in its source: selection and reordering as index functions, without a buffer. Everything
// that families do to whole matrices is one of these: interleaving the halves of a head, taking one half of a fused matrix or
// every second row, transposing per head.
//
// Rows come in groups that are alike. Example, per head of 4 rows the order 0 2 1 3 (of a source with 8 columns):
//   group = {{2, 8}, {2, 16}}, group_stride = 32: row 2*i + j of a group starts i*8 + j*16 elements behind the group's first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ggufmill {

// `size` steps of `stride` elements of the source.
struct Axis {
  uint64_t size = 1;
  uint64_t stride = 1;
  bool operator==(const Axis&) const = default;
};

struct RowMap {
  std::vector<Axis> group;    // of the rows in a group, outermost first; empty: a group is one row
  std::vector<Axis> columns;  // of the values in a row, outermost first; empty: consecutive elements of the source
  uint64_t group_stride = 0;  // elements from one group to the next; 0: those of a group's values

  bool operator==(const RowMap&) const = default;
  uint64_t group_rows() const;
  // Elements from a piece's first to column 0 of row `row`, and to the first element of the row's group.
  uint64_t row_elem(uint64_t row, uint64_t row_elems) const;
  uint64_t group_elem(uint64_t row, uint64_t row_elems) const;
  // Elements that a group reaches over: from its first element to behind its last.
  uint64_t group_span(uint64_t row_elems) const;
  // Fills `out` with row `row` (counted in its group) from the group's span.
  void gather(std::span<const float> span, uint64_t row, std::span<float> out) const;

  // Whether rows stay where they are and their columns move in whole blocks of `block_elems`: then packed rows can be moved, too.
  bool moves_blocks(uint64_t block_elems) const;
  // Fills `out` with a packed row's columns in their new order; `unit_bytes` hold `unit_elems` values, a divisor of the blocks.
  void gather_packed(std::span<const std::byte> row, uint64_t unit_elems, uint64_t unit_bytes, std::span<std::byte> out) const;
};

// A selection in its simplest form: pieces of rows that one map serves.
struct MappedRows {
  struct Part {
    uint64_t first_elem = 0;  // of the source
    uint64_t rows = 0;
  };
  std::vector<Part> parts;  // in the order of the output
  RowMap map;
};

// A group is decoded at once: one with more values is cut into parts.
inline constexpr uint64_t kMaxGroupElems = uint64_t{1} << 19;

// `rows` and `columns` are the output's axes, outermost first; its element (r, c) is the source's at first_elem + their sums.
MappedRows map_rows(std::vector<Axis> rows, std::vector<Axis> columns, uint64_t first_elem,
                    uint64_t max_group_elems = kMaxGroupElems);

}  // namespace ggufmill
