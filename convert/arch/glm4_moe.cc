// GLM 4.5, 4.5 Air, 4.6 and 4.7: decoders with grouped attention (biases at q, k and v; in the larger ones each head's q and k
// are normed) whose rope turns the first half of each head, and behind one to three dense blocks experts chosen by sigmoid beside
// a shared one. A block of multi-token prediction stands behind the last, numbered on, with embeddings and an output of its own.
//
// What is written where config.json is silent is what transformers' class of config says, through which llama.cpp's converter
// reads it: partial_rotary_factor 0.5.
//
// Source: llama.cpp b10573, conversion/glm.py, class Glm4MoeModel; src/models/glm4-moe.cpp.
// Not here: dense GLM 4 and vision-language models. GLM 4.7 Flash and GLM 5 have latent attention: deepseek.cc.
#include "convert/arch/families.h"
#include "convert/arch/glm.h"
#include "convert/arch/shared_rules.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr double kPartialRotaryFactor = 0.5;

constexpr auto kOwnRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.post_attention_layernorm.weight",
     .to = "blk.{bid}.post_attention_norm.weight",
     .shape = {"n_embd"}},
});

// Blocks: D dense, E experts, N multi-token prediction.
constexpr auto kRules = joined(kEndRules, kAttentionRules, kOwnRules, kMlpRules, kExpertRules, kSharedExpertRules, kNextnRules);

Layout make_layout(const Config& config, const TextModel& model, bool mtp) {
  const uint64_t n_dense = config.uint({"first_k_dense_replace"}, 0, model.n_blocks);
  const uint64_t n_expert = read_experts(config, {"n_routed_experts"}).n, n_ff_exp = config.uint({"moe_intermediate_size"});
  Layout layout;
  layout.block_kinds = std::string(n_dense, 'D') + std::string(model.n_blocks - n_dense, 'E');
  layout.mtp_kinds = "N";
  layout.mtp_block = mtp ? static_cast<int64_t>(model.n_blocks) : -1;
  layout.n_experts = static_cast<uint32_t>(n_expert);
  layout.dims = text_model_dims(model, {{"qkv_bias", config.boolean_or("attention_bias", false)},
                                        {"qk_norm", config.boolean_or("use_qk_norm", false)},
                                        {"n_expert", n_expert},
                                        {"corrected", 1},
                                        {"n_ff_exp", n_ff_exp},
                                        {"n_ff_shexp", config.uint({"n_shared_experts"}) * n_ff_exp}});
  std::vector<uint64_t> n_ff(n_dense, config.uint({"intermediate_size"}));
  n_ff.resize(model.n_blocks + 1);
  layout.block_dims = {{"n_ff", std::move(n_ff)}};
  return layout;
}

}  // namespace

TokenizerRequest glm_tokenizer(uint64_t n_tokens) {
  return {.pre_tokenizers = {"glm4"},
          .n_tokens = n_tokens,
          .tokens_of_kinds = {{"bos", "[gMASK]"}, {"eot", "<|user|>"}, {"unk", "<|endoftext|>"}, {"eom", "<|observation|>"}}};
}

std::span<const Rule> glm4_moe_rules() { return kRules; }

ArchDescription describe_glm4_moe(const Config& config, const ModelOptions& options) {
  const TextModel model = read_text_model(config);
  const bool mtp = converts_mtp(config, options.mtp);
  ArchDescription description;
  description.gguf_name = "glm4moe";
  description.layout = make_layout(config, model, mtp);
  Keys keys(description.metadata, description.gguf_name);
  add_text_model_keys(config, model, model.n_blocks + mtp, keys);
  const double part = config.find_number({rope_object(config) + ".partial_rotary_factor", "partial_rotary_factor"})
                          .value_or(kPartialRotaryFactor);
  if (!(part > 0) || part > 1) throw config.bad_field("partial_rotary_factor", "expected a number above 0 and up to 1");
  keys.uint("rope.dimension_count", static_cast<uint64_t>(static_cast<double>(model.head_dim) * part));
  keys.uint("expert_feed_forward_length", config.uint({"moe_intermediate_size"}));
  keys.uint("expert_shared_count", config.uint({"n_shared_experts"}));
  keys.uint("leading_dense_block_count", config.uint({"first_k_dense_replace"}, 0, model.n_blocks));
  keys.uint("expert_gating_func", kSigmoidGating);
  if (const auto scale = config.find_number({"routed_scaling_factor"})) keys.number("expert_weights_scale", *scale);
  if (config.has("norm_topk_prob")) keys.set("expert_weights_norm", config.boolean("norm_topk_prob"));
  if (mtp) keys.uint("nextn_predict_layers", 1);
  description.tokenizer = glm_tokenizer(model.n_vocab);
  description.gqa_ratio = model.gqa_ratio();
  // Releases before want the blocks of the trunk too.
  if (options.mtp == MtpMode::kOnly) description.loads = {"v0.5.0", ""};
  return description;
}

}  // namespace ggufmill
