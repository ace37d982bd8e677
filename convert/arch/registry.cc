// The table of architectures: one row per class name that config.json may hold in `architectures[0]`.
#include <array>

#include "convert/arch/families.h"
#include "convert/nearest.h"

namespace ggufmill {

std::span<const Architecture> architectures() {
  static const std::array table = {
      Architecture{.hf_name = "DeciLMForCausalLM", .rules = deci_rules(), .describe = describe_deci},
      Architecture{.hf_name = "LlamaForCausalLM", .rules = llama_rules(), .describe = describe_llama},
      Architecture{.hf_name = "MistralForCausalLM", .rules = llama_rules(), .describe = describe_llama},
      Architecture{.hf_name = "MixtralForCausalLM", .rules = llama_rules(), .describe = describe_llama},
      Architecture{.hf_name = "NemotronForCausalLM", .rules = nemotron_rules(), .describe = describe_nemotron},
      Architecture{.hf_name = "NemotronHForCausalLM", .rules = nemotron_h_rules(), .describe = describe_nemotron_h},
  };
  return table;
}

const Architecture& find_architecture(const Config& config) {
  const std::string_view wanted = config.architecture();
  std::vector<std::string> known;
  for (const Architecture& architecture : architectures()) {
    if (architecture.hf_name == wanted) return architecture;
    known.emplace_back(architecture.hf_name);
  }
  std::string names;
  for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
  const std::string nearest = nearest_word(wanted, known);
  throw Error(Exit::kBadInput,
              config.where() + ": field \"architectures\": found \"" + printable(wanted) + "\", known are: " + names,
              nearest.empty() ? "" : "did you mean " + nearest + "?");
}

}  // namespace ggufmill
