// The general.* metadata of a model: what README.md's front matter (the model card), generation_config.json, config.json and the
// repository's name say about it.
//
// Source: llama.cpp b10573, gguf-py/gguf/metadata.py (Metadata.load, set_gguf_meta_model). First hit wins: model card,
// `_name_or_path` of config.json where it looks like a repository, then the repository's name.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "convert/arch/config.h"
#include "convert/naming.h"
#include "formats/checkpoint.h"
#include "formats/finding.h"
#include "formats/metadata.h"

namespace ggufmill {

// A value of the front matter, or of one entry of its lists: texts in order (a scalar is a list of one).
struct CardField {
  std::string name;
  std::vector<std::string> values;
  bool is_list = false;
};

// A base model or data set that the card names by mapping instead of by id.
struct CardEntry {
  std::string id;                 // "org/name" or a URL; empty for a mapping
  std::vector<CardField> fields;  // of a mapping
};

struct ModelCard {
  std::vector<CardField> fields;
  // Present where the card has the key, even with an empty value.
  std::optional<std::vector<CardEntry>> base_models, datasets;
  const CardField* find(std::string_view name) const;
};

// Parses the YAML between the leading "---" lines; an empty card where there are none. Throws kBadInput ("WHERE: ...") for YAML
// that cannot be read.
ModelCard parse_model_card(std::string_view readme, const std::string& where);

// Appends general.type and all descriptive general.* keys. A card or generation_config.json that cannot be read is a finding.
void add_general_metadata(const Checkpoint& checkpoint, const Config& config, const ParameterCounts& counts, Metadata& metadata,
                          std::vector<Finding>& findings);

}  // namespace ggufmill
