// Nemotron-H: NVIDIA's hybrid of Mamba-2 and attention. Nemotron-H and Nemotron Nano 2 are dense; Nemotron 3 (Nano, Super,
// Ultra) has mixtures of experts, Super and Ultra with the experts in a narrower latent space (LatentMoE).
//
// Every block is one norm and one mixer, and its kind is a character of `hybrid_override_pattern` (or a word of
// `layers_block_type`): M Mamba-2, * attention, E experts, - plain MLP. Attention has no rotary positions; q and k are
// interleaved as for rope all the same, as llama.cpp's converter does (harmless: both get the same permutation).
//   M  in_proj [2*inner + 2*groups*state + heads, n_embd], conv1d over inner + 2*groups*state channels, A_log, D, dt_bias, norm
//   *  q, k, v, o
//   E  gate with a correction bias, experts.*.{up,down} without a gate projection (squared ReLU), shared_experts, and with
//      moe_latent_size fc1_latent (n_embd -> latent) before and fc2_latent (latent -> n_embd) behind the routed experts
// Multi-token prediction: mtp.layers.0 (fusion of hidden state and embedding, attention) and mtp.layers.1 (experts, final norm)
// fold into one GGUF block behind the last. Its router is BF16 there: the converter's list of F32 tensors compares the block
// number with the one in the source name (1), so it misses it.
//
// Source: llama.cpp b10573, conversion/nemotron.py, granite.py, mamba.py, llama.py; src/models/nemotron-h.cpp.
// Not here: the vision-language variants, and '-' blocks in a model with experts, which llama.cpp would run as Mamba blocks.
#include <optional>

#include "convert/arch/families.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

// The converter writes this for every hybrid model without rope, whatever max_position_embeddings says.
constexpr uint32_t kContextLength = uint32_t{1} << 20;

// Rows 0 .. head_dim/2 and the rest of every head, one by one in turn.
constexpr std::string_view kInterleaved = "(* 2 head_dim/2) n_embd -> (* head_dim/2 2) n_embd";

// One or two lines a rule:
// clang-format off
constexpr Rule kRules[] = {
    {.from = "backbone.embeddings.weight", .to = "token_embd.weight", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "backbone.norm_f.weight", .to = "output_norm.weight", .shape = {"n_embd"}, .part = Part::kShared},
    {.from = "lm_head.weight", .to = "output.weight", .only_if = "untied", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "lm_head.weight", .to = "output.weight", .only_if = "may_be_tied", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared,
     .presence = Presence::kOptional},
    {.from = "backbone.layers.{bid}.norm.weight", .to = "blk.{bid}.attn_norm.weight", .shape = {"n_embd"}},

    {.from = "backbone.layers.{bid}.mixer.in_proj.weight", .to = "blk.{bid}.ssm_in.weight", .blocks = "M", .shape = {"ssm_in", "n_embd"}},
    {.from = "backbone.layers.{bid}.mixer.conv1d.weight", .to = "blk.{bid}.ssm_conv1d.weight", .blocks = "M",
     .shape = {"ssm_conv", "1", "conv_kernel"}, .ne = {"conv_kernel", "ssm_conv"}},
    {.from = "backbone.layers.{bid}.mixer.conv1d.bias", .to = "blk.{bid}.ssm_conv1d.bias", .blocks = "M", .only_if = "conv_bias",
     .shape = {"ssm_conv"}},
    {.from = "backbone.layers.{bid}.mixer.dt_bias", .to = "blk.{bid}.ssm_dt.bias", .blocks = "M", .shape = {"ssm_heads"}},
    {.from = "backbone.layers.{bid}.mixer.A_log", .to = "blk.{bid}.ssm_a", .blocks = "M", .shape = {"ssm_heads"},
     .ne = {"1", "ssm_heads"}, .op = ValueOp::kNegExp},
    {.from = "backbone.layers.{bid}.mixer.D", .to = "blk.{bid}.ssm_d", .blocks = "M", .shape = {"ssm_heads"}, .ne = {"1", "ssm_heads"}},
    {.from = "backbone.layers.{bid}.mixer.norm.weight", .to = "blk.{bid}.ssm_norm.weight", .blocks = "M", .shape = {"ssm_inner"},
     .ne = {"ssm_group_width", "ssm_groups"}},
    {.from = "backbone.layers.{bid}.mixer.out_proj.weight", .to = "blk.{bid}.ssm_out.weight", .blocks = "M",
     .shape = {"n_embd", "ssm_inner"}},

    {.from = "backbone.layers.{bid}.mixer.q_proj.weight", .to = "blk.{bid}.attn_q.weight", .blocks = "*", .shape = {"q_rows", "n_embd"},
     .move = kInterleaved},
    {.from = "backbone.layers.{bid}.mixer.k_proj.weight", .to = "blk.{bid}.attn_k.weight", .blocks = "*", .shape = {"kv_rows", "n_embd"},
     .move = kInterleaved},
    {.from = "backbone.layers.{bid}.mixer.v_proj.weight", .to = "blk.{bid}.attn_v.weight", .blocks = "*", .shape = {"kv_rows", "n_embd"}},
    {.from = "backbone.layers.{bid}.mixer.o_proj.weight", .to = "blk.{bid}.attn_output.weight", .blocks = "*",
     .shape = {"n_embd", "q_rows"}},

    {.from = "backbone.layers.{bid}.mixer.up_proj.weight", .to = "blk.{bid}.ffn_up.weight", .blocks = "-", .shape = {"n_ff", "n_embd"}},
    {.from = "backbone.layers.{bid}.mixer.down_proj.weight", .to = "blk.{bid}.ffn_down.weight", .blocks = "-", .shape = {"n_embd", "n_ff"}},

    {.from = "backbone.layers.{bid}.mixer.gate.weight", .to = "blk.{bid}.ffn_gate_inp.weight", .blocks = "E",
     .shape = {"n_expert", "n_embd"}},
    {.from = "backbone.layers.{bid}.mixer.gate.e_score_correction_bias",
     .alias = "backbone.layers.{bid}.mixer.gate.e_score_correction.bias",
     .to = "blk.{bid}.exp_probs_b.bias", .blocks = "E", .shape = {"n_expert"}},
    {.from = "backbone.layers.{bid}.mixer.fc1_latent_proj.weight", .to = "blk.{bid}.ffn_latent_down.weight", .blocks = "E",
     .only_if = "n_latent", .shape = {"n_latent", "n_embd"}},
    {.from = "backbone.layers.{bid}.mixer.fc2_latent_proj.weight", .to = "blk.{bid}.ffn_latent_up.weight", .blocks = "E",
     .only_if = "n_latent", .shape = {"n_embd", "n_latent"}},
    {.from = "backbone.layers.{bid}.mixer.experts.{xid}.up_proj.weight", .to = "blk.{bid}.ffn_up_exps.weight", .blocks = "E",
     .shape = {"n_ff_exp", "n_embd_exp"}},
    {.from = "backbone.layers.{bid}.mixer.experts.{xid}.down_proj.weight", .to = "blk.{bid}.ffn_down_exps.weight", .blocks = "E",
     .shape = {"n_embd_exp", "n_ff_exp"}},
    {.from = "backbone.layers.{bid}.mixer.shared_experts.up_proj.weight", .to = "blk.{bid}.ffn_up_shexp.weight", .blocks = "E",
     .shape = {"n_ff_shexp", "n_embd"}},
    {.from = "backbone.layers.{bid}.mixer.shared_experts.down_proj.weight", .to = "blk.{bid}.ffn_down_shexp.weight", .blocks = "E",
     .shape = {"n_embd", "n_ff_shexp"}},

    {.from = "mtp.layers.0.enorm.weight", .to = "blk.{mtp}.nextn.enorm.weight", .shape = {"n_embd"}, .part = Part::kMtp},
    {.from = "mtp.layers.0.hnorm.weight", .to = "blk.{mtp}.nextn.hnorm.weight", .shape = {"n_embd"}, .part = Part::kMtp},
    {.from = "mtp.layers.0.eh_proj.weight", .to = "blk.{mtp}.nextn.eh_proj.weight", .shape = {"n_embd", "n_embd_x2"}, .part = Part::kMtp},
    {.from = "mtp.layers.0.norm.weight", .to = "blk.{mtp}.attn_norm.weight", .shape = {"n_embd"}, .part = Part::kMtp},
    {.from = "mtp.layers.0.mixer.q_proj.weight", .to = "blk.{mtp}.attn_q.weight", .shape = {"q_rows", "n_embd"},
     .move = kInterleaved, .part = Part::kMtp},
    {.from = "mtp.layers.0.mixer.k_proj.weight", .to = "blk.{mtp}.attn_k.weight", .shape = {"kv_rows", "n_embd"},
     .move = kInterleaved, .part = Part::kMtp},
    {.from = "mtp.layers.0.mixer.v_proj.weight", .to = "blk.{mtp}.attn_v.weight", .shape = {"kv_rows", "n_embd"}, .part = Part::kMtp},
    {.from = "mtp.layers.0.mixer.o_proj.weight", .to = "blk.{mtp}.attn_output.weight", .shape = {"n_embd", "q_rows"}, .part = Part::kMtp},
    {.from = "mtp.layers.1.norm.weight", .to = "blk.{mtp}.post_attention_norm.weight", .shape = {"n_embd"}, .part = Part::kMtp},
    {.from = "mtp.layers.1.final_layernorm.weight", .to = "blk.{mtp}.nextn.shared_head_norm.weight", .shape = {"n_embd"},
     .part = Part::kMtp},
    {.from = "mtp.layers.1.mixer.gate.weight", .to = "blk.{mtp}.ffn_gate_inp.weight", .shape = {"n_expert", "n_embd"}, .part = Part::kMtp,
     .fixed_type = FixedType::kNone},
    {.from = "mtp.layers.1.mixer.gate.e_score_correction_bias", .alias = "mtp.layers.1.mixer.gate.e_score_correction.bias",
     .to = "blk.{mtp}.exp_probs_b.bias", .shape = {"n_expert"}, .part = Part::kMtp},
    {.from = "mtp.layers.1.mixer.fc1_latent_proj.weight", .to = "blk.{mtp}.ffn_latent_down.weight", .only_if = "n_latent",
     .shape = {"n_latent", "n_embd"}, .part = Part::kMtp},
    {.from = "mtp.layers.1.mixer.fc2_latent_proj.weight", .to = "blk.{mtp}.ffn_latent_up.weight", .only_if = "n_latent",
     .shape = {"n_embd", "n_latent"}, .part = Part::kMtp},
    {.from = "mtp.layers.1.mixer.experts.{xid}.up_proj.weight", .to = "blk.{mtp}.ffn_up_exps.weight", .shape = {"n_ff_exp", "n_embd_exp"},
     .part = Part::kMtp},
    {.from = "mtp.layers.1.mixer.experts.{xid}.down_proj.weight", .to = "blk.{mtp}.ffn_down_exps.weight",
     .shape = {"n_embd_exp", "n_ff_exp"}, .part = Part::kMtp},
    {.from = "mtp.layers.1.mixer.shared_experts.up_proj.weight", .to = "blk.{mtp}.ffn_up_shexp.weight", .shape = {"n_ff_shexp", "n_embd"},
     .part = Part::kMtp},
    {.from = "mtp.layers.1.mixer.shared_experts.down_proj.weight", .to = "blk.{mtp}.ffn_down_shexp.weight",
     .shape = {"n_embd", "n_ff_shexp"}, .part = Part::kMtp},
};
// clang-format on

struct MoeParameters {
  uint64_t n_expert, n_used, n_ff, n_ff_shared, n_shared, n_group, n_latent;  // n_latent 0: experts as wide as the model
  bool norm_weights;
  double scale;
};

struct Parameters {
  std::string kinds;  // of the blocks without MTP
  uint64_t n_embd, n_vocab, n_head, n_head_kv, head_dim;
  uint64_t ssm_heads, ssm_inner, ssm_state, ssm_groups, conv_kernel;
  uint64_t n_ff = 0;  // of '-' blocks
  std::optional<MoeParameters> moe;
  bool mtp = false;  // an MTP block is described (in the metadata), behind the last
  uint64_t n_blocks() const { return kinds.size() + (mtp ? 1 : 0); }
};

// Characters for the words of layers_block_type or mtp_layers_block_type.
std::string kinds_of_words(const Config& config, std::string_view field, const std::vector<std::string_view>& words) {
  std::string kinds;
  for (const std::string_view word : words) {
    if (word == "mamba")
      kinds += 'M';
    else if (word == "attention")
      kinds += '*';
    else if (word == "moe")
      kinds += 'E';
    else if (word == "mlp")
      kinds += '-';
    else
      throw config.bad_field(field, "found \"" + printable(word) + "\", known are mamba, attention, moe and mlp");
  }
  return kinds;
}

std::string block_kinds(const Config& config) {
  std::string kinds;
  std::string_view field = "layers_block_type";
  if (const auto words = config.find_strings(field)) kinds = kinds_of_words(config, field, *words);
  if (const auto pattern = config.find_string({"hybrid_override_pattern"})) {
    if (!kinds.empty() && kinds != *pattern) {
      throw config.bad_field("hybrid_override_pattern", "contradicts layers_block_type, which reads " + printable(kinds));
    }
    kinds = *pattern;
    field = "hybrid_override_pattern";
    if (const size_t bad = kinds.find_first_not_of("M*E-"); bad != std::string::npos) {
      throw config.bad_field(field, "found '" + printable(kinds.substr(bad, 1)) + "' at position " + std::to_string(bad) +
                                        ", known are M, *, E and -");
    }
  }
  if (kinds.empty()) throw config.bad_field("hybrid_override_pattern", "missing or empty (nor layers_block_type)");
  if (kinds.size() > kMaxBlocks) {
    throw config.bad_field(
        field, "has " + std::to_string(kinds.size()) + " blocks, at most " + std::to_string(kMaxBlocks) + " are possible");
  }
  const auto n = config.find_uint({"num_hidden_layers"}, 1, kMaxConfigNumber);
  if (n && *n != kinds.size()) {
    throw config.bad_field("num_hidden_layers", "found " + std::to_string(*n) + ", but " + std::string(field) + " has " +
                                                    std::to_string(kinds.size()) + " blocks");
  }
  return kinds;
}

MoeParameters read_moe(const Config& config) {
  MoeParameters moe;
  moe.n_expert = config.uint({"n_routed_experts"}, 1, kMaxExperts);
  moe.n_used = config.uint({"num_experts_per_tok"}, 1, kMaxExperts);
  if (moe.n_used > moe.n_expert) {
    throw config.bad_field("num_experts_per_tok",
                           "found " + std::to_string(moe.n_used) + ", but n_routed_experts is " + std::to_string(moe.n_expert));
  }
  moe.n_ff = config.uint({"moe_intermediate_size"});
  moe.n_ff_shared = config.uint({"moe_shared_expert_intermediate_size"});
  moe.n_shared = config.uint({"n_shared_experts"});
  moe.n_group = config.uint({"n_group"});
  moe.n_latent = config.find_uint({"moe_latent_size"}, 1).value_or(0);
  moe.norm_weights = config.boolean("norm_topk_prob");
  moe.scale = config.number({"routed_scaling_factor"});
  return moe;
}

// True if config.json announces an MTP block.
bool announces_mtp(const Config& config, bool is_moe, const ModelOptions& options) {
  if (!converts_mtp(config, options.mtp)) return false;
  if (!is_moe) throw config.bad_field("num_nextn_predict_layers", "found 1 in a model without experts, which no converter knows");
  std::string kinds = "*E";
  if (const auto words = config.find_strings("mtp_layers_block_type"))
    kinds = kinds_of_words(config, "mtp_layers_block_type", *words);
  if (const auto pattern = config.find_string({"mtp_hybrid_override_pattern"})) kinds = *pattern;
  if (kinds != "*E") {
    throw config.bad_field("mtp_hybrid_override_pattern",
                           "found " + printable(kinds) + ", only *E (attention, experts) is known");
  }
  return true;
}

Parameters read_parameters(const Config& config, const ModelOptions& options) {
  Parameters p;
  p.kinds = block_kinds(config);
  const auto has = [&](char kind) { return p.kinds.find(kind) != std::string::npos; };
  p.n_embd = config.uint({"hidden_size"});
  p.n_vocab = config.uint({"vocab_size"}, 1, kMaxTokens);
  p.n_head = config.uint({"num_attention_heads"});
  p.n_head_kv = config.uint({"num_key_value_heads"});
  p.head_dim = config.uint({"head_dim", "attention_head_dim"});
  if (p.n_head % p.n_head_kv != 0) {
    throw config.bad_field("num_attention_heads", std::to_string(p.n_head) + " heads are not a multiple of num_key_value_heads " +
                                                      std::to_string(p.n_head_kv));
  }
  if (p.head_dim % 2 != 0)
    throw config.bad_field("head_dim", "found " + std::to_string(p.head_dim) + ", expected an even number");
  p.ssm_heads = config.uint({"mamba_num_heads"});
  p.ssm_inner = p.ssm_heads * config.uint({"mamba_head_dim"});
  p.ssm_state = config.uint({"ssm_state_size"});
  p.ssm_groups = config.uint({"n_groups"});
  p.conv_kernel = config.uint({"conv_kernel"});
  for (const uint64_t width : {p.ssm_inner, p.ssm_groups * p.ssm_state, p.n_head * p.head_dim}) {
    if (width > kMaxConfigNumber)
      throw config.bad_field("mamba_head_dim", "a product of heads and widths exceeds " + std::to_string(kMaxConfigNumber));
  }
  if (p.ssm_inner % p.ssm_groups != 0) {
    throw config.bad_field("n_groups", std::to_string(p.ssm_groups) + " does not divide the " + std::to_string(p.ssm_inner) +
                                           " inner channels of the Mamba blocks");
  }
  if (config.has("num_experts_per_tok")) p.moe = read_moe(config);
  if (has('E') && !p.moe) throw config.bad_field("num_experts_per_tok", "missing, but the model has blocks with experts");
  if (has('-') && p.moe)
    throw config.bad_field("hybrid_override_pattern", "has plain MLP blocks beside experts, which llama.cpp cannot run");
  if (has('-')) p.n_ff = config.uint({"intermediate_size"});
  p.mtp = announces_mtp(config, p.moe.has_value(), options);
  if (p.n_blocks() > kMaxBlocks)
    throw config.bad_field("num_nextn_predict_layers", "a block more than the " + std::to_string(kMaxBlocks) + " possible");
  return p;
}

Layout make_layout(const Config& config, const Parameters& p) {
  const MoeParameters moe = p.moe.value_or(MoeParameters{});
  // Without the flag in config.json a missing lm_head means tied embeddings, as the converter takes it.
  const bool untied = config.has("tie_word_embeddings") && !config.boolean("tie_word_embeddings");
  const uint64_t ssm_conv = p.ssm_inner + 2 * p.ssm_groups * p.ssm_state;
  Layout layout;
  layout.block_kinds = p.kinds;
  layout.n_experts = static_cast<uint32_t>(moe.n_expert);
  layout.dims = {{"n_embd", p.n_embd},
                 {"n_embd_x2", 2 * p.n_embd},
                 {"n_vocab", p.n_vocab},
                 {"untied", untied},
                 {"may_be_tied", !untied},
                 {"head_dim", p.head_dim},
                 {"q_rows", p.n_head * p.head_dim},
                 {"kv_rows", p.n_head_kv * p.head_dim},
                 {"ssm_in", p.ssm_inner + ssm_conv + p.ssm_heads},
                 {"ssm_conv", ssm_conv},
                 {"ssm_heads", p.ssm_heads},
                 {"ssm_inner", p.ssm_inner},
                 {"ssm_groups", p.ssm_groups},
                 {"ssm_group_width", p.ssm_inner / p.ssm_groups},
                 {"conv_kernel", p.conv_kernel},
                 {"conv_bias", config.boolean_or("use_conv_bias", true)},
                 {"n_ff", p.n_ff},
                 {"n_expert", moe.n_expert},
                 {"n_ff_exp", moe.n_ff},
                 {"n_ff_shexp", moe.n_ff_shared},
                 {"n_latent", moe.n_latent},
                 {"n_embd_exp", moe.n_latent > 0 ? moe.n_latent : p.n_embd}};
  layout.mtp_prefix = "mtp.";
  layout.mtp_block = p.mtp ? static_cast<int64_t>(p.kinds.size()) : -1;
  return layout;
}

// `value` on blocks of kind `kind` and on the MTP block, 0 elsewhere.
std::vector<int32_t> per_block(const Parameters& p, char kind, uint64_t value) {
  std::vector<int32_t> values;
  for (const char k : p.kinds) values.push_back(k == kind ? static_cast<int32_t>(value) : 0);
  if (p.mtp) values.push_back(static_cast<int32_t>(value));
  return values;
}

double rope_theta(const Config& config, bool& present) {
  for (const std::string_view field : {"rope_parameters", "rope_scaling"}) {
    if (const auto nested = config.find({field})) {
      if (const auto theta = json_double(*nested, "rope_theta")) return present = true, *theta;
      break;
    }
  }
  const auto theta = config.find_number({"rope_theta"});
  present = theta.has_value();
  return theta.value_or(0);
}

// The converter's order: what all its text models write, then its Llama, Granite and Nemotron-H classes.
Metadata make_metadata(const Config& config, const Parameters& p, const std::string& gguf_name) {
  Metadata metadata;
  Keys keys(metadata, gguf_name);
  keys.uint("block_count", p.n_blocks());
  keys.uint("context_length", kContextLength);
  keys.uint("embedding_length", p.n_embd);
  keys.set("feed_forward_length", p.moe ? per_block(p, 'E', p.moe->n_ff) : per_block(p, '-', p.n_ff));
  keys.uint("attention.head_count", p.n_head);
  keys.set("attention.head_count_kv", per_block(p, '*', p.n_head_kv));
  bool has_theta = false;
  if (const double theta = rope_theta(config, has_theta); has_theta) keys.number("rope.freq_base", theta);
  keys.number("attention.layer_norm_rms_epsilon", config.number({"rms_norm_eps", "norm_eps"}));
  keys.number("attention.layer_norm_epsilon", config.number({"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"}));
  if (p.moe) {
    keys.uint("expert_count", p.moe->n_expert);
    keys.uint("expert_used_count", p.moe->n_used);
    keys.uint("expert_group_count", p.moe->n_group);
    if (const auto used = config.find_uint({"topk_group"})) keys.uint("expert_group_used_count", *used);
  }
  keys.file_type();
  keys.uint("vocab_size", p.n_vocab);
  keys.uint("rope.dimension_count", config.find_uint({"attn_rotary_emb"}, 1).value_or(p.n_embd / p.n_head));
  keys.uint("ssm.conv_kernel", p.conv_kernel);
  keys.uint("ssm.state_size", p.ssm_state);
  keys.uint("ssm.group_count", p.ssm_groups);
  keys.uint("ssm.inner_size", p.ssm_inner);
  keys.uint("ssm.time_step_rank", p.ssm_heads);
  keys.set("rope.scaling.finetuned", false);
  keys.uint("attention.key_length", p.head_dim);
  keys.uint("attention.value_length", p.head_dim);
  if (p.moe) {
    keys.uint("expert_feed_forward_length", p.moe->n_ff);
    keys.uint("expert_shared_feed_forward_length", p.moe->n_ff_shared);
    keys.uint("expert_shared_count", p.moe->n_shared);
    keys.set("expert_weights_norm", p.moe->norm_weights);
    keys.number("expert_weights_scale", p.moe->scale);
    if (p.moe->n_latent > 0) keys.uint("moe_latent_size", p.moe->n_latent);
  }
  if (p.mtp) keys.uint("nextn_predict_layers", 1);
  return metadata;
}

}  // namespace

std::span<const Rule> nemotron_h_rules() { return kRules; }

ArchDescription describe_nemotron_h(const Config& config, const ModelOptions& options) {
  const Parameters p = read_parameters(config, options);
  ArchDescription description;
  description.gguf_name = p.moe ? "nemotron_h_moe" : "nemotron_h";
  description.layout = make_layout(config, p);
  description.metadata = make_metadata(config, p, description.gguf_name);
  // The dense models' template adds BOS without saying so in tokenizer_config.json.
  description.tokenizer = {.pre_tokenizers = {"pixtral"}, .n_tokens = p.n_vocab};
  if (!p.moe) description.tokenizer.add_bos = true;
  // Releases before create no latent projections in the MTP block: "wrong number of tensors".
  if (p.mtp && p.moe->n_latent > 0) description.loads = {"v0.5.0", "with --no-mtp in b10573 too"};
  description.gqa_ratio = static_cast<double>(p.n_head) / static_cast<double>(p.n_head_kv);
  return description;
}

}  // namespace ggufmill
