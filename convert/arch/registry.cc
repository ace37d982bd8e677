// The table of architectures: one row per class name that config.json may hold in `architectures[0]`.
#include <array>

#include "convert/arch/families.h"
#include "convert/nearest.h"

namespace ggufmill {

std::span<const Architecture> architectures() {
  // clang-format off
  static const std::array table = {
      Architecture{.hf_name = "DeciLMForCausalLM", .gguf_names = "deci", .models = "Llama-Nemotron 51B, Super 49B, Ultra 253B",
                   .rules = deci_rules(), .describe = describe_deci},
      Architecture{.hf_name = "DeepseekV2ForCausalLM", .gguf_names = "deepseek2", .models = "DeepSeek V2, V2.5 (with --pre deepseek-llm)",
                   .rules = deepseek_rules(), .describe = describe_deepseek2},
      Architecture{.hf_name = "DeepseekV3ForCausalLM", .gguf_names = "deepseek2", .models = "DeepSeek V3, R1, V3.1; Kimi K2, K2 Thinking",
                   .rules = deepseek_rules(), .describe = describe_deepseek2},
      Architecture{.hf_name = "DeepseekV32ForCausalLM", .gguf_names = "deepseek32", .models = "DeepSeek V3.2",
                   .rules = deepseek_rules(), .describe = describe_deepseek32},
      Architecture{.hf_name = "DeepseekV4ForCausalLM", .gguf_names = "deepseek4", .models = "DeepSeek V4 Flash, V4 Pro",
                   .rules = deepseek_v4_rules(), .describe = describe_deepseek_v4},
      Architecture{.hf_name = "Glm4MoeForCausalLM", .gguf_names = "glm4moe", .models = "GLM 4.5, 4.5 Air, 4.6, 4.7",
                   .rules = glm4_moe_rules(), .describe = describe_glm4_moe},
      Architecture{.hf_name = "Glm4MoeLiteForCausalLM", .gguf_names = "deepseek2", .models = "GLM 4.7 Flash",
                   .rules = deepseek_rules(), .describe = describe_glm4_moe_lite},
      Architecture{.hf_name = "GlmMoeDsaForCausalLM", .gguf_names = "glm-dsa", .models = "GLM 5, 5.1, 5.2",
                   .rules = deepseek_rules(), .describe = describe_glm_dsa},
      Architecture{.hf_name = "GptOssForCausalLM", .gguf_names = "gpt-oss", .models = "gpt-oss 20b, 120b",
                   .rules = gpt_oss_rules(), .describe = describe_gpt_oss},
      Architecture{.hf_name = "KimiK25ForConditionalGeneration", .gguf_names = "deepseek2", .models = "Kimi K2.5, K2.6",
                   .rules = deepseek_rules(), .describe = describe_deepseek2},
      Architecture{.hf_name = "LlamaForCausalLM", .gguf_names = "llama", .models = "Llama 1 to 3.3, Nemotron 70B, CodeLlama",
                   .rules = llama_rules(), .describe = describe_llama},
      Architecture{.hf_name = "MistralForCausalLM", .gguf_names = "llama", .models = "Mistral 7B, Nemo, Small",
                   .rules = llama_rules(), .describe = describe_llama},
      Architecture{.hf_name = "MixtralForCausalLM", .gguf_names = "llama", .models = "Mixtral 8x7B, 8x22B",
                   .rules = llama_rules(), .describe = describe_llama},
      Architecture{.hf_name = "NemotronForCausalLM", .gguf_names = "nemotron", .models = "Nemotron-4 15B, 340B; Minitron",
                   .rules = nemotron_rules(), .describe = describe_nemotron},
      Architecture{.hf_name = "NemotronHForCausalLM", .gguf_names = "nemotron_h, nemotron_h_moe", .models = "Nemotron-H, Nemotron Nano 2; Nemotron 3 Nano, Super, Ultra, 3.5 Lightning",
                   .rules = nemotron_h_rules(), .describe = describe_nemotron_h},
      Architecture{.hf_name = "Qwen2ForCausalLM", .gguf_names = "qwen2", .models = "Qwen2, Qwen2.5, R1-Distill-Qwen",
                   .rules = qwen_rules(), .describe = describe_qwen2},
      Architecture{.hf_name = "Qwen3ForCausalLM", .gguf_names = "qwen3", .models = "Qwen3 0.6B to 32B",
                   .rules = qwen_rules(), .describe = describe_qwen3},
      Architecture{.hf_name = "Qwen3MoeForCausalLM", .gguf_names = "qwen3moe", .models = "Qwen3 30B-A3B, 235B-A22B, Coder 480B-A35B",
                   .rules = qwen_rules(), .describe = describe_qwen3_moe},
      Architecture{.hf_name = "Qwen3NextForCausalLM", .gguf_names = "qwen3next", .models = "Qwen3-Next 80B-A3B",
                   .rules = qwen_next_rules(), .describe = describe_qwen3_next},
      Architecture{.hf_name = "Qwen3_5ForCausalLM", .gguf_names = "qwen35", .models = "Qwen3.5, Qwen3.6, dense, text alone",
                   .rules = qwen_next_rules(), .describe = describe_qwen35},
      Architecture{.hf_name = "Qwen3_5ForConditionalGeneration", .gguf_names = "qwen35", .models = "Qwen3.5 9B, 27B; Qwen3.6, dense",
                   .rules = qwen_next_rules(), .describe = describe_qwen35},
      Architecture{.hf_name = "Qwen3_5MoeForCausalLM", .gguf_names = "qwen35moe", .models = "Qwen3.5, Qwen3.6 with experts, text alone",
                   .rules = qwen_next_rules(), .describe = describe_qwen35_moe},
      Architecture{.hf_name = "Qwen3_5MoeForConditionalGeneration", .gguf_names = "qwen35moe", .models = "Qwen3.5 35B-A3B, 122B-A10B, 397B-A17B; Qwen3.6 35B-A3B",
                   .rules = qwen_next_rules(), .describe = describe_qwen35_moe},
  };
  // clang-format on
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
