// Names of models taken apart: "Some-Model-3-Nano-30B-A3B" is a base name, size labels, perhaps a version and a fine-tune.
//
// Source: llama.cpp b10573, gguf-py/gguf/metadata.py (get_model_id_components, id_to_title) and utility.py (size_label). ASCII
// letters and digits only: other characters have no case and are no digits here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "convert/model.h"

namespace ggufmill {

struct NameParts {
  std::optional<std::string> full_name;  // without the organization
  std::optional<std::string> organization;
  std::optional<std::string> basename, finetune, version, size_label;
};
// `id` is "ORG/NAME" or "NAME". A size label ("30B") more than 8 times off `total_parameters` (0: unknown) is taken for something
// else and lower-cased into the fine-tune; forms such as A3B and 8x7B are always kept.
NameParts parse_model_id(std::string_view id, uint64_t total_parameters);

// "some-model-3-nano" -> "Some Model 3 Nano": words with an upper-case letter, digits first or v1.2 stay.
std::string id_to_title(std::string_view id);

struct ParameterCounts {
  uint64_t total = 0, shared = 0, per_expert = 0;  // per_expert: one expert of every stacked tensor
  uint64_t n_experts = 0;                          // mean over stacked tensors
};
ParameterCounts count_parameters(std::span<const ModelTensor> tensors);

// "8x6.5M" (experts x one expert with all that is shared), "13M": two significant digits.
std::string size_label(const ParameterCounts& counts);

}  // namespace ggufmill
