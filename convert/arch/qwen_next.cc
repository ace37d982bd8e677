// Qwen3-Next, Qwen3.5 and Qwen3.6, dense and with experts: three blocks of linear attention (gated delta net), then one of
// softmax attention with a gate, and so on; each with a feed-forward or experts beside a shared one that has a gate of its own.
//   linear     q, k, v and z (a gate) of one product, a convolution over q, k and v, and per v head a decay (A_log, dt_bias, from
//   a) and
//              a step (from b). v heads are more than k heads and grouped by them; llama.cpp repeats k in turns, so from Qwen3.5
//              on v heads are put in its order: of every k head the first, then of every k head the second, ...
//   attention  q_proj holds, head by head, query and gate: twice as many rows
//   norms      stored around zero (+ 1), but for linear_attn.norm
//   experts    published one by one, or stacked with gate and up fused
// In Qwen3-Next q, k, v, z (and b, a) stand in one matrix, k head by k head. Multi-token prediction is a block named
// mtp.layers.0, with its fusion and norms beside it; it becomes the block behind the last. Vision towers are left out by name.
//
// Source: llama.cpp b10573, conversion/qwen.py; src/models/{qwen3next,qwen35,qwen35moe}.cpp; transformers 4.57.6,
// models/qwen3_next. Where blocks of attention do not stand evenly, attention.recurrent_layers says which do not have it.
//
// Not here: blocks without experts among those with (mlp_only_layers), which llama.cpp does not know.
#include "convert/arch/families.h"
#include "convert/arch/shared_rules.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr uint64_t kFullAttentionInterval = 4;
constexpr double kPartialRotaryFactor = 0.25;

// One or two lines a rule. Blocks: L linear attention, A attention, N multi-token prediction (with attention).
// clang-format off
constexpr auto kOwnRules = std::to_array<Rule>({
    {.from = "model.embed_tokens.weight", .to = "token_embd.weight", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "model.norm.weight", .to = "output_norm.weight", .shape = {"n_embd"}, .op = ValueOp::kAddOne, .part = Part::kShared},
    {.from = "lm_head.weight", .to = "output.weight", .only_if = "untied", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "lm_head.weight", .to = "output.weight", .only_if = "may_be_tied", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared,
     .presence = Presence::kOptional},

    {.from = "model.layers.{bid}.input_layernorm.weight", .to = "blk.{bid}.attn_norm.weight", .shape = {"n_embd"}, .op = ValueOp::kAddOne},
    {.from = "model.layers.{bid}.self_attn.q_proj.weight", .to = "blk.{bid}.attn_q.weight", .blocks = "AN", .shape = {"q_rows_x2", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.k_proj.weight", .to = "blk.{bid}.attn_k.weight", .blocks = "AN", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.v_proj.weight", .to = "blk.{bid}.attn_v.weight", .blocks = "AN", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.o_proj.weight", .to = "blk.{bid}.attn_output.weight", .blocks = "AN",
     .shape = {"n_embd", "q_rows"}},
    {.from = "model.layers.{bid}.self_attn.q_norm.weight", .to = "blk.{bid}.attn_q_norm.weight", .blocks = "AN", .shape = {"head_dim"},
     .op = ValueOp::kAddOne},
    {.from = "model.layers.{bid}.self_attn.k_norm.weight", .to = "blk.{bid}.attn_k_norm.weight", .blocks = "AN", .shape = {"head_dim"},
     .op = ValueOp::kAddOne},

    // Qwen3-Next: one matrix, k head by k head
    {.from = "model.layers.{bid}.linear_attn.in_proj_qkvz.weight", .to = "blk.{bid}.attn_qkv.weight", .blocks = "L", .only_if = "fused",
     .shape = {"qkvz_rows", "n_embd"}, .move = "(k_heads [q k v z]) n_embd -> (k_heads q) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_qkvz.weight", .to = "blk.{bid}.attn_qkv.weight", .blocks = "L", .only_if = "fused",
     .shape = {"qkvz_rows", "n_embd"}, .move = "(k_heads [q k v z]) n_embd -> (k_heads k) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_qkvz.weight", .to = "blk.{bid}.attn_qkv.weight", .blocks = "L", .only_if = "fused",
     .shape = {"qkvz_rows", "n_embd"}, .move = "(k_heads [q k v z]) n_embd -> (k_heads v) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_qkvz.weight", .to = "blk.{bid}.attn_gate.weight", .blocks = "L", .only_if = "fused",
     .shape = {"qkvz_rows", "n_embd"}, .move = "(k_heads [q k v z]) n_embd -> (k_heads z) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_ba.weight", .to = "blk.{bid}.ssm_ba.weight", .blocks = "L", .only_if = "fused",
     .shape = {"v_heads_x2", "n_embd"}},
    {.from = "model.layers.{bid}.linear_attn.conv1d.weight", .to = "blk.{bid}.ssm_conv1d.weight", .blocks = "L", .only_if = "fused",
     .shape = {"conv_channels", "1", "conv_kernel"}, .ne = {"conv_kernel", "conv_channels"}},
    {.from = "model.layers.{bid}.linear_attn.A_log", .to = "blk.{bid}.ssm_a", .blocks = "L", .only_if = "fused", .shape = {"v_heads"},
     .op = ValueOp::kNegExp},
    {.from = "model.layers.{bid}.linear_attn.dt_bias", .to = "blk.{bid}.ssm_dt.bias", .blocks = "L", .only_if = "fused",
     .shape = {"v_heads"}},
    {.from = "model.layers.{bid}.linear_attn.out_proj.weight", .to = "blk.{bid}.ssm_out.weight", .blocks = "L", .only_if = "fused",
     .shape = {"n_embd", "v_rows"}},

    // Qwen3.5: four matrices, v heads in llama.cpp's order
    {.from = "model.layers.{bid}.linear_attn.in_proj_qkv.weight", .to = "blk.{bid}.attn_qkv.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"conv_channels", "n_embd"}, .move = "[qk v_rows] n_embd -> qk n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_qkv.weight", .to = "blk.{bid}.attn_qkv.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"conv_channels", "n_embd"}, .move = "[qk (k_heads v_per_k v_dim)] n_embd -> (v_per_k k_heads v_dim) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_z.weight", .to = "blk.{bid}.attn_gate.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"v_rows", "n_embd"}, .move = "(k_heads v_per_k v_dim) n_embd -> (v_per_k k_heads v_dim) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_b.weight", .to = "blk.{bid}.ssm_beta.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"v_heads", "n_embd"}, .move = "(k_heads v_per_k) n_embd -> (v_per_k k_heads) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.in_proj_a.weight", .to = "blk.{bid}.ssm_alpha.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"v_heads", "n_embd"}, .move = "(k_heads v_per_k) n_embd -> (v_per_k k_heads) n_embd"},
    {.from = "model.layers.{bid}.linear_attn.conv1d.weight", .to = "blk.{bid}.ssm_conv1d.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"conv_channels", "1", "conv_kernel"}, .move = "[qk v_rows] 1 conv_kernel -> qk conv_kernel"},
    {.from = "model.layers.{bid}.linear_attn.conv1d.weight", .to = "blk.{bid}.ssm_conv1d.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"conv_channels", "1", "conv_kernel"},
     .move = "[qk (k_heads v_per_k v_dim)] 1 conv_kernel -> (v_per_k k_heads v_dim) conv_kernel"},
    {.from = "model.layers.{bid}.linear_attn.A_log", .to = "blk.{bid}.ssm_a", .blocks = "L", .only_if = "reordered", .shape = {"v_heads"},
     .move = "(k_heads v_per_k) -> (v_per_k k_heads)", .op = ValueOp::kNegExp},
    {.from = "model.layers.{bid}.linear_attn.dt_bias", .to = "blk.{bid}.ssm_dt.bias", .blocks = "L", .only_if = "reordered",
     .shape = {"v_heads"}, .move = "(k_heads v_per_k) -> (v_per_k k_heads)"},
    {.from = "model.layers.{bid}.linear_attn.out_proj.weight", .to = "blk.{bid}.ssm_out.weight", .blocks = "L", .only_if = "reordered",
     .shape = {"n_embd", "v_rows"}, .move = "n_embd (k_heads v_per_k v_dim) -> n_embd (v_per_k k_heads v_dim)"},
    {.from = "model.layers.{bid}.linear_attn.norm.weight", .to = "blk.{bid}.ssm_norm.weight", .blocks = "L", .shape = {"v_dim"}},

    {.from = "model.layers.{bid}.post_attention_layernorm.weight", .to = "blk.{bid}.post_attention_norm.weight", .shape = {"n_embd"},
     .op = ValueOp::kAddOne},
    {.from = "model.layers.{bid}.mlp.gate.weight", .to = "blk.{bid}.ffn_gate_inp.weight", .only_if = "n_expert",
     .shape = {"n_expert", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj", .alias = "model.layers.{bid}.mlp.experts.gate_up_proj.weight",
     .to = "blk.{bid}.ffn_gate_exps.weight", .only_if = "n_expert", .shape = {"n_expert", "n_ff_exp_x2", "n_embd"},
     .move = "n_expert [n_ff_exp up] n_embd -> n_expert n_ff_exp n_embd", .presence = Presence::kOneOf},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj", .alias = "model.layers.{bid}.mlp.experts.gate_up_proj.weight",
     .to = "blk.{bid}.ffn_up_exps.weight", .only_if = "n_expert", .shape = {"n_expert", "n_ff_exp_x2", "n_embd"},
     .move = "n_expert [n_ff_exp up] n_embd -> n_expert up n_embd", .presence = Presence::kOneOf},
    {.from = "model.layers.{bid}.mlp.experts.down_proj", .alias = "model.layers.{bid}.mlp.experts.down_proj.weight",
     .to = "blk.{bid}.ffn_down_exps.weight", .only_if = "n_expert", .shape = {"n_expert", "n_embd", "n_ff_exp"},
     .presence = Presence::kOneOf},
    {.from = "model.layers.{bid}.mlp.experts.{xid}.gate_proj.weight", .to = "blk.{bid}.ffn_gate_exps.weight", .only_if = "n_expert",
     .shape = {"n_ff_exp", "n_embd"}, .presence = Presence::kOneOf},
    {.from = "model.layers.{bid}.mlp.experts.{xid}.up_proj.weight", .to = "blk.{bid}.ffn_up_exps.weight", .only_if = "n_expert",
     .shape = {"n_ff_exp", "n_embd"}, .presence = Presence::kOneOf},
    {.from = "model.layers.{bid}.mlp.experts.{xid}.down_proj.weight", .to = "blk.{bid}.ffn_down_exps.weight", .only_if = "n_expert",
     .shape = {"n_embd", "n_ff_exp"}, .presence = Presence::kOneOf},
    {.from = "model.layers.{bid}.mlp.shared_expert.gate_proj.weight", .to = "blk.{bid}.ffn_gate_shexp.weight", .only_if = "n_expert",
     .shape = {"n_ff_shexp", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.shared_expert.up_proj.weight", .to = "blk.{bid}.ffn_up_shexp.weight", .only_if = "n_expert",
     .shape = {"n_ff_shexp", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.shared_expert.down_proj.weight", .to = "blk.{bid}.ffn_down_shexp.weight", .only_if = "n_expert",
     .shape = {"n_embd", "n_ff_shexp"}},
    {.from = "model.layers.{bid}.mlp.shared_expert_gate.weight", .to = "blk.{bid}.ffn_gate_inp_shexp.weight", .only_if = "n_expert",
     .shape = {"1", "n_embd"}},

    {.from = "mtp.fc.weight", .to = "blk.{mtp}.nextn.eh_proj.weight", .shape = {"n_embd", "n_embd_x2"}, .part = Part::kMtp},
    {.from = "mtp.pre_fc_norm_embedding.weight", .to = "blk.{mtp}.nextn.enorm.weight", .shape = {"n_embd"}, .op = ValueOp::kAddOne,
     .part = Part::kMtp},
    {.from = "mtp.pre_fc_norm_hidden.weight", .to = "blk.{mtp}.nextn.hnorm.weight", .shape = {"n_embd"}, .op = ValueOp::kAddOne,
     .part = Part::kMtp},
    {.from = "mtp.norm.weight", .to = "blk.{mtp}.nextn.shared_head_norm.weight", .shape = {"n_embd"}, .op = ValueOp::kAddOne,
     .part = Part::kMtp},
});
// clang-format on

constexpr auto kRules = joined(kOwnRules, kMlpRules);

struct Traits {
  std::string_view gguf_name;
  bool moe = false;
  bool fused = false;  // Qwen3-Next's matrices
};

struct LinearAttention {
  uint64_t k_heads, v_heads, k_dim, v_dim, conv_kernel;
  uint64_t k_rows() const { return k_heads * k_dim; }
  uint64_t v_rows() const { return v_heads * v_dim; }
};

LinearAttention read_linear_attention(const Config& config) {
  const LinearAttention a{.k_heads = config.uint({"linear_num_key_heads"}),
                          .v_heads = config.uint({"linear_num_value_heads"}),
                          .k_dim = config.uint({"linear_key_head_dim"}),
                          .v_dim = config.uint({"linear_value_head_dim"}),
                          .conv_kernel = config.uint({"linear_conv_kernel_dim"})};
  if (a.v_heads % a.k_heads != 0) {
    throw config.bad_field("linear_num_value_heads",
                           std::to_string(a.v_heads) + " is not a multiple of linear_num_key_heads " + std::to_string(a.k_heads));
  }
  if (a.k_dim != a.v_dim)
    throw config.bad_field("linear_value_head_dim", "is not linear_key_head_dim, as llama.cpp has it in this architecture");
  if (a.k_rows() > kMaxConfigNumber || a.v_rows() > kMaxConfigNumber)
    throw config.bad_field("linear_key_head_dim", "times its heads exceeds " + std::to_string(kMaxConfigNumber));
  return a;
}

// L and A where every nth block has attention: what llama.cpp takes of full_attention_interval.
std::string even_kinds(uint64_t n_blocks, uint64_t interval) {
  std::string kinds;
  for (uint64_t i = 0; i < n_blocks; ++i) kinds += (i + 1) % interval == 0 ? 'A' : 'L';
  return kinds;
}

std::string block_kinds(const Config& config, uint64_t n_blocks, uint64_t interval) {
  const auto words = config.find_strings("layer_types");
  if (!words) return even_kinds(n_blocks, interval);
  if (words->size() != n_blocks) {
    throw config.bad_field(
        "layer_types", "has " + std::to_string(words->size()) + " entries, but num_hidden_layers is " + std::to_string(n_blocks));
  }
  std::string kinds;
  for (const std::string_view word : *words) {
    if (word != "full_attention" && word != "linear_attention") {
      throw config.bad_field("layer_types", "found \"" + printable(word) + "\", known are full_attention and linear_attention");
    }
    kinds += word == "full_attention" ? 'A' : 'L';
  }
  return kinds;
}

// Qwen3.5 announces the block, Qwen3-Next just has it.
bool converts_mtp_block(const Config& config, const ModelOptions& options) {
  const auto announced = config.find_uint({"mtp_num_hidden_layers"});
  const bool there = options.has_tensor && (options.has_tensor("mtp.fc.weight") || options.has_tensor("model.mtp.fc.weight"));
  const uint64_t n = announced.value_or(there);
  if (n > 1) throw config.bad_field("mtp_num_hidden_layers", "found " + std::to_string(n) + ", only 0 and 1 are known");
  if (n == 0 && options.mtp == MtpMode::kOnly)
    throw config.bad_field("mtp_num_hidden_layers", "missing or 0: the model has no MTP block to write alone");
  return n == 1 && options.mtp != MtpMode::kLeaveOut;
}

Layout make_layout(const Config& config, const TextModel& model, const LinearAttention& linear, const Traits& traits,
                   const std::string& kinds, bool mtp) {
  const uint64_t v_per_k = linear.v_heads / linear.k_heads;
  const uint64_t n_expert = traits.moe ? read_experts(config, {"num_experts"}).n : 0;
  const uint64_t n_ff_exp = traits.moe ? config.uint({"moe_intermediate_size"}) : 0;
  const std::string mtp_block = std::to_string(model.n_blocks);
  Layout layout;
  layout.block_kinds = kinds;
  layout.mtp_kinds = "N";
  layout.mtp_prefix = "mtp.";
  layout.mtp_block = mtp ? static_cast<int64_t>(model.n_blocks) : -1;
  layout.n_experts = static_cast<uint32_t>(n_expert);
  layout.prefixes = {{"model.language_model.", "model."},
                     {"mtp.layers.0.", "model.layers." + mtp_block + "."},
                     {"model.mtp.layers.0.", "model.layers." + mtp_block + "."},
                     {"model.mtp.", "mtp."}};
  layout.dropped_prefixes = {"model.visual.", "visual."};
  layout.dims = text_model_dims(model, {{"q_rows_x2", 2 * model.q_rows()},
                                        {"fused", traits.fused},
                                        {"reordered", !traits.fused},
                                        {"k_heads", linear.k_heads},
                                        {"v_heads", linear.v_heads},
                                        {"v_heads_x2", 2 * linear.v_heads},
                                        {"v_per_k", v_per_k},
                                        {"v_dim", linear.v_dim},
                                        {"v_rows", linear.v_rows()},
                                        {"qk", 2 * linear.k_rows()},
                                        {"q", linear.k_dim},
                                        {"k", linear.k_dim},
                                        {"v", v_per_k * linear.v_dim},
                                        {"z", v_per_k * linear.v_dim},
                                        {"qkvz_rows", 2 * linear.k_rows() + 2 * linear.v_rows()},
                                        {"conv_channels", 2 * linear.k_rows() + linear.v_rows()},
                                        {"conv_kernel", linear.conv_kernel},
                                        {"n_expert", n_expert},
                                        {"n_ff_exp", n_ff_exp},
                                        {"up", n_ff_exp},
                                        {"n_ff_exp_x2", 2 * n_ff_exp},
                                        {"n_ff", traits.moe ? 0 : config.uint({"intermediate_size"})},
                                        {"n_ff_shexp", traits.moe ? config.uint({"shared_expert_intermediate_size"}) : 0}});
  return layout;
}

void check_known(const Config& config) {
  if (const auto dense = config.find_uints("mlp_only_layers"); dense && !dense->empty())
    throw config.bad_field("mlp_only_layers", "is not empty: llama.cpp has experts in every block of this architecture");
  if (config.find_uint({"decoder_sparse_step"}).value_or(1) != 1)
    throw config.bad_field("decoder_sparse_step", "is not 1: llama.cpp has experts in every block of this architecture");
  if (config.boolean_or("attention_bias", false))
    throw config.bad_field("attention_bias", "found true, but llama.cpp knows no such biases in this architecture");
  if (!config.boolean_or("attn_output_gate", true))
    throw config.bad_field("attn_output_gate", "found false, but llama.cpp has that gate in this architecture");
}

// qwen35's loaders want sections of the rope, whatever config.json says.
void add_default_sections(const Config& config, Keys& keys) {
  if (!config.has(rope_object(config) + ".mrope_section"))
    keys.set("rope.dimension_sections", std::vector<int32_t>{11, 11, 10, 0});
}

ArchDescription describe(const Config& config, const ModelOptions& options, const Traits& traits) {
  check_known(config);
  const TextModel model = read_text_model(config);
  const LinearAttention linear = read_linear_attention(config);
  const uint64_t interval = config.find_uint({"full_attention_interval"}, 1).value_or(kFullAttentionInterval);
  const bool mtp = converts_mtp_block(config, options);
  const double part = config.find_number({rope_object(config) + ".partial_rotary_factor", "partial_rotary_factor"})
                          .value_or(kPartialRotaryFactor);
  if (!(part > 0) || part > 1) throw config.bad_field("partial_rotary_factor", "expected a number above 0 and up to 1");
  ArchDescription description;
  description.gguf_name = traits.gguf_name;
  description.layout = make_layout(config, model, linear, traits, block_kinds(config, model.n_blocks, interval), mtp);
  Keys keys(description.metadata, description.gguf_name);
  add_text_model_keys(config, model, model.n_blocks + mtp, keys);
  if (traits.moe) {
    keys.uint("expert_feed_forward_length", config.uint({"moe_intermediate_size"}));
    keys.uint("expert_shared_feed_forward_length", config.uint({"shared_expert_intermediate_size"}));
  }
  if (mtp) keys.uint("nextn_predict_layers", 1);
  keys.uint("ssm.conv_kernel", linear.conv_kernel);
  keys.uint("ssm.state_size", linear.k_dim);
  keys.uint("ssm.group_count", linear.k_heads);
  keys.uint("ssm.time_step_rank", linear.v_heads);
  keys.uint("ssm.inner_size", linear.v_rows());
  if (const std::string& kinds = description.layout.block_kinds; kinds != even_kinds(kinds.size(), interval)) {
    std::vector<bool> recurrent;
    for (const char kind : kinds) recurrent.push_back(kind == 'L');
    if (mtp) recurrent.push_back(false);
    keys.set("attention.recurrent_layers", recurrent);
  }
  keys.uint("full_attention_interval", interval);
  keys.uint("rope.dimension_count", static_cast<uint64_t>(static_cast<double>(model.head_dim) * part));
  if (!traits.fused) add_default_sections(config, keys);
  description.tokenizer = {.pre_tokenizers = {"qwen35", "qwen2"}, .n_tokens = model.n_vocab};
  description.gqa_ratio = model.gqa_ratio();
  description.why_mtp_left_out = "config.json does not announce (mtp_num_hidden_layers)";
  return description;
}

}  // namespace

std::span<const Rule> qwen_next_rules() { return kRules; }

ArchDescription describe_qwen3_next(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "qwen3next", .moe = true, .fused = true});
}

ArchDescription describe_qwen35(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "qwen35"});
}

ArchDescription describe_qwen35_moe(const Config& config, const ModelOptions& options) {
  return describe(config, options, {.gguf_name = "qwen35moe", .moe = true});
}

}  // namespace ggufmill
