// How long the searches of level_search-inl.h and block_scale_search-inl.h look, per type and effort: each type's file has its
// rows.
#pragma once

namespace ggufmill {

// Types with levels.
struct LevelTuning {
  int tries;       // scales per sub-block and sign in the scan
  int flat_tries;  // the same where all weights are equal
  int units;       // super-block scales scored with fixed codes
  int kept;        // of these, how many are scored again with codes of their own
  int rounds;      // of least squares and moves
  int reach;       // how far a level moves in each round
};

// Types with one f16 scale per block.
struct BlockTuning {
  int tries;       // scales per block and sign in the scan
  int flat_tries;  // the same where all weights are equal
  int rounds;      // of rounding to f16, codes, least squares
};

}  // namespace ggufmill
