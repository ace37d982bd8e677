// README.md's front matter: YAML between two "---" lines at the top of the file.
//
//   ---
//   license: other
//   base_model: [nvidia/Some-Base-Model-30B]
//   tags:
//   - nvidia
//   ---
// Every scalar is taken as text ("no" stays "no", 1.0 stays "1.0"). Anchors and aliases are refused before parsing: with them a few
// lines stand for gigabytes.
#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "convert/model_card.h"

namespace ggufmill {
namespace {

constexpr size_t kMaxFrontMatterBytes = size_t{1} << 20;   // the largest cards have some ten KB
constexpr int kMaxYamlDepth = 32;                          // yaml-cpp recurses; cards are three deep

// Lines between the first line "---" and the next; "" without them. Tabs become two spaces, as the converter does.
std::string front_matter(std::string_view readme) {
  std::string yaml;
  bool first = true;
  while (!readme.empty()) {
    const size_t end = std::min(readme.find('\n'), readme.size());
    std::string_view line = readme.substr(0, end);
    readme.remove_prefix(std::min(end + 1, readme.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (first && line != "---") return "";
    if (!first && line == "---") return yaml;
    if (!first) {
      for (const char c : line) yaml += c == '\t' ? std::string("  ") : std::string(1, c);
      yaml += '\n';
    }
    first = false;
  }
  return yaml;
}

// True where nesting stays below kMaxYamlDepth by a count that errs on the safe side: open brackets, and indentation of any one line
// (each level of a block needs a column, "- - -" a dash).
bool is_shallow(std::string_view yaml) {
  int brackets = 0, dashes = 0, indent = 0;
  bool at_start = true;
  for (const char c : yaml) {
    if (c == '\n') {
      at_start = true;
      dashes = indent = 0;
      continue;
    }
    if (c == '[' || c == '{') ++brackets;
    if ((c == ']' || c == '}') && brackets > 0) --brackets;
    if (at_start && c == ' ') ++indent;
    else if (at_start && (c == '-' || c == '?')) ++dashes;
    else at_start = false;
    if (brackets > kMaxYamlDepth || dashes > kMaxYamlDepth || indent > 4 * kMaxYamlDepth) return false;
  }
  return true;
}

// Texts of a scalar or of a list's scalars; null and nested values are left out.
std::vector<std::string> texts(const YAML::Node& node) {
  std::vector<std::string> values;
  if (node.IsScalar()) values.push_back(node.Scalar());
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) {
      if (item.IsScalar()) values.push_back(item.Scalar());
    }
  }
  return values;
}

std::vector<CardField> fields_of(const YAML::Node& map) {
  std::vector<CardField> fields;
  for (const auto& entry : map) {
    if (entry.first.IsScalar()) fields.push_back({entry.first.Scalar(), texts(entry.second), entry.second.IsSequence()});
  }
  return fields;
}

// Entries of the first of `names` that the card has.
std::optional<std::vector<CardEntry>> entries(const YAML::Node& card, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const YAML::Node node = card[name];
    if (!node) continue;
    std::vector<CardEntry> found;
    if (node.IsScalar()) found.push_back({node.Scalar(), {}});
    if (node.IsSequence()) {
      for (const YAML::Node& item : node) {
        if (item.IsScalar()) found.push_back({item.Scalar(), {}});
        else if (item.IsMap()) found.push_back({"", fields_of(item)});
      }
    }
    return found;
  }
  return std::nullopt;
}

}  // namespace

const CardField* ModelCard::find(std::string_view name) const {
  for (const CardField& field : fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

ModelCard parse_model_card(std::string_view readme, const std::string& where) {
  ModelCard card;
  const std::string yaml = front_matter(readme);
  if (yaml.empty()) return card;
  if (yaml.size() > kMaxFrontMatterBytes || !is_shallow(yaml)) {
    throw Error(Exit::kBadInput, where + ": front matter is larger or deeper nested than any model card");
  }
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (!root.IsMap()) throw Error(Exit::kBadInput, where + ": front matter is not a mapping");
    card.fields = fields_of(root);
    card.base_models = entries(root, {"base_model", "base_models", "base_model_sources"});
    card.datasets = entries(root, {"datasets", "dataset", "dataset_sources"});
  } catch (const YAML::Exception& e) {
    throw Error(Exit::kBadInput, where + ": front matter: " + printable(e.what()));
  }
  return card;
}

}  // namespace ggufmill
