// Recipes: ordered rules that say which tensor gets which type. First match wins.
//
// A rule is a pure function of a tensor's name, class, shape, layer, rank within its class, and facts of the model; nothing
// depends on the order of visits. Recipes come from TOML (docs/recipes.md has the format), from the presets that copy llama.cpp's
// converter (auto, F32, F16, BF16), from llama.cpp's file types (Q4_K_M; convert/recipes/file_types.h), and from -t options,
// which stand before a recipe's own rules.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/tensor_class.h"
#include "formats/ggml_type.h"

namespace ggufmill {

struct FileType;

// What a rule may ask of a tensor.
struct TensorFacts {
  std::string_view name;
  TensorClass tensor_class = TensorClass::kOther;
  uint64_t row_elems = 0;
  int64_t layer = -1;     // block number, -1 without
  uint32_t n_layers = 0;  // blocks, MTP not counted
  uint32_t rank = 0;      // position among the tensors of its class, by name's block then name
  uint32_t count = 0;     // tensors of its class
  uint32_t n_experts = 0;
  double gqa_ratio = 1;
  bool tied_output = false;
  bool imatrix = false;
};

// A closed range that may count from the end: [0, 3] first four, [-2, -1] last two.
struct IndexRange {
  int64_t first = 0;
  int64_t last = -1;
  bool contains(int64_t index, int64_t count) const;
};

// Conditions that are not set do not matter; all that are set must hold.
struct Rule {
  std::vector<TensorClass> classes;
  std::string pattern;                      // ECMAScript regex found in the GGUF tensor name
  std::shared_ptr<const std::regex> regex;  // compiled pattern
  std::optional<IndexRange> layers;
  std::optional<IndexRange> rank;
  std::optional<uint32_t> min_experts;
  std::optional<double> min_gqa;
  std::optional<bool> imatrix;
  std::optional<bool> tied;
  std::vector<GgmlType> types;  // the first whose block divides the row; else the fallback of the first
  std::string origin;           // "-t ffn_up=Q4_K", "recipe rule 3: experts": for reasons and findings
  bool matches(const TensorFacts& facts) const;
  bool is_catch_all() const;  // no condition at all
};

struct Recipe {
  std::string name;
  std::string description;
  std::vector<std::string> architectures;  // general.architecture values for which it may be the default; empty: never
  std::vector<Rule> rules;
  // Presets have no rules here. kConverter copies llama.cpp's converter: one type for all that is not F32 (none: auto), and its
  // fallback. kFileType has the rules of a file type.
  enum class Kind { kRules, kConverter, kFileType } kind = Kind::kRules;
  std::optional<GgmlType> converter_type;
  const FileType* file_type = nullptr;
};

// Throws Error kUsage naming file, line and reason.
Recipe parse_recipe(std::string_view toml, std::string_view where);

struct ShippedRecipe {
  std::string_view name;
  std::string_view toml;
};
// The recipes built into the program, in order of preference as defaults.
std::span<const ShippedRecipe> shipped_recipes();

// `choice` is a path to a TOML file, or the name of a shipped recipe or a preset (any case). kUsage with the nearest name
// otherwise.
Recipe load_recipe(std::string_view choice);
// Names of every preset and shipped recipe.
std::vector<std::string> recipe_names();

// A rule from "PATTERN=TYPE". kUsage where it is malformed.
Rule parse_type_option(std::string_view option);
// The same, one a line or separated by blanks; # at the start of a word begins a comment. kUsage naming file and line.
std::vector<Rule> load_type_file(const std::filesystem::path& path);

}  // namespace ggufmill
