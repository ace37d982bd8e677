// Writes general.*; see model_card.h for the sources and their order.
#include "convert/model_card.h"

#include <algorithm>

#include "formats/file.h"

namespace ggufmill {
namespace {

constexpr uint64_t kMaxReadmeBytes = uint64_t{32} << 20;  // model cards have up to some hundred KB
constexpr uint64_t kMaxGenerationConfigBytes = uint64_t{1} << 20;

// general.sampling.*, in the converter's order.
struct SamplingKey {
  const char* field;  // of generation_config.json
  const char* key;
  GgufValueType type;
};
constexpr SamplingKey kSampling[] = {
    {"sequence", "sequence", GgufValueType::kString},
    {"top_k", "top_k", GgufValueType::kI32},
    {"top_p", "top_p", GgufValueType::kF32},
    {"min_p", "min_p", GgufValueType::kF32},
    {"xtc_probability", "xtc_probability", GgufValueType::kF32},
    {"xtc_threshold", "xtc_threshold", GgufValueType::kF32},
    {"temperature", "temp", GgufValueType::kF32},
    {"penalty_last_n", "penalty_last_n", GgufValueType::kI32},
    {"penalty_repeat", "penalty_repeat", GgufValueType::kF32},
    {"mirostat", "mirostat", GgufValueType::kI32},
    {"mirostat_tau", "mirostat_tau", GgufValueType::kF32},
    {"mirostat_eta", "mirostat_eta", GgufValueType::kF32},
};

// Keys that are one text of the card; `fields` in the order in which they win. Those that the names of config.json and the
// repository may fill too are members of Names below.
struct TextKey {
  const char* key;
  std::initializer_list<std::string_view> fields;
};

const TextKey kName{"general.name", {"name", "model_name"}};
const TextKey kAuthor{"general.author", {"author", "model_author", "model_creator"}};
const TextKey kVersion{"general.version", {"version", "model_version"}};
const TextKey kOrganization{"general.organization", {"organization", "model_organization"}};
const TextKey kFinetune{"general.finetune", {"finetune", "model_finetune"}};
const TextKey kBasename{"general.basename", {"basename", "model_basename", "model_type"}};
const TextKey kDescription{"general.description", {"description", "model_description"}};
const TextKey kSizeLabel{"general.size_label", {"size_label", "model_size_label"}};
const TextKey kBehindSizeLabel[] = {
    {"general.license", {"license"}},
    {"general.license.name", {"license_name"}},
    {"general.license.link", {"license_link"}},
    {"general.source.url", {"url", "model_url"}},
    {"general.source.doi", {"doi", "model_doi"}},
    {"general.source.uuid", {"uuid", "model_uuid"}},
    {"general.source.repo_url", {"repo_url", "model_repo_url"}},
};

// The card's text for `key`: a list is joined by commas (several licenses).
std::optional<std::string> card_text(const ModelCard& card, const TextKey& key) {
  for (const std::string_view name : key.fields) {
    const CardField* field = card.find(name);
    if (field == nullptr || field->values.empty()) continue;
    std::string text;
    for (const std::string& value : field->values) text += (text.empty() ? "" : ",") + value;
    return text;
  }
  return std::nullopt;
}

void add_sampling(const Checkpoint& checkpoint, Metadata& metadata, std::vector<Finding>& findings) {
  if (!checkpoint.has_file("generation_config.json")) {
    findings.push_back({Severity::kInfo, "generation_config.json", "", "missing: no sampling defaults are written"});
    return;
  }
  try {
    const JsonDocument json = JsonDocument::load(checkpoint.file("generation_config.json"), kMaxGenerationConfigBytes);
    for (const SamplingKey& row : kSampling) {
      const std::string key = std::string("general.sampling.") + row.key;
      if (row.type == GgufValueType::kString) {
        if (const auto text = json_string(json.root(), row.field)) metadata.set(key, std::string(*text));
      } else if (row.type == GgufValueType::kI32) {
        const auto value = json_int(json.root(), row.field);
        if (value && *value >= INT32_MIN && *value <= INT32_MAX) metadata.set(key, static_cast<int32_t>(*value));
      } else if (const auto value = json_double(json.root(), row.field)) {
        metadata.set(key, static_cast<float>(*value));
      }
    }
  } catch (const Error& error) {
    if (error.code() != Exit::kBadInput) throw;
    findings.push_back({Severity::kWarning, "generation_config.json", "", "ignored: " + error.message()});
  }
}

ModelCard load_card(const Checkpoint& checkpoint, std::vector<Finding>& findings) {
  if (!checkpoint.has_file("README.md")) return {};
  try {
    const std::filesystem::path path = checkpoint.file("README.md");
    const std::string text = InputFile(path).read_text(kMaxReadmeBytes);
    if (!simdjson::validate_utf8(text)) throw Error(Exit::kBadInput, path.string() + ": not UTF-8");
    return parse_model_card(text, path.string());
  } catch (const Error& error) {
    if (error.code() != Exit::kBadInput) throw;
    findings.push_back({Severity::kWarning, "README.md", "", "ignored: " + error.message()});
    return {};
  }
}

void fill(std::optional<std::string>& slot, const std::optional<std::string>& value) {
  if (!slot && value) slot = value;
}

struct Names {
  std::optional<std::string> name, organization, basename, finetune, version, size_label;

  void fill_from(const NameParts& parts) {
    if (!name && parts.full_name) name = id_to_title(*parts.full_name);
    if (!organization && parts.organization) organization = id_to_title(*parts.organization);
    fill(basename, parts.basename);
    fill(finetune, parts.finetune);
    fill(version, parts.version);
    fill(size_label, parts.size_label);
  }
};

Names make_names(const Checkpoint& checkpoint, const Config& config, const ModelCard& card, const ParameterCounts& counts) {
  Names names{card_text(card, kName),     card_text(card, kOrganization), card_text(card, kBasename),
              card_text(card, kFinetune), card_text(card, kVersion),      card_text(card, kSizeLabel)};
  if (const auto path = json_string(config.root(), "_name_or_path")) {
    // More than one slash is a path of somebody's machine.
    if (std::count(path->begin(), path->end(), '/') <= 1) names.fill_from(parse_model_id(*path, counts.total));
  }
  names.fill_from(parse_model_id(checkpoint.model_name(), counts.total));
  if (!names.size_label && counts.total > 0) names.size_label = size_label(counts);
  return names;
}

// "https://huggingface.co/ORG/NAME" -> "ORG/NAME"; "" for another URL.
std::string_view hub_id_of_url(std::string_view url) {
  for (const std::string_view host : {"https://huggingface.co/", "http://huggingface.co/"}) {
    if (!url.starts_with(host)) continue;
    const std::string_view id = url.substr(host.size());
    const size_t slash = id.find('/');
    const bool two_parts = slash != std::string_view::npos && slash > 0 && slash + 1 < id.size();
    if (two_parts && id.find('/', slash + 1) == std::string_view::npos) return id;
  }
  return "";
}

// general.base_model.* or general.dataset.*: a count, then per entry the parts of its id, its URL or its own fields.
void add_entries(const std::vector<CardEntry>& entries, const std::string& prefix, const ParameterCounts& counts,
                 Metadata& metadata) {
  metadata.set(prefix + "count", static_cast<uint32_t>(entries.size()));
  for (size_t i = 0; i < entries.size(); ++i) {
    const CardEntry& entry = entries[i];
    const std::string key = prefix + std::to_string(i) + ".";
    const bool is_url = entry.id.starts_with("http://") || entry.id.starts_with("https://") || entry.id.starts_with("ssh://");
    const std::string_view id = is_url ? hub_id_of_url(entry.id) : std::string_view(entry.id);
    std::vector<std::pair<std::string, std::string>> values;
    for (const CardField& field : entry.fields) {
      if (!field.values.empty() && !field.is_list) values.emplace_back(field.name, field.values[0]);
    }
    if (!id.empty()) {
      const NameParts parts = parse_model_id(id, counts.total);
      if (parts.full_name) values.emplace_back("name", id_to_title(*parts.full_name));
      if (parts.organization) values.emplace_back("organization", id_to_title(*parts.organization));
      if (parts.version) values.emplace_back("version", *parts.version);
      if (!is_url && parts.organization) {
        values.emplace_back("repo_url", "https://huggingface.co/" + *parts.organization + "/" + *parts.full_name);
      }
    }
    if (is_url) values.emplace_back("repo_url", entry.id);
    for (const char* name : {"name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url"}) {
      for (const auto& [field, value] : values) {
        if (field == name) metadata.set(key + name, value);
      }
    }
  }
}

void add_list(const ModelCard& card, std::initializer_list<std::string_view> fields, const char* key, Metadata& metadata) {
  std::vector<std::string> values;
  for (const std::string_view name : fields) {
    if (const CardField* field = card.find(name)) values.insert(values.end(), field->values.begin(), field->values.end());
  }
  if (!values.empty()) metadata.set(key, std::move(values));
}

}  // namespace

void add_general_metadata(const Checkpoint& checkpoint, const Config& config, const ParameterCounts& counts, Metadata& metadata,
                          std::vector<Finding>& findings) {
  const ModelCard card = load_card(checkpoint, findings);
  const Names names = make_names(checkpoint, config, card, counts);
  const auto add = [&](const TextKey& key, const std::optional<std::string>& text) {
    if (text) metadata.set(key.key, *text);
  };
  metadata.set("general.type", std::string("model"));
  add_sampling(checkpoint, metadata, findings);
  add(kName, names.name);
  add(kAuthor, card_text(card, kAuthor));
  add(kVersion, names.version);
  add(kOrganization, names.organization);
  add(kFinetune, names.finetune);
  add(kBasename, names.basename);
  add(kDescription, card_text(card, kDescription));
  add(kSizeLabel, names.size_label);
  for (const TextKey& key : kBehindSizeLabel) add(key, card_text(card, key));
  if (card.base_models) add_entries(*card.base_models, "general.base_model.", counts, metadata);
  if (card.datasets) add_entries(*card.datasets, "general.dataset.", counts, metadata);
  add_list(card, {"tags", "pipeline_tag"}, "general.tags", metadata);
  add_list(card, {"languages", "language"}, "general.languages", metadata);
}

}  // namespace ggufmill
