// DeepSeek V4 (Flash, Pro): its checkpoints have names of their own (embed, layers.N.attn, layers.N.ffn, head, mtp.0).
//   streams    hc_mult copies of the hidden state flow side by side; around attention and experts small matrices (hc_*) mix them
//   attention  one narrow key-value head for all; queries and the output through low ranks, the output's in o_groups. By
//              compress_ratios a block sees a window alone (0) or beside it the past compressed by 4 or by 128 positions; with 4
//              an indexer, which compresses on its own, chooses what is attended to
//                compressor  wkv and wgate [c head_dim, n_embd], ape [ratio, c head_dim], c = 2 for ratio 4, where windows
//                overlap
//   experts    in the first num_hash_layers blocks a table gives each token its experts (tid2eid, I64 -> I32), elsewhere a router
//   with
//              a correction bias
// Published as FP8 in blocks (becomes Q8_0), experts as FP4 (becomes MXFP4 bit for bit), the rest BF16 or F32, which stay as they
// are. The block of multi-token prediction (mtp.0) has streams and a head of its own (hc_head), which llama.cpp has but once in a
// file: it is left out, or alone in a file (--mtp-only), where it is the block behind the last. Its e_proj and h_proj are one
// matrix there, row by row.
//
// Source: llama.cpp b10573, conversion/deepseek.py, class DeepseekV4Model; src/models/deepseek4.cpp.
// Not here: the drafters published beside the model (DSpark).
#include <algorithm>

#include "convert/arch/families.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr uint64_t kOverlapping = 4, kFar = 128;  // ratios of compression that llama.cpp knows

// One or two lines a rule:
// clang-format off
constexpr Rule kRules[] = {
    {.from = "embed.weight", .to = "token_embd.weight", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "norm.weight", .to = "output_norm.weight", .shape = {"n_embd"}, .part = Part::kShared},
    {.from = "head.weight", .to = "output.weight", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "layers.{bid}.hc_head_fn", .to = "output_hc_fn.weight", .blocks = "N", .shape = {"hc_mult", "hc_width"},
     .fixed_type = FixedType::kF32},
    {.from = "layers.{bid}.hc_head_base", .to = "output_hc_base.weight", .blocks = "N", .shape = {"hc_mult"}},
    {.from = "layers.{bid}.hc_head_scale", .to = "output_hc_scale.weight", .blocks = "N", .shape = {"1"}},
    {.from = "layers.{bid}.e_proj.weight", .to = "blk.{bid}.nextn.eh_proj.weight", .blocks = "N", .shape = {"n_embd", "n_embd"}},
    {.from = "layers.{bid}.h_proj.weight", .to = "blk.{bid}.nextn.eh_proj.weight", .blocks = "N", .shape = {"n_embd", "n_embd"},
     .beside = true},
    {.from = "layers.{bid}.enorm.weight", .to = "blk.{bid}.nextn.enorm.weight", .blocks = "N", .shape = {"n_embd"}},
    {.from = "layers.{bid}.hnorm.weight", .to = "blk.{bid}.nextn.hnorm.weight", .blocks = "N", .shape = {"n_embd"}},
    {.from = "layers.{bid}.norm.weight", .to = "blk.{bid}.nextn.shared_head_norm.weight", .blocks = "N", .shape = {"n_embd"}},
    {.from = "hc_head_fn", .to = "output_hc_fn.weight", .shape = {"hc_mult", "hc_width"}, .fixed_type = FixedType::kF32},
    {.from = "hc_head_base", .to = "output_hc_base.weight", .shape = {"hc_mult"}},
    {.from = "hc_head_scale", .to = "output_hc_scale.weight", .shape = {"1"}},

    {.from = "layers.{bid}.hc_attn_fn", .to = "blk.{bid}.hc_attn_fn.weight", .shape = {"hc_rows", "hc_width"}, .fixed_type = FixedType::kF32},
    {.from = "layers.{bid}.hc_attn_base", .to = "blk.{bid}.hc_attn_base.weight", .shape = {"hc_rows"}},
    {.from = "layers.{bid}.hc_attn_scale", .to = "blk.{bid}.hc_attn_scale.weight", .shape = {"3"}},
    {.from = "layers.{bid}.hc_ffn_fn", .to = "blk.{bid}.hc_ffn_fn.weight", .shape = {"hc_rows", "hc_width"}, .fixed_type = FixedType::kF32},
    {.from = "layers.{bid}.hc_ffn_base", .to = "blk.{bid}.hc_ffn_base.weight", .shape = {"hc_rows"}},
    {.from = "layers.{bid}.hc_ffn_scale", .to = "blk.{bid}.hc_ffn_scale.weight", .shape = {"3"}},

    {.from = "layers.{bid}.attn_norm.weight", .to = "blk.{bid}.attn_norm.weight", .shape = {"n_embd"}},
    {.from = "layers.{bid}.attn.attn_sink", .to = "blk.{bid}.attn_sinks.weight", .shape = {"n_head"}},
    {.from = "layers.{bid}.attn.wq_a.weight", .to = "blk.{bid}.attn_q_a.weight", .shape = {"q_lora", "n_embd"}},
    {.from = "layers.{bid}.attn.q_norm.weight", .to = "blk.{bid}.attn_q_a_norm.weight", .shape = {"q_lora"}},
    {.from = "layers.{bid}.attn.wq_b.weight", .to = "blk.{bid}.attn_q_b.weight", .shape = {"q_rows", "q_lora"}},
    {.from = "layers.{bid}.attn.wkv.weight", .to = "blk.{bid}.attn_kv.weight", .shape = {"head_dim", "n_embd"}},
    {.from = "layers.{bid}.attn.kv_norm.weight", .to = "blk.{bid}.attn_kv_a_norm.weight", .shape = {"head_dim"}},
    {.from = "layers.{bid}.attn.wo_a.weight", .to = "blk.{bid}.attn_output_a.weight", .shape = {"o_rows", "o_columns"}},
    {.from = "layers.{bid}.attn.wo_b.weight", .to = "blk.{bid}.attn_output_b.weight", .shape = {"n_embd", "o_rows"}},

    {.from = "layers.{bid}.attn.compressor.ape", .to = "blk.{bid}.attn_compressor_ape.weight", .only_if = "ratio",
     .shape = {"ratio", "compressor_rows"}, .fixed_type = FixedType::kF32},
    {.from = "layers.{bid}.attn.compressor.wkv.weight", .to = "blk.{bid}.attn_compressor_kv.weight", .only_if = "ratio",
     .shape = {"compressor_rows", "n_embd"}},
    {.from = "layers.{bid}.attn.compressor.wgate.weight", .to = "blk.{bid}.attn_compressor_gate.weight", .only_if = "ratio",
     .shape = {"compressor_rows", "n_embd"}},
    {.from = "layers.{bid}.attn.compressor.norm.weight", .to = "blk.{bid}.attn_compressor_norm.weight", .only_if = "ratio",
     .shape = {"head_dim"}},
    {.from = "layers.{bid}.attn.indexer.wq_b.weight", .to = "blk.{bid}.indexer.attn_q_b.weight", .only_if = "indexer",
     .shape = {"indexer_rows", "q_lora"}},
    {.from = "layers.{bid}.attn.indexer.weights_proj.weight", .to = "blk.{bid}.indexer.proj.weight", .only_if = "indexer",
     .shape = {"indexer_heads", "n_embd"}, .fixed_type = FixedType::kNone},
    {.from = "layers.{bid}.attn.indexer.compressor.ape", .to = "blk.{bid}.indexer_compressor_ape.weight", .only_if = "indexer",
     .shape = {"ratio", "indexer_dim_x2"}, .fixed_type = FixedType::kF32},
    {.from = "layers.{bid}.attn.indexer.compressor.wkv.weight", .to = "blk.{bid}.indexer_compressor_kv.weight", .only_if = "indexer",
     .shape = {"indexer_dim_x2", "n_embd"}},
    {.from = "layers.{bid}.attn.indexer.compressor.wgate.weight", .to = "blk.{bid}.indexer_compressor_gate.weight", .only_if = "indexer",
     .shape = {"indexer_dim_x2", "n_embd"}},
    {.from = "layers.{bid}.attn.indexer.compressor.norm.weight", .to = "blk.{bid}.indexer_compressor_norm.weight", .only_if = "indexer",
     .shape = {"indexer_dim"}},

    {.from = "layers.{bid}.ffn_norm.weight", .to = "blk.{bid}.ffn_norm.weight", .shape = {"n_embd"}},
    {.from = "layers.{bid}.ffn.gate.weight", .to = "blk.{bid}.ffn_gate_inp.weight", .shape = {"n_expert", "n_embd"},
     .fixed_type = FixedType::kNone},
    {.from = "layers.{bid}.ffn.gate.bias", .to = "blk.{bid}.exp_probs_b.bias", .blocks = "RN", .shape = {"n_expert"}},
    {.from = "layers.{bid}.ffn.gate.bias", .blocks = "H"},  // without a router nothing reads it
    {.from = "layers.{bid}.ffn.gate.tid2eid", .to = "blk.{bid}.ffn_gate_tid2eid.weight", .blocks = "H", .shape = {"n_vocab", "n_used"},
     .fixed_type = FixedType::kI32, .ids_below = "n_expert"},
    {.from = "layers.{bid}.ffn.experts.{xid}.w1.weight", .to = "blk.{bid}.ffn_gate_exps.weight", .shape = {"n_ff_exp", "n_embd"}},
    {.from = "layers.{bid}.ffn.experts.{xid}.w3.weight", .to = "blk.{bid}.ffn_up_exps.weight", .shape = {"n_ff_exp", "n_embd"}},
    {.from = "layers.{bid}.ffn.experts.{xid}.w2.weight", .to = "blk.{bid}.ffn_down_exps.weight", .shape = {"n_embd", "n_ff_exp"}},
    {.from = "layers.{bid}.ffn.shared_experts.w1.weight", .to = "blk.{bid}.ffn_gate_shexp.weight", .shape = {"n_ff_shexp", "n_embd"}},
    {.from = "layers.{bid}.ffn.shared_experts.w3.weight", .to = "blk.{bid}.ffn_up_shexp.weight", .shape = {"n_ff_shexp", "n_embd"}},
    {.from = "layers.{bid}.ffn.shared_experts.w2.weight", .to = "blk.{bid}.ffn_down_shexp.weight", .shape = {"n_embd", "n_ff_shexp"}},
};
// clang-format on

struct Parameters {
  TextModel text;
  Experts experts;
  uint64_t q_lora, o_groups, o_lora, hc_mult, n_ff_exp, n_shared, n_hash, indexer_heads, indexer_dim;
  std::vector<uint64_t> ratios;  // as in config.json: of the MTP block too
  bool mtp_only = false;
};

Parameters read_parameters(const Config& config, MtpMode mtp) {
  Parameters p{};
  p.text = read_text_model(config);
  p.experts = read_experts(config, {"n_routed_experts"});
  p.q_lora = config.uint({"q_lora_rank"});
  p.o_groups = config.uint({"o_groups"});
  p.o_lora = config.uint({"o_lora_rank"});
  p.hc_mult = config.uint({"hc_mult"}, 1, 64);
  p.n_ff_exp = config.uint({"moe_intermediate_size"});
  p.n_shared = config.uint({"n_shared_experts"}, 1, kMaxExperts);
  p.n_hash = config.uint({"num_hash_layers"}, 0, p.text.n_blocks);
  p.indexer_heads = config.uint({"index_n_heads"}, 1, kMaxExperts);
  p.indexer_dim = config.uint({"index_head_dim"}, 1, kMaxConfigNumber / kMaxExperts);
  if (p.text.q_rows() % p.o_groups != 0 || p.o_groups * p.o_lora > kMaxConfigNumber) {
    throw config.bad_field("o_groups", std::to_string(p.o_groups) + " groups do not divide the " +
                                           std::to_string(p.text.q_rows()) + " values of all heads");
  }
  config.uint({"qk_rope_head_dim"}, 1, p.text.head_dim);  // a part of each head
  const auto ratios = config.find_uints("compress_ratios");
  if (!ratios || ratios->size() < p.text.n_blocks) {
    throw config.bad_field("compress_ratios",
                           "missing, or shorter than the " + std::to_string(p.text.n_blocks) + " blocks of num_hidden_layers");
  }
  for (const uint64_t ratio : *ratios) {
    if (ratio != 0 && ratio != kOverlapping && ratio != kFar)
      throw config.bad_field("compress_ratios", "found " + std::to_string(ratio) + ", llama.cpp knows 0, 4 and 128");
  }
  p.ratios = *ratios;
  if (mtp == MtpMode::kOnly) {
    p.mtp_only = converts_mtp(config, mtp);
    if (p.ratios.size() == p.text.n_blocks) throw config.bad_field("compress_ratios", "has no entry for the MTP block");
  } else {
    p.ratios.resize(std::max<size_t>(p.ratios.size(), p.text.n_blocks));
  }
  return p;
}

Layout make_layout(const Parameters& p) {
  std::vector<uint64_t> ratios, compressor_rows, indexers;
  for (size_t i = 0; i <= p.text.n_blocks; ++i) {
    ratios.push_back(i < p.ratios.size() ? p.ratios[i] : 0);
    compressor_rows.push_back(ratios[i] == kOverlapping ? 2 * p.text.head_dim : p.text.head_dim);
    indexers.push_back(ratios[i] == kOverlapping);
  }
  Layout layout;
  layout.block_kinds = std::string(p.n_hash, 'H') + std::string(p.text.n_blocks - p.n_hash, 'R');
  layout.mtp_kinds = "N";
  layout.mtp_prefix = "mtp.";
  layout.mtp_block = p.mtp_only ? static_cast<int64_t>(p.text.n_blocks) : -1;
  layout.prefixes = {{"mtp.0.", "layers." + std::to_string(p.text.n_blocks) + "."}};
  layout.n_experts = static_cast<uint32_t>(p.experts.n);
  layout.dims = text_model_dims(p.text, {{"q_lora", p.q_lora},
                                         {"o_rows", p.o_groups * p.o_lora},
                                         {"o_columns", p.text.q_rows() / p.o_groups},
                                         {"hc_mult", p.hc_mult},
                                         {"hc_rows", (2 + p.hc_mult) * p.hc_mult},
                                         {"hc_width", p.hc_mult * p.text.n_embd},
                                         {"indexer_heads", p.indexer_heads},
                                         {"indexer_dim", p.indexer_dim},
                                         {"indexer_dim_x2", 2 * p.indexer_dim},
                                         {"indexer_rows", p.indexer_heads * p.indexer_dim},
                                         {"n_expert", p.experts.n},
                                         {"n_used", p.experts.n_used},
                                         {"n_ff_exp", p.n_ff_exp},
                                         {"n_ff_shexp", p.n_shared * p.n_ff_exp}});
  layout.block_dims = {
      {"ratio", std::move(ratios)}, {"compressor_rows", std::move(compressor_rows)}, {"indexer", std::move(indexers)}};
  return layout;
}

Metadata make_metadata(const Config& config, const Parameters& p) {
  Metadata metadata;
  Keys keys(metadata, "deepseek4");
  add_text_model_keys(config, p.text, p.text.n_blocks + p.mtp_only, keys);
  keys.uint("rope.dimension_count", config.uint({"qk_rope_head_dim"}));
  keys.uint("attention.q_lora_rank", p.q_lora);
  keys.uint("attention.sliding_window", config.uint({"sliding_window"}));
  keys.uint("expert_feed_forward_length", p.n_ff_exp);
  keys.uint("expert_shared_count", p.n_shared);
  keys.number("expert_weights_scale", config.number({"routed_scaling_factor"}));
  keys.set("expert_weights_norm", config.boolean("norm_topk_prob"));
  const std::vector<float> limits(p.text.n_blocks + p.mtp_only, static_cast<float>(config.number({"swiglu_limit"})));
  keys.set("swiglu_clamp_exp", limits);
  keys.set("swiglu_clamp_shexp", limits);
  keys.uint("attention.indexer.head_count", p.indexer_heads);
  keys.uint("attention.indexer.key_length", p.indexer_dim);
  keys.uint("attention.indexer.top_k", config.uint({"index_topk"}));
  keys.uint("attention.output_group_count", p.o_groups);
  keys.uint("attention.output_lora_rank", p.o_lora);
  keys.set("attention.compress_ratios", std::vector<int32_t>(p.ratios.begin(), p.ratios.end()));
  keys.number("attention.compress_rope_freq_base", config.number({"compress_rope_theta"}));
  keys.uint("hyper_connection.count", p.hc_mult);
  keys.uint("hyper_connection.sinkhorn_iterations", config.uint({"hc_sinkhorn_iters"}));
  keys.number("hyper_connection.epsilon", config.number({"hc_eps"}));
  keys.uint("hash_layer_count", p.n_hash);
  keys.uint("embedding_length_out", p.text.n_embd * p.hc_mult);
  if (p.mtp_only) keys.uint("nextn_predict_layers", 1);
  return metadata;
}

}  // namespace

std::span<const Rule> deepseek_v4_rules() { return kRules; }

ArchDescription describe_deepseek_v4(const Config& config, const ModelOptions& options) {
  const Parameters p = read_parameters(config, options.mtp);
  ArchDescription description;
  description.gguf_name = "deepseek4";
  description.layout = make_layout(p);
  description.metadata = make_metadata(config, p);
  description.tokenizer = {.pre_tokenizers = {"deepseek-v3"}, .n_tokens = p.text.n_vocab};
  description.gqa_ratio = p.text.gqa_ratio();
  description.why_mtp_left_out = "llama.cpp reads from a file of its own in this architecture (--mtp-only)";
  return description;
}

}  // namespace ggufmill
