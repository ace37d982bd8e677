// How a rule says which of a source's values it takes and in which order, as text in the manner of einops:
//   "(* 2 head_dim/2) n_embd -> (* head_dim/2 2) n_embd"     per head, the two halves of its rows interleaved
//   "n_expert [gate n_ff] n_embd -> n_expert gate n_embd"     the first of two matrices that are joined in the second dimension
//   "(n_head [nope v]) lora -> n_head lora nope"              per head the first rows, transposed
//   "[qk (k_heads n d)] n_embd -> (n k_heads d) n_embd"       the rows behind the first, in another order of their heads
// Left are the source's dimensions, outermost first, right the output's. Words are dimensions of the layout or numbers,
// `name/number` is a part, and one `*` is what the other factors leave. Brackets join parts along one axis; the right side names
// the one it takes. A word means the same axis on both sides; each axis of the left stands on the right once, but for the parts
// not taken.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "convert/row_map.h"

namespace ggufmill {

struct Move {
  std::vector<uint64_t> ne;  // of the output, innermost first
  MappedRows rows;
};

// `dim` gives a word's size. `shape` is the source's, outermost first. The text is a constant of the program: a mistake in it is
// an assert. Sizes that do not multiply to the shape are the caller's to have excluded (Rule::shape).
Move parse_move(std::string_view text, std::span<const uint64_t> shape, const std::function<uint64_t(std::string_view)>& dim);

}  // namespace ggufmill
