#include "convert/arch/move.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <numeric>
#include <string>

namespace ggufmill {
namespace {

uint64_t some_dim(std::string_view name) {
  static const std::map<std::string, uint64_t, std::less<>> dims = {{"heads", 3},   {"head_dim", 4}, {"n_embd", 5},  {"nope", 2},
                                                                    {"v", 3},       {"lora", 6},     {"n_ff", 4},    {"gate", 4},
                                                                    {"experts", 2}, {"k_heads", 2},  {"v_per_k", 3}, {"qk", 4}};
  const auto at = dims.find(name);
  return at != dims.end() ? at->second : std::stoull(std::string(name));
}

// The output's elements as indexes into the source, through the pieces and their map as the program reads them.
std::vector<uint64_t> elements(const Move& move) {
  const uint64_t row_elems = move.ne[0];
  const RowMap& map = move.rows.map;
  std::vector<uint64_t> out;
  for (const MappedRows::Part& part : move.rows.parts) {
    for (uint64_t row = 0; row < part.rows; ++row) {
      const uint64_t group = part.first_elem + map.group_elem(row, row_elems);
      std::vector<float> span(map.group_span(row_elems)), values(row_elems);
      std::iota(span.begin(), span.end(), static_cast<float>(group));
      if (map.columns.empty())
        std::iota(values.begin(), values.end(), static_cast<float>(part.first_elem + map.row_elem(row, row_elems)));
      else
        map.gather(span, row % map.group_rows(), values);
      out.insert(out.end(), values.begin(), values.end());
    }
  }
  return out;
}

using Index = std::vector<uint64_t>;

// The same from the definition: `source_of` gives the source's index of an output's index.
std::vector<uint64_t> expected(const Index& shape, const Index& source_shape,
                               const std::function<Index(const Index&)>& source_of) {
  std::vector<uint64_t> out;
  Index at(shape.size(), 0);
  const uint64_t n = std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
  for (uint64_t i = 0; i < n; ++i) {
    uint64_t left = i;
    for (size_t d = shape.size(); d-- > 0;) {
      at[d] = left % shape[d];
      left /= shape[d];
    }
    const Index from = source_of(at);
    uint64_t elem = 0;
    for (size_t d = 0; d < from.size(); ++d) elem = elem * source_shape[d] + from[d];
    out.push_back(elem);
  }
  return out;
}

TEST(Move, InterleavesTheHalvesOfHeads) {
  const Move move = parse_move("(* 2 head_dim/2) n_embd -> (* head_dim/2 2) n_embd", Index{12, 5}, some_dim);
  EXPECT_EQ(move.ne, (Index{5, 12}));
  EXPECT_EQ(elements(move), expected({12, 5}, {12, 5}, [](const Index& at) {
              const uint64_t head = at[0] / 4, i = at[0] % 4 / 2, j = at[0] % 2;
              return Index{head * 4 + j * 2 + i, at[1]};
            }));
  EXPECT_EQ(move.rows.parts.size(), 1u);
  EXPECT_EQ(move.rows.map.group_rows(), 4u);
  EXPECT_TRUE(move.rows.map.columns.empty()) << "whole rows move";
}

TEST(Move, TakesOneHalfOfAFusedMatrix) {
  for (const bool second : {false, true}) {
    const Move move = parse_move(
        second ? "experts [gate n_ff] n_embd -> experts n_ff n_embd" : "experts [gate n_ff] n_embd -> experts gate n_embd",
        Index{2, 8, 5}, some_dim);
    EXPECT_EQ(move.ne, (Index{5, 4, 2}));
    EXPECT_EQ(elements(move), expected({2, 4, 5}, {2, 8, 5}, [&](const Index& at) {
                return Index{at[0], at[1] + (second ? 4 : 0), at[2]};
              }));
    EXPECT_EQ(move.rows.parts.size(), 2u) << "a part per expert";
    EXPECT_EQ(move.rows.map, RowMap{}) << "whose rows are the source's";
  }
}

TEST(Move, TakesEverySecondRow) {
  const Move move = parse_move("experts (n_ff [1 01]) n_embd -> experts (n_ff 01) n_embd", Index{2, 8, 5}, some_dim);
  EXPECT_EQ(move.ne, (Index{5, 4, 2}));
  EXPECT_EQ(elements(move), expected({2, 4, 5}, {2, 8, 5}, [](const Index& at) { return Index{at[0], at[1] * 2 + 1, at[2]}; }));
}

TEST(Move, TakesEverySecondColumn) {
  const Move move = parse_move("experts (n_ff [1 01]) -> experts (n_ff 1)", Index{2, 8}, some_dim);
  EXPECT_EQ(move.ne, (Index{4, 2}));
  EXPECT_EQ(elements(move), expected({2, 4}, {2, 8}, [](const Index& at) { return Index{at[0], at[1] * 2}; }));
}

TEST(Move, TransposesPerHead) {
  const Move move = parse_move("(heads [nope v]) lora -> heads lora nope", Index{15, 6}, some_dim);
  EXPECT_EQ(move.ne, (Index{2, 6, 3}));
  EXPECT_EQ(elements(move), expected({3, 6, 2}, {15, 6}, [](const Index& at) { return Index{at[0] * 5 + at[2], at[1]}; }));
  EXPECT_EQ(move.rows.map.group_rows(), 6u) << "a group is a head";
  EXPECT_EQ(move.rows.map.group_span(2), 12u) << "and reaches over the rows that it takes";
}

TEST(Move, TakesTheOtherRowsOfHeads) {
  const Move move = parse_move("(heads [nope v]) lora -> heads v lora", Index{15, 6}, some_dim);
  EXPECT_EQ(move.ne, (Index{6, 3, 3}));
  EXPECT_EQ(elements(move), expected({3, 3, 6}, {15, 6}, [](const Index& at) { return Index{at[0] * 5 + 2 + at[1], at[2]}; }));
}

TEST(Move, ReordersHeadsBehindOtherRows) {
  const Move move = parse_move("[qk (k_heads v_per_k 2)] n_embd -> (v_per_k k_heads 2) n_embd", Index{16, 5}, some_dim);
  EXPECT_EQ(move.ne, (Index{5, 12}));
  EXPECT_EQ(elements(move), expected({12, 5}, {16, 5}, [](const Index& at) {
              const uint64_t v = at[0] / 4, k = at[0] / 2 % 2, d = at[0] % 2;
              return Index{4 + (k * 3 + v) * 2 + d, at[1]};
            }));
  EXPECT_EQ(move.rows.parts.size(), 1u) << "a small group";
}

TEST(MapRows, CutsWhatIsNoSmallGroup) {
  // The same order of heads of 2 rows and 5 columns; runs of rows that stay together become parts.
  const MappedRows rows = map_rows({{3, 10}, {2, 30}, {2, 5}}, {{5, 1}}, 20, 59);
  EXPECT_EQ(rows.map, RowMap{});
  std::vector<uint64_t> starts;
  for (const MappedRows::Part& part : rows.parts) {
    EXPECT_EQ(part.rows, 2u);
    starts.push_back(part.first_elem);
  }
  EXPECT_EQ(starts, (std::vector<uint64_t>{20, 50, 30, 60, 40, 70}));
  EXPECT_EQ(map_rows({{3, 10}, {2, 30}, {2, 5}}, {{5, 1}}, 20, 60).parts.size(), 1u);
}

TEST(Move, ReordersColumns) {
  const Move move = parse_move("n_embd (k_heads v_per_k 2) -> n_embd (v_per_k k_heads 2)", Index{5, 12}, some_dim);
  EXPECT_EQ(elements(move), expected({5, 12}, {5, 12}, [](const Index& at) {
              const uint64_t v = at[1] / 4, k = at[1] / 2 % 2, d = at[1] % 2;
              return Index{at[0], (k * 3 + v) * 2 + d};
            }));
}

TEST(RowMap, MovesPackedColumnsInWholeBlocks) {
  // 2 x 3 blocks of 4 values, two values a byte: block (k, v) goes to (v, k).
  const RowMap map = {.group = {}, .columns = {{3, 4}, {2, 12}, {4, 1}}};
  EXPECT_TRUE(map.moves_blocks(4));
  EXPECT_FALSE(map.moves_blocks(8)) << "a block would be torn";
  EXPECT_FALSE(RowMap{}.moves_blocks(4)) << "nothing moves";
  EXPECT_FALSE((RowMap{.group = {{2, 8}}, .columns = {{2, 4}, {4, 1}}}.moves_blocks(4))) << "rows move too";
  std::vector<std::byte> row(12), out(12);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<std::byte>(i);
  map.gather_packed(row, 2, 1, out);
  const std::vector<int> expected = {0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11};
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(static_cast<int>(out[i]), expected[i]) << i;
}

TEST(Move, ReordersAVector) {
  const Move move = parse_move("(k_heads v_per_k) -> (v_per_k k_heads)", Index{6}, some_dim);
  EXPECT_EQ(move.ne, (Index{6}));
  EXPECT_EQ(elements(move), (Index{0, 3, 1, 4, 2, 5}));
}

TEST(Move, OfNothingIsTheSource) {
  const Move move = parse_move("experts n_ff n_embd -> experts n_ff n_embd", Index{2, 4, 5}, some_dim);
  EXPECT_EQ(move.rows.map, RowMap{});
  ASSERT_EQ(move.rows.parts.size(), 1u);
  EXPECT_EQ(move.rows.parts[0].rows, 8u);
  EXPECT_EQ(move.rows.parts[0].first_elem, 0u);
}

}  // namespace
}  // namespace ggufmill
