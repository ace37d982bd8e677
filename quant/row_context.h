// What an encoder may know about a row besides its values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ggufmill {

// How long an encoder searches. Fast: a few tries; for Q8_0 and the like plain rounding, ggml's bytes. Default: what the project
// is measured by. Max: near the best that the format can hold, several times slower.
enum class Effort : uint8_t { kFast, kDefault, kMax };

// What an encoder minimizes: sum of weight * (decoded - value)^2.
enum class Objective : uint8_t {
  kImportance,               // weight = importance of the column (row_weights.h), 1 without an importance matrix
  kImportanceTimesMagnitude  // the same * sqrt(mean square of the block + value^2), as llama.cpp weighs
};

// The words that the command line has for them, in the order of the enums: "fast" ..., "importance" ...
std::vector<std::string> effort_names();
std::vector<std::string> objective_names();
// nullopt for a word that is none of them.
std::optional<Effort> find_effort(std::string_view name);
std::optional<Objective> find_objective(std::string_view name);
std::string_view name(Effort effort);
std::string_view name(Objective objective);

// Where the values of a row come from a quantized source: the grids that they lie on. The value of column c is an integer
// (between -12 and 12) times step[c / group_elems]. NVFP4: groups of 16, step = block scale * tensor scale / 2, since codes are
// multiples of 0.5; MXFP4: groups of 32, step = scale / 2; INT4: step = scale.
struct SourceLattice {
  std::span<const float> steps;
  uint32_t group_elems = 0;  // 0: the source is no lattice
};

// One row's encoder input besides the values. Spans are the caller's.
struct RowContext {
  // Empty (flat) or one finite, non-negative value per column; what else it may hold is said in row_weights.h.
  std::span<const float> importance = {};
  Effort effort = Effort::kDefault;
  Objective objective = Objective::kImportance;
  SourceLattice lattice = {};
  // NVFP4 only: what the tensor's `.scale` multiplies every decoded value by. Finite, above zero.
  float tensor_scale = 1;
};

}  // namespace ggufmill
