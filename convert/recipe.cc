#include "convert/recipe.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "convert/nearest.h"
#include "convert/recipes/file_types.h"
#include "formats/error.h"
#include "formats/file.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

// A recipe has some dozens of lines.
constexpr uint64_t kMaxRecipeBytes = 1 << 20;
// The name becomes a part of file names, which have 255 bytes.
constexpr size_t kMaxRecipeName = 100;

constexpr std::array<std::string_view, 9> kRuleKeys = {"class",   "tensor",  "layers", "rank", "min_experts",
                                                       "min_gqa", "imatrix", "tied",   "type"};
constexpr std::array<std::string_view, 4> kRecipeKeys = {"name", "description", "architectures", "rule"};

struct ConverterPreset {
  std::string_view name;
  std::optional<GgmlType> type;
  std::string_view description;
};
const std::array<ConverterPreset, 4> kConverterPresets = {{
    {"auto", std::nullopt, "what llama.cpp's converter does by default: 16-bit sources kept"},
    {"F32", GgmlType::F32, "llama.cpp's converter with --outtype f32"},
    {"F16", GgmlType::F16, "llama.cpp's converter with --outtype f16"},
    {"BF16", GgmlType::BF16, "llama.cpp's converter with --outtype bf16"},
}};

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

GgmlType parse_type(std::string_view text, const std::string& where) {
  if (const GgmlTypeInfo* type = find_ggml_type(text)) return type->type;
  std::vector<std::string> known;
  for (const GgmlTypeInfo& t : ggml_types()) known.emplace_back(t.name);
  const std::string near = nearest_word(text, known);
  throw Error(Exit::kUsage, where + ": unknown type \"" + printable(text) + "\"",
              near.empty() ? "" : "did you mean " + near + "?");
}

std::shared_ptr<const std::regex> compile(const std::string& pattern, const std::string& where) {
  try {
    return std::make_shared<const std::regex>(pattern, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& e) {
    throw Error(Exit::kUsage, where + ": bad pattern \"" + printable(pattern) + "\": " + e.what());
  }
}

// Reads one table of a recipe; every problem names the file and line.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string where) : table_(table), where_(std::move(where)) {}

  std::string at(const toml::node& node) const { return where_ + ":" + std::to_string(node.source().begin.line); }

  template <size_t N>
  void refuse_unknown(const std::array<std::string_view, N>& keys) const {
    for (const auto& [key, node] : table_) {
      if (std::ranges::find(keys, key.str()) == keys.end()) {
        throw Error(Exit::kUsage, at(node) + ": unknown key \"" + printable(key.str()) + "\"");
      }
    }
  }

  template <typename T>
  std::optional<T> value(std::string_view key, const char* expected) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    if (const auto v = node->value_exact<T>()) return *v;
    throw Error(Exit::kUsage, at(*node) + ": " + std::string(key) + " must be " + expected);
  }

  std::optional<double> number(std::string_view key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    if (!node->is_number()) throw Error(Exit::kUsage, at(*node) + ": " + std::string(key) + " must be a number");
    return node->value<double>();
  }

  // A string or an array of strings.
  std::vector<std::string> words(std::string_view key) const {
    const toml::node* node = table_.get(key);
    std::vector<std::string> out;
    if (node == nullptr) return out;
    if (const auto v = node->value_exact<std::string>()) return {*v};
    const toml::array* array = node->as_array();
    if (array == nullptr || array->empty())
      throw Error(Exit::kUsage, at(*node) + ": " + std::string(key) + " must be a string or a list of strings");
    for (const toml::node& element : *array) {
      const auto v = element.value_exact<std::string>();
      if (!v) throw Error(Exit::kUsage, at(element) + ": " + std::string(key) + " must hold strings");
      out.push_back(*v);
    }
    return out;
  }

  std::optional<IndexRange> range(std::string_view key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    const toml::array* array = node->as_array();
    if (array == nullptr || array->size() != 2 || !(*array)[0].is_integer() || !(*array)[1].is_integer()) {
      throw Error(Exit::kUsage,
                  at(*node) + ": " + std::string(key) + " must be [FIRST, LAST], negative numbers count from the end");
    }
    const IndexRange range{(*array)[0].value_or(int64_t{0}), (*array)[1].value_or(int64_t{0})};
    if ((range.first < 0) == (range.last < 0) && range.first > range.last) {
      throw Error(Exit::kUsage, at(*node) + ": " + std::string(key) + " is empty: it begins behind its end");
    }
    return range;
  }

 private:
  const toml::table& table_;
  std::string where_;
};

Rule parse_rule(const toml::table& table, const std::string& where, size_t number) {
  const TableReader read(table, where);
  read.refuse_unknown(kRuleKeys);
  const std::string line = read.at(table);
  Rule rule;
  rule.origin = "rule " + std::to_string(number);
  for (const std::string& word : read.words("class")) {
    const auto found = find_tensor_class(word);
    if (!found) throw Error(Exit::kUsage, line + ": unknown class \"" + printable(word) + "\"");
    rule.classes.push_back(*found);
  }
  if (auto pattern = read.value<std::string>("tensor", "a string")) {
    rule.pattern = *pattern;
    rule.regex = compile(*pattern, line);
  }
  rule.layers = read.range("layers");
  rule.rank = read.range("rank");
  if (const auto n = read.value<int64_t>("min_experts", "a whole number")) {
    rule.min_experts = static_cast<uint32_t>(std::clamp<int64_t>(*n, 0, UINT32_MAX));
  }
  rule.min_gqa = read.number("min_gqa");
  rule.imatrix = read.value<bool>("imatrix", "true or false");
  rule.tied = read.value<bool>("tied", "true or false");
  for (const std::string& word : read.words("type")) {
    rule.types.push_back(parse_type(word, line));
    const Codec* codec = find_weight_codec(rule.types.back());
    if (codec == nullptr || codec->encode == nullptr) throw Error(Exit::kUsage, line + ": type " + word + " cannot be written");
  }
  if (rule.types.empty()) throw Error(Exit::kUsage, line + ": a rule needs a type");
  return rule;
}

Rule parse_type_rule(std::string_view option, const std::string& where) {
  const size_t equals = option.rfind('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == option.size()) {
    throw Error(Exit::kUsage, where + ": expected PATTERN=TYPE");
  }
  Rule rule;
  rule.pattern = option.substr(0, equals);
  rule.regex = compile(rule.pattern, where);
  rule.types = {parse_type(option.substr(equals + 1), where)};
  rule.origin = where;
  return rule;
}

}  // namespace

bool IndexRange::contains(int64_t index, int64_t count) const {
  const int64_t lo = first < 0 ? first + count : first;
  const int64_t hi = last < 0 ? last + count : last;
  return index >= lo && index <= hi;
}

bool Rule::is_catch_all() const {
  return classes.empty() && !regex && !layers && !rank && !min_experts && !min_gqa && !imatrix && !tied;
}

bool Rule::matches(const TensorFacts& facts) const {
  if (!classes.empty() && std::ranges::find(classes, facts.tensor_class) == classes.end()) return false;
  if (layers && (facts.layer < 0 || !layers->contains(facts.layer, facts.n_layers))) return false;
  if (rank && !rank->contains(facts.rank, facts.count)) return false;
  if (min_experts && facts.n_experts < *min_experts) return false;
  if (min_gqa && facts.gqa_ratio < *min_gqa) return false;
  if (imatrix && facts.imatrix != *imatrix) return false;
  if (tied && facts.tied_output != *tied) return false;
  return !regex || std::regex_search(facts.name.begin(), facts.name.end(), *regex);
}

Recipe parse_recipe(std::string_view text, std::string_view where) {
  const std::string file = printable(where, 4096);
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& e) {
    throw Error(Exit::kUsage, file + ":" + std::to_string(e.source().begin.line) + ": " + std::string(e.description()));
  }
  const TableReader read(table, file);
  read.refuse_unknown(kRecipeKeys);
  Recipe recipe;
  recipe.name = read.value<std::string>("name", "a string").value_or("");
  if (recipe.name.empty() || recipe.name.find('/') != std::string::npos ||
      printable(recipe.name, kMaxRecipeName) != recipe.name) {
    throw Error(Exit::kUsage, file + ": a recipe needs a name, without '/' and control characters, of at most " +
                                  std::to_string(kMaxRecipeName) + " characters");
  }
  recipe.description = read.value<std::string>("description", "a string").value_or("");
  recipe.architectures = read.words("architectures");
  const toml::array* rules = table["rule"].as_array();
  if (rules == nullptr || rules->empty()) throw Error(Exit::kUsage, file + ": a recipe needs at least one [[rule]]");
  for (const toml::node& node : *rules) {
    if (!recipe.rules.empty() && recipe.rules.back().is_catch_all()) {
      throw Error(Exit::kUsage, read.at(node) + ": no tensor reaches this rule: the one before it matches everything");
    }
    const toml::table* rule = node.as_table();
    if (rule == nullptr) throw Error(Exit::kUsage, read.at(node) + ": rule must be a table: [[rule]]");
    recipe.rules.push_back(parse_rule(*rule, file, recipe.rules.size() + 1));
  }
  return recipe;
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const ConverterPreset& preset : kConverterPresets) names.emplace_back(preset.name);
  for (const FileType& file_type : file_types()) names.emplace_back(file_type.name);
  for (const ShippedRecipe& recipe : shipped_recipes()) names.emplace_back(recipe.name);
  return names;
}

Recipe load_recipe(std::string_view choice) {
  for (const ConverterPreset& preset : kConverterPresets) {
    if (!same_word(choice, preset.name)) continue;
    Recipe recipe;
    recipe.name = preset.name;
    recipe.description = preset.description;
    recipe.kind = Recipe::Kind::kConverter;
    recipe.converter_type = preset.type;
    return recipe;
  }
  if (const FileType* file_type = find_file_type(choice)) {
    Recipe recipe;
    recipe.name = file_type->name;
    recipe.description = "the types that llama-quantize picks, mostly " + std::string(name(file_type->type));
    recipe.kind = Recipe::Kind::kFileType;
    recipe.file_type = file_type;
    return recipe;
  }
  for (const ShippedRecipe& shipped : shipped_recipes()) {
    if (same_word(choice, shipped.name)) return parse_recipe(shipped.toml, shipped.name);
  }
  std::error_code unreadable;
  if (std::filesystem::is_regular_file(choice, unreadable))
    return parse_recipe(InputFile(choice).read_text(kMaxRecipeBytes), choice);
  const std::vector<std::string> known = recipe_names();
  const std::string near = nearest_word(choice, known);
  throw Error(Exit::kUsage, "recipe \"" + printable(choice) + "\": neither a file nor a known recipe",
              near.empty() ? "'ggufmill recipe list' shows the recipes" : "did you mean " + near + "?");
}

Rule parse_type_option(std::string_view option) { return parse_type_rule(option, "-t " + printable(option)); }

std::vector<Rule> load_type_file(const std::filesystem::path& path) {
  const std::string name = printable(path.string(), 4096);
  std::error_code unreadable;
  std::ifstream file;
  if (std::filesystem::is_regular_file(path, unreadable)) file.open(path);
  if (!file.is_open()) throw Error(Exit::kUsage, name + ": cannot be read");
  std::vector<Rule> rules;
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    const std::string where = name + ":" + std::to_string(++number);
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word.starts_with('#')) break;
      rules.push_back(parse_type_rule(word, where + ": " + printable(word)));
    }
  }
  return rules;
}

}  // namespace ggufmill
