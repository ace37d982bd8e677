// Qwen 2, 2.5 and 3: decoders built like Llama's, whose rope pairs the halves of a head as they stand.
//   Qwen 2, 2.5  biases at q, k and v
//   Qwen 3       instead each head's q and k are normed, and heads have a width of their own (head_dim)
//   Qwen 3 MoE   experts instead of the feed-forward, without a shared one; published one by one
// The small ones are tied: without lm_head the embeddings serve as output.
//
// Source: llama.cpp b10573, conversion/qwen.py; src/models/{qwen2,qwen3,qwen3moe}.cpp; transformers 4.57.6, models/{qwen2,qwen3}.
// Not here: Qwen 1 and 1.5 MoE, vision-language models, rerankers and embeddings, dense blocks among those with experts.
#include "convert/arch/families.h"
#include "convert/arch/shared_rules.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr auto kOwnRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.post_attention_layernorm.weight", .to = "blk.{bid}.ffn_norm.weight", .shape = {"n_embd"}},
});

// Blocks: D dense, E experts.
constexpr auto kRules = joined(kEndRules, kAttentionRules, kOwnRules, kMlpRules, kExpertRules);

struct Traits {
  std::string_view gguf_name;
  bool qkv_bias = false, qk_norm = false, moe = false;
};

TextModel read_qwen(const Config& config) {
  const TextModel model = read_text_model(config);
  if (const auto act = config.find_string({"hidden_act"}); act && *act != "silu")
    throw config.bad_field("hidden_act", "found \"" + printable(*act) + "\", llama.cpp knows silu here");
  if (config.boolean_or("attention_bias", false))
    throw config.bad_field("attention_bias", "found true, but llama.cpp knows no such biases in this architecture");
  return model;
}

// llama.cpp has experts in every block here.
void check_sparse_steps(const Config& config) {
  if (config.find_uint({"decoder_sparse_step"}).value_or(1) != 1)
    throw config.bad_field("decoder_sparse_step", "is not 1: llama.cpp has experts in every block of this architecture");
  if (const auto dense = config.find_uints("mlp_only_layers"); dense && !dense->empty())
    throw config.bad_field("mlp_only_layers", "is not empty: llama.cpp has experts in every block of this architecture");
}

Layout make_layout(const Config& config, const TextModel& model, const Traits& traits) {
  const uint64_t n_expert = traits.moe ? read_experts(config, {"num_local_experts", "num_experts"}).n : 0;
  Layout layout;
  layout.block_kinds.assign(model.n_blocks, traits.moe ? 'E' : 'D');
  layout.n_experts = static_cast<uint32_t>(n_expert);
  layout.dims = text_model_dims(model, {{"qkv_bias", traits.qkv_bias},
                                        {"qk_norm", traits.qk_norm},
                                        {"n_ff", traits.moe ? 0 : config.uint({"intermediate_size"})},
                                        {"n_expert", n_expert},
                                        {"n_ff_exp", traits.moe ? config.uint({"moe_intermediate_size"}) : 0}});
  return layout;
}

ArchDescription describe(const Config& config, const ModelOptions& options, const Traits& traits) {
  refuse_mtp(config, options.mtp);
  const TextModel model = read_qwen(config);
  if (traits.moe) check_sparse_steps(config);
  ArchDescription description;
  description.gguf_name = traits.gguf_name;
  description.layout = make_layout(config, model, traits);
  Keys keys(description.metadata, description.gguf_name);
  add_text_model_keys(config, model, model.n_blocks, keys);
  if (traits.moe) keys.uint("expert_feed_forward_length", config.uint({"moe_intermediate_size"}));
  description.tokenizer = {.pre_tokenizers = {"qwen2"}, .n_tokens = model.n_vocab};
  // What DeepSeek distilled into Qwen has its special tokens.
  description.tokenizer.pre_tokenizers_by_token = {{"<｜begin▁of▁sentence｜>", "deepseek-r1-qwen"}};
  description.gqa_ratio = model.gqa_ratio();
  if (config.boolean_or("use_sliding_window", false)) {
    description.findings.push_back(
        {Severity::kWarning, "config.json", "", "use_sliding_window: llama.cpp attends to all positions in this architecture"});
  }
  return description;
}

}  // namespace

std::span<const Rule> qwen_rules() { return kRules; }

ArchDescription describe_qwen2(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "qwen2", .qkv_bias = true});
}

ArchDescription describe_qwen3(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "qwen3", .qk_norm = true});
}

ArchDescription describe_qwen3_moe(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "qwen3moe", .qk_norm = true, .moe = true});
}

}  // namespace ggufmill
