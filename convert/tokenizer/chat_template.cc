// The chat template as text; nothing here runs it.
//
// Sources, the first that exists: `chat_template` of tokenizer_config.json (a text, or a list of {name, template}; null counts:
// no template), chat_template.jinja (with additional_chat_templates/*.jinja as named ones), `chat_template` of
// chat_template.json. GGUF keys: tokenizer.chat_template (the one named default), tokenizer.chat_template.<name> and the names'
// list tokenizer.chat_templates (sorted here; the converter's order is that of a Python set, so of no meaning). Source: llama.cpp
// b10573, gguf-py/gguf/vocab.py and gguf_writer.py (add_chat_template).
#include <algorithm>
#include <filesystem>
#include <set>

#include "convert/tokenizer/tokenizer.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

using simdjson::dom::element;

constexpr size_t kMaxNamedTemplates = 64;  // more than any model has; each is read whole

struct Template {
  std::string name, text;
};

// A text is one template named default.
std::vector<Template> templates_of(const JsonDocument& json, element value) {
  std::vector<Template> templates;
  std::string_view text;
  simdjson::dom::array list;
  if (!value.get_string().get(text)) {
    templates.push_back({"default", std::string(text)});
  } else if (!value.get_array().get(list)) {
    if (list.size() > kMaxNamedTemplates) {
      throw bad_tokenizer(json, "chat_template: " + std::to_string(list.size()) + " templates, expected at most " +
                                    std::to_string(kMaxNamedTemplates));
    }
    for (const element entry : list) {
      const auto body = json_string(entry, "template");
      if (body) templates.push_back({std::string(json_string(entry, "name").value_or("")), std::string(*body)});
    }
  }
  return templates;
}

std::vector<Template> templates_of_files(const Checkpoint& checkpoint) {
  std::vector<Template> templates;
  if (checkpoint.has_file("chat_template.jinja")) {
    templates.push_back({"default", read_chat_template(checkpoint.file("chat_template.jinja"))});
    std::vector<std::filesystem::path> more;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(checkpoint.file("additional_chat_templates"), error)) {
      if (entry.path().extension() == ".jinja" && more.size() < kMaxNamedTemplates) more.push_back(entry.path());
    }
    std::sort(more.begin(), more.end());
    for (const auto& path : more) templates.push_back({path.stem().string(), read_chat_template(path)});
  } else if (checkpoint.has_file("chat_template.json")) {
    const JsonDocument json = JsonDocument::load(checkpoint.file("chat_template.json"), kMaxSmallFileBytes);
    if (const auto value = json_find(json.root(), "chat_template")) templates = templates_of(json, *value);
  }
  return templates;
}

std::string key_name(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '_';
  }
  return name;
}

}  // namespace

std::string read_chat_template(const std::filesystem::path& path) {
  const std::string raw = InputFile(path).read_text(kMaxSmallFileBytes);
  if (!simdjson::validate_utf8(raw)) throw Error(Exit::kBadInput, path.string() + ": not UTF-8");
  std::string text;
  text.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\r')
      text += raw[i];
    else if (i + 1 == raw.size() || raw[i + 1] != '\n')
      text += '\n';
  }
  return text;
}

bool add_chat_template(const Checkpoint& checkpoint, const JsonDocument& tokenizer_config, Metadata& metadata) {
  element own;
  const bool has_own = !tokenizer_config.root()["chat_template"].get(own);  // null is an answer too
  const std::vector<Template> templates = has_own ? templates_of(tokenizer_config, own) : templates_of_files(checkpoint);
  std::set<std::string> names;
  const Template* main = nullptr;
  for (const Template& t : templates) {
    const std::string name = key_name(t.name);
    if (name == "default") {
      main = &t;
    } else if (!name.empty()) {
      metadata.set("tokenizer.chat_template." + name, t.text);
      names.insert(name);
    }
  }
  if (!names.empty()) metadata.set("tokenizer.chat_templates", std::vector<std::string>(names.begin(), names.end()));
  if (main != nullptr) metadata.set("tokenizer.chat_template", main->text);
  return main != nullptr;
}

}  // namespace ggufmill
