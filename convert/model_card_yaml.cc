// README.md's front matter: YAML between two "---" lines at the top of the file.
//
//   ---
//   license: other
//   base_model: [nvidia/Some-Base-Model-30B]
//   tags:
//   - nvidia
//   ---
// Every scalar is taken as text ("no" stays "no", 1.0 stays "1.0"). Aliases are refused: with them a few lines stand for
// gigabytes. Nesting is limited by yaml-cpp (500 levels).
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

#include "convert/model_card.h"

namespace ggufmill {
namespace {

constexpr size_t kMaxFrontMatterBytes = size_t{1} << 20;  // the largest cards have some ten KB

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

// Refuses aliases before the document is built; nothing else is done with the events.
class AliasGuard : public YAML::EventHandler {
 public:
  explicit AliasGuard(std::string where) : where_(std::move(where)) {}
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {
    throw Error(Exit::kBadInput, where_ + ": front matter uses aliases (*name), which no model card needs");
  }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  std::string where_;
};

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
        if (item.IsScalar())
          found.push_back({item.Scalar(), {}});
        else if (item.IsMap())
          found.push_back({"", fields_of(item)});
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
  if (yaml.size() > kMaxFrontMatterBytes) {
    throw Error(Exit::kBadInput, where + ": front matter has " + std::to_string(yaml.size()) + " bytes, expected at most " +
                                     std::to_string(kMaxFrontMatterBytes));
  }
  try {
    std::istringstream text(yaml);
    AliasGuard guard(where);
    YAML::Parser(text).HandleNextDocument(guard);
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
