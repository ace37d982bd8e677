// Which type each tensor of a model gets, and why: -t rules, then the recipe's, then the fallbacks for rows that a block does not
// divide. What llama.cpp wants in F32 ignores every rule; of that, a preset that is a file type quantizes what llama-quantize
// does.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "convert/model.h"
#include "convert/recipe.h"
#include "formats/checkpoint.h"
#include "formats/finding.h"

namespace ggufmill {

struct TypeChoice {
  GgmlType type = GgmlType::F32;
  TensorClass tensor_class = TensorClass::kOther;
  std::string reason;
  bool as_converter = false;  // chosen by a preset that copies llama.cpp's converter: its rounding too
  bool repack = false;        // the source's blocks are of this type already: their bits are moved
};

// What the command line says besides the recipe.
struct TypeOptions {
  std::span<const Rule> rules = {};  // -t, before all else
  std::set<GgmlType> keep = {};      // source blocks of these types are repacked, before the recipe
  bool fp8_as_q8 = false;            // FP8 sources become Q8_0, before the recipe
  bool has_imatrix = false;
};

// One choice per tensor of `model`, in its order; `weights` are its sources with their scales read. Findings: fallbacks with
// their cost in bytes, blocks that cannot be kept, -t rules that match nothing or name a tensor that stays F32, file types that
// llama-quantize refuses without an importance matrix. Throws kUsage where no rule of the recipe matches a tensor or a type
// cannot be encoded.
std::vector<TypeChoice> choose_types(const Checkpoint& checkpoint, const Model& model, std::span<const Weight> weights,
                                     const Recipe& recipe, const TypeOptions& options, std::vector<Finding>& findings);

// The first shipped recipe for the model's architecture whose expert types divide the rows, else Q4_K_M.
Recipe default_recipe(const Model& model);

// general.file_type: llama.cpp's number for a preset, or of the type that holds most bytes.
uint32_t file_type_of(const Checkpoint& checkpoint, const Model& model, const Recipe& recipe,
                      const std::vector<TypeChoice>& choices);

}  // namespace ggufmill
