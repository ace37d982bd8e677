// DeepSeek and what is built like it: DeepSeek V2, V3, R1, V3.1 and V3.2, Kimi K2 to K2.6, GLM 4.7 Flash, GLM 5 to 5.2. Decoders
// with multi-head latent attention and, behind a few dense blocks, fine-grained experts beside shared ones:
//   q   q_a_proj to a narrow latent, norm, q_b_proj to heads of nope + rope values; without q_lora_rank one q_proj
//   kv  kv_a_proj_with_mqa to one latent for all heads, beside it the part with rope that they share; kv_b_proj [heads * (nope +
//   v)]
//       unfolds it. llama.cpp runs with the latents as they are (as if all heads shared one), so it wants kv_b_proj cut in two:
//       attn_k_b, per head the first nope rows, transposed, and attn_v_b, per head the other v rows
//   indexer  in V3.2 and GLM 5 each token attends to the top few positions, which a small attention of its own chooses. From
//   GLM 5.2
//       on only blocks that `indexer_types` calls full have one, the others share it
// Behind the last block, numbered on, stand blocks of multi-token prediction, with all that a block has: llama.cpp knows them in
// deepseek32, glm-dsa and GLM 4.7 Flash, and not in V3 and Kimi, whose are left out.
//
// What is written where config.json is silent is what llama.cpp's converter takes, which reads V2 and V3 through transformers:
// there head_dim is that of the rope, written before it is overwritten.
//
// Source: llama.cpp b10573, conversion/deepseek.py, glm.py, kimivl.py; src/models/{deepseek2,deepseek32,glm-dsa}.cpp.
// Not here: models without experts (Youtu), vision towers (Kimi K2.5: left out by name), DeepSeek V4 (deepseek_v4.cc).
#include <optional>

#include "convert/arch/families.h"
#include "convert/arch/glm.h"
#include "convert/arch/shared_rules.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr double kMscaleShare = 0.1;  // of mscale_all_dim: what llama.cpp multiplies the logarithm of the rope's factor with

// One or two lines a rule. Blocks: D dense, E experts, N multi-token prediction.
// clang-format off
constexpr auto kLatentAttentionRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.input_layernorm.weight", .to = "blk.{bid}.attn_norm.weight", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.weight", .to = "blk.{bid}.attn_q.weight", .only_if = "plain_q",
     .shape = {"q_b_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_a_proj.weight", .to = "blk.{bid}.attn_q_a.weight", .only_if = "q_lora",
     .shape = {"q_lora", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_a_layernorm.weight", .to = "blk.{bid}.attn_q_a_norm.weight", .only_if = "q_lora",
     .shape = {"q_lora"}},
    {.from = "model.layers.{bid}.self_attn.q_b_proj.weight", .to = "blk.{bid}.attn_q_b.weight", .only_if = "q_lora",
     .shape = {"q_b_rows", "q_lora"}},
    {.from = "model.layers.{bid}.self_attn.kv_a_proj_with_mqa.weight", .to = "blk.{bid}.attn_kv_a_mqa.weight",
     .shape = {"kv_a_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.kv_a_layernorm.weight", .to = "blk.{bid}.attn_kv_a_norm.weight", .shape = {"kv_lora"}},
    {.from = "model.layers.{bid}.self_attn.kv_b_proj.weight", .to = "blk.{bid}.attn_k_b.weight", .shape = {"kv_b_rows", "kv_lora"},
     .move = "(n_head [nope v]) kv_lora -> n_head kv_lora nope"},
    {.from = "model.layers.{bid}.self_attn.kv_b_proj.weight", .to = "blk.{bid}.attn_v_b.weight", .shape = {"kv_b_rows", "kv_lora"},
     .move = "(n_head [nope v]) kv_lora -> n_head v kv_lora"},
    {.from = "model.layers.{bid}.self_attn.o_proj.weight", .to = "blk.{bid}.attn_output.weight", .shape = {"n_embd", "o_columns"}},
    {.from = "model.layers.{bid}.self_attn.rotary_emb.inv_freq"},  // follows from rope_theta; old checkpoints store it

    {.from = "model.layers.{bid}.self_attn.indexer.wq_b.weight", .to = "blk.{bid}.indexer.attn_q_b.weight", .only_if = "indexer",
     .shape = {"indexer_rows", "q_lora"}},
    {.from = "model.layers.{bid}.self_attn.indexer.wk.weight", .to = "blk.{bid}.indexer.attn_k.weight", .only_if = "indexer",
     .shape = {"indexer_dim", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.indexer.k_norm.weight", .to = "blk.{bid}.indexer.k_norm.weight", .only_if = "indexer",
     .shape = {"indexer_dim"}},
    {.from = "model.layers.{bid}.self_attn.indexer.k_norm.bias", .to = "blk.{bid}.indexer.k_norm.bias", .only_if = "indexer",
     .shape = {"indexer_dim"}},
    {.from = "model.layers.{bid}.self_attn.indexer.weights_proj.weight", .to = "blk.{bid}.indexer.proj.weight", .only_if = "indexer",
     .shape = {"indexer_heads", "n_embd"}},

    {.from = "model.layers.{bid}.post_attention_layernorm.weight", .to = "blk.{bid}.ffn_norm.weight", .shape = {"n_embd"}},
});
// clang-format on

constexpr auto kRules = joined(kEndRules, kLatentAttentionRules, kMlpRules, kExpertRules, kSharedExpertRules, kNextnRules);

// What differs between the architectures that share the table.
struct Traits {
  std::string_view gguf_name;
  bool mtp = true;       // llama.cpp knows blocks of multi-token prediction here
  bool indexer = false;  // sparse attention
  bool glm = false;      // GLM's vocabulary
  bool bos = false;      // the converter refuses a tokenizer that does not ask for BOS
};

struct Parameters {
  TextModel text;
  uint64_t q_lora, kv_lora, nope, rope, v, n_dense, n_ff, n_ff_exp, n_shared;
  Experts experts;
  uint64_t indexer_heads = 0, indexer_dim = 0;
  std::vector<uint64_t> has_indexer;  // per block, MTP's included
  bool mtp = false;
};

// One word per block: `full` where it has an indexer of its own.
std::vector<uint64_t> read_indexer_types(const Config& config, uint64_t n_blocks) {
  const auto words = config.find_strings("indexer_types");
  if (!words) return std::vector<uint64_t>(n_blocks, 1);
  if (words->size() != n_blocks) {
    throw config.bad_field("indexer_types", "has " + std::to_string(words->size()) + " entries, but num_hidden_layers is " +
                                                std::to_string(n_blocks));
  }
  std::vector<uint64_t> types;
  for (const std::string_view word : *words) {
    if (word != "full" && word != "shared")
      throw config.bad_field("indexer_types", "found \"" + printable(word) + "\", known are full and shared");
    types.push_back(word == "full");
  }
  return types;
}

void check_layer_types(const Config& config, const Parameters& p) {
  if (config.find_uint({"moe_layer_freq"}).value_or(1) != 1)
    throw config.bad_field("moe_layer_freq", "is not 1: llama.cpp has experts in every block behind the dense ones");
  const auto words = config.find_strings("mlp_layer_types");
  for (size_t i = 0; words && i < words->size(); ++i) {
    const std::string_view expected = i < p.n_dense ? "dense" : "sparse";
    if (words->size() == p.text.n_blocks && (*words)[i] == expected) continue;
    throw config.bad_field("mlp_layer_types", "does not have first_k_dense_replace " + std::to_string(p.n_dense) + " dense of " +
                                                  std::to_string(p.text.n_blocks) + " blocks");
  }
}

Parameters read_parameters(const Config& config, const ModelOptions& options, const Traits& traits) {
  Parameters p{};
  p.text = read_latent_text_model(config);
  const std::string_view type = config.find_string({"model_type"}).value_or("");
  p.text.names_head_dim |= type == "deepseek_v2" || type == "deepseek_v3";
  p.q_lora = config.find_uint({"q_lora_rank"}, 1).value_or(0);
  p.kv_lora = config.uint({"kv_lora_rank"});
  p.nope = config.uint({"qk_nope_head_dim"});
  p.rope = config.uint({"qk_rope_head_dim"});
  p.v = config.uint({"v_head_dim"});
  p.experts = read_experts(config, {"n_routed_experts"});
  p.n_dense = config.find_uint({"first_k_dense_replace"}, 0, p.text.n_blocks).value_or(0);
  p.n_ff = config.uint({"intermediate_size"});
  p.n_ff_exp = config.uint({"moe_intermediate_size"});
  p.n_shared = config.find_uint({"n_shared_experts"}).value_or(0);
  for (const uint64_t width : {p.text.n_head * (p.nope + p.v), p.text.n_head * (p.nope + p.rope), p.n_shared * p.n_ff_exp}) {
    if (width > kMaxConfigNumber)
      throw config.bad_field("num_attention_heads", "a product of heads and widths exceeds " + std::to_string(kMaxConfigNumber));
  }
  if (config.boolean_or("attention_bias", false))
    throw config.bad_field("attention_bias", "found true, but biases are not known in this family");
  check_layer_types(config, p);
  if (traits.indexer) {
    p.indexer_heads = config.uint({"index_n_heads"});
    p.indexer_dim = config.uint({"index_head_dim"});
    if (p.q_lora == 0) throw config.bad_field("q_lora_rank", "missing: the indexer reads that latent");
    p.has_indexer = read_indexer_types(config, p.text.n_blocks);
  } else {
    p.has_indexer.assign(p.text.n_blocks, 0);
  }
  p.has_indexer.push_back(traits.indexer);
  if (traits.mtp)
    p.mtp = converts_mtp(config, options.mtp);
  else if (options.mtp == MtpMode::kOnly)
    refuse_mtp(config, options.mtp);
  return p;
}

Layout make_layout(const Config& config, const Parameters& p) {
  // The bias that keeps experts in balance comes with the method of choosing them.
  const bool corrected = config.find_string({"topk_method"}).value_or("noaux_tc") == "noaux_tc";
  Layout layout;
  layout.block_kinds = std::string(p.n_dense, 'D') + std::string(p.text.n_blocks - p.n_dense, 'E');
  layout.mtp_kinds = "N";
  layout.mtp_block = p.mtp ? static_cast<int64_t>(p.text.n_blocks) : -1;
  layout.n_experts = static_cast<uint32_t>(p.experts.n);
  layout.prefixes = {{"language_model.", ""}};
  layout.dropped_prefixes = {"vision_tower.", "mm_projector."};
  layout.dims = text_model_dims(p.text, {{"nope", p.nope},
                                         {"v", p.v},
                                         {"plain_q", p.q_lora == 0},
                                         {"q_lora", p.q_lora},
                                         {"q_b_rows", p.text.n_head * (p.nope + p.rope)},
                                         {"kv_lora", p.kv_lora},
                                         {"kv_a_rows", p.kv_lora + p.rope},
                                         {"kv_b_rows", p.text.n_head * (p.nope + p.v)},
                                         {"o_columns", p.text.n_head * p.v},
                                         {"indexer_heads", p.indexer_heads},
                                         {"indexer_dim", p.indexer_dim},
                                         {"indexer_rows", p.indexer_heads * p.indexer_dim},
                                         {"n_expert", p.experts.n},
                                         {"corrected", corrected},
                                         {"n_ff_exp", p.n_ff_exp},
                                         {"n_ff_shexp", p.n_shared * p.n_ff_exp}});
  std::vector<uint64_t> n_ff(p.n_dense, p.n_ff);
  n_ff.resize(p.text.n_blocks + 1);
  layout.block_dims = {{"indexer", p.has_indexer}, {"n_ff", std::move(n_ff)}};
  return layout;
}

void add_indexer_keys(const Config& config, const Parameters& p, Keys& keys) {
  keys.uint("attention.indexer.head_count", p.indexer_heads);
  keys.uint("attention.indexer.key_length", p.indexer_dim);
  keys.uint("attention.indexer.top_k", config.uint({"index_topk"}));
  if (!config.has("indexer_types")) return;
  keys.set("attention.indexer.types",
           std::vector<bool>(p.has_indexer.begin(), p.has_indexer.begin() + static_cast<std::ptrdiff_t>(p.text.n_blocks)));
}

Metadata make_metadata(const Config& config, const Parameters& p, const Traits& traits) {
  Metadata metadata;
  Keys keys(metadata, traits.gguf_name);
  add_text_model_keys(config, p.text, p.text.n_blocks + p.mtp, keys);
  keys.uint("leading_dense_block_count", p.n_dense);
  keys.uint("vocab_size", p.text.n_vocab);
  if (p.q_lora > 0) keys.uint("attention.q_lora_rank", p.q_lora);
  keys.uint("attention.kv_lora_rank", p.kv_lora);
  keys.uint("attention.key_length", p.kv_lora + p.rope);
  keys.uint("attention.value_length", p.kv_lora);
  keys.uint("attention.key_length_mla", p.nope + p.rope);
  keys.uint("attention.value_length_mla", p.v);
  keys.uint("expert_feed_forward_length", p.n_ff_exp);
  keys.uint("expert_shared_count", p.n_shared);
  if (const auto scale = config.find_number({"routed_scaling_factor"})) keys.number("expert_weights_scale", *scale);
  if (config.boolean_or("norm_topk_prob", false)) keys.set("expert_weights_norm", true);
  keys.uint("rope.dimension_count", p.rope);
  if (const auto mscale = config.find_number({rope_object(config) + ".mscale_all_dim"}))
    keys.number("rope.scaling.yarn_log_multiplier", kMscaleShare * *mscale);
  if (p.mtp) keys.uint("nextn_predict_layers", 1);
  if (traits.indexer) add_indexer_keys(config, p, keys);
  return metadata;
}

ArchDescription describe(const Config& config, const ModelOptions& options, const Traits& traits) {
  const Parameters p = read_parameters(config, options, traits);
  ArchDescription description;
  description.gguf_name = traits.gguf_name;
  description.layout = make_layout(config, p);
  description.metadata = make_metadata(config, p, traits);
  if (traits.glm)
    description.tokenizer = glm_tokenizer(p.text.n_vocab);
  else
    description.tokenizer = {.form = TokenizerForm::kByteLevelOrTiktoken,
                             .pre_tokenizers = {"deepseek-v3"},
                             .tiktoken_pre_tokenizer = "kimi-k2",
                             .n_tokens = p.text.n_vocab,
                             .expects_bos = traits.bos};
  description.gqa_ratio = static_cast<double>(p.text.n_head);
  if (!traits.mtp) description.why_mtp_left_out = "llama.cpp does not know in this architecture";
  return description;
}

}  // namespace

std::span<const Rule> deepseek_rules() { return kRules; }

ArchDescription describe_deepseek2(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "deepseek2", .mtp = false});
}

ArchDescription describe_deepseek32(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "deepseek32", .indexer = true, .bos = true});
}

ArchDescription describe_glm_dsa(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "glm-dsa", .indexer = true, .glm = true});
}

ArchDescription describe_glm4_moe_lite(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "deepseek2", .glm = true});
}

}  // namespace ggufmill
