// What each family's file gives to the registry: its rules and the function that reads its config.json.
#pragma once

#include "convert/arch/arch.h"

namespace ggufmill {

std::span<const Rule> deci_rules();
ArchDescription describe_deci(const Config& config, const ModelOptions& options);

std::span<const Rule> deepseek_rules();
ArchDescription describe_deepseek2(const Config& config, const ModelOptions& options);
ArchDescription describe_deepseek32(const Config& config, const ModelOptions& options);
ArchDescription describe_glm_dsa(const Config& config, const ModelOptions& options);
ArchDescription describe_glm4_moe_lite(const Config& config, const ModelOptions& options);

std::span<const Rule> deepseek_v4_rules();
ArchDescription describe_deepseek_v4(const Config& config, const ModelOptions& options);

std::span<const Rule> glm4_moe_rules();
ArchDescription describe_glm4_moe(const Config& config, const ModelOptions& options);

std::span<const Rule> gpt_oss_rules();
ArchDescription describe_gpt_oss(const Config& config, const ModelOptions& options);

std::span<const Rule> llama_rules();
ArchDescription describe_llama(const Config& config, const ModelOptions& options);

std::span<const Rule> nemotron_rules();
ArchDescription describe_nemotron(const Config& config, const ModelOptions& options);

std::span<const Rule> nemotron_h_rules();
ArchDescription describe_nemotron_h(const Config& config, const ModelOptions& options);

std::span<const Rule> qwen_rules();
ArchDescription describe_qwen2(const Config& config, const ModelOptions& options);
ArchDescription describe_qwen3(const Config& config, const ModelOptions& options);
ArchDescription describe_qwen3_moe(const Config& config, const ModelOptions& options);

std::span<const Rule> qwen_next_rules();
ArchDescription describe_qwen3_next(const Config& config, const ModelOptions& options);
ArchDescription describe_qwen35(const Config& config, const ModelOptions& options);
ArchDescription describe_qwen35_moe(const Config& config, const ModelOptions& options);

}  // namespace ggufmill
