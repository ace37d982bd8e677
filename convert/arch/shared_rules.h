// Rules that several text models share, as parts that a family's table joins with its own:
//   constexpr auto kRules = joined(kEndRules, kAttentionRules, kMlpRules, kOwnRules);
// Their dimensions: n_embd, n_vocab; untied, may_be_tied (whether config.json says so); q_rows, kv_rows, head_dim; n_ff, 0 in
// blocks without a dense feed-forward; n_expert, n_ff_exp, n_ff_shexp.
#pragma once

#include <array>
#include <cstddef>

#include "convert/arch/arch.h"

namespace ggufmill {

// The parts one behind the other. std::array and built-in arrays alike.
template <typename... Parts>
constexpr auto joined(const Parts&... parts) {
  std::array<Rule, (std::size(Parts{}) + ...)> rules{};
  size_t n = 0;
  const auto append = [&](const auto& part) {
    for (const Rule& rule : part) rules[n++] = rule;
  };
  (append(parts), ...);
  return rules;
}

// One or two lines a rule:
// clang-format off

// Embeddings, final norm, output.
inline constexpr auto kEndRules = std::to_array<Rule>({
    {.from = "model.embed_tokens.weight", .to = "token_embd.weight", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "model.norm.weight", .to = "output_norm.weight", .shape = {"n_embd"}, .part = Part::kShared},
    {.from = "lm_head.weight", .to = "output.weight", .only_if = "untied", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared},
    {.from = "lm_head.weight", .to = "output.weight", .only_if = "may_be_tied", .shape = {"n_vocab", "n_embd"}, .part = Part::kShared,
     .presence = Presence::kOptional},
});

// Grouped attention whose rope pairs the halves of a head as they stand.
inline constexpr auto kAttentionRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.input_layernorm.weight", .to = "blk.{bid}.attn_norm.weight", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.weight", .to = "blk.{bid}.attn_q.weight", .shape = {"q_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.k_proj.weight", .to = "blk.{bid}.attn_k.weight", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.v_proj.weight", .to = "blk.{bid}.attn_v.weight", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.o_proj.weight", .to = "blk.{bid}.attn_output.weight", .shape = {"n_embd", "q_rows"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.bias", .to = "blk.{bid}.attn_q.bias", .only_if = "qkv_bias", .shape = {"q_rows"}},
    {.from = "model.layers.{bid}.self_attn.k_proj.bias", .to = "blk.{bid}.attn_k.bias", .only_if = "qkv_bias", .shape = {"kv_rows"}},
    {.from = "model.layers.{bid}.self_attn.v_proj.bias", .to = "blk.{bid}.attn_v.bias", .only_if = "qkv_bias", .shape = {"kv_rows"}},
    {.from = "model.layers.{bid}.self_attn.q_norm.weight", .to = "blk.{bid}.attn_q_norm.weight", .only_if = "qk_norm",
     .shape = {"head_dim"}},
    {.from = "model.layers.{bid}.self_attn.k_norm.weight", .to = "blk.{bid}.attn_k_norm.weight", .only_if = "qk_norm",
     .shape = {"head_dim"}},
    {.from = "model.layers.{bid}.self_attn.rotary_emb.inv_freq"},  // follows from rope_theta; old checkpoints store it
});

// SwiGLU, in blocks with n_ff.
inline constexpr auto kMlpRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.mlp.gate_proj.weight", .to = "blk.{bid}.ffn_gate.weight", .only_if = "n_ff", .shape = {"n_ff", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.up_proj.weight", .to = "blk.{bid}.ffn_up.weight", .only_if = "n_ff", .shape = {"n_ff", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.down_proj.weight", .to = "blk.{bid}.ffn_down.weight", .only_if = "n_ff", .shape = {"n_embd", "n_ff"}},
});

// Routed experts, published one by one, in blocks of the kinds E and N.
inline constexpr auto kExpertRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.mlp.gate.weight", .to = "blk.{bid}.ffn_gate_inp.weight", .blocks = "EN", .shape = {"n_expert", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.experts.{xid}.gate_proj.weight", .to = "blk.{bid}.ffn_gate_exps.weight", .blocks = "EN",
     .shape = {"n_ff_exp", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.experts.{xid}.up_proj.weight", .to = "blk.{bid}.ffn_up_exps.weight", .blocks = "EN",
     .shape = {"n_ff_exp", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.experts.{xid}.down_proj.weight", .to = "blk.{bid}.ffn_down_exps.weight", .blocks = "EN",
     .shape = {"n_embd", "n_ff_exp"}},
});

// Beside them: the correction of the router, and shared experts.
inline constexpr auto kSharedExpertRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.mlp.gate.e_score_correction_bias", .alias = "model.layers.{bid}.mlp.gate.e_score_correction.bias",
     .to = "blk.{bid}.exp_probs_b.bias", .blocks = "EN", .only_if = "corrected", .shape = {"n_expert"}},
    {.from = "model.layers.{bid}.mlp.shared_experts.gate_proj.weight", .to = "blk.{bid}.ffn_gate_shexp.weight", .blocks = "EN",
     .only_if = "n_ff_shexp", .shape = {"n_ff_shexp", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.shared_experts.up_proj.weight", .to = "blk.{bid}.ffn_up_shexp.weight", .blocks = "EN",
     .only_if = "n_ff_shexp", .shape = {"n_ff_shexp", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.shared_experts.down_proj.weight", .to = "blk.{bid}.ffn_down_shexp.weight", .blocks = "EN",
     .only_if = "n_ff_shexp", .shape = {"n_embd", "n_ff_shexp"}},
});

// Multi-token prediction, in blocks of the kind N: what such a block has beside what all have.
inline constexpr auto kNextnRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.eh_proj.weight", .to = "blk.{bid}.nextn.eh_proj.weight", .blocks = "N", .shape = {"n_embd", "n_embd_x2"}},
    {.from = "model.layers.{bid}.enorm.weight", .to = "blk.{bid}.nextn.enorm.weight", .blocks = "N", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.hnorm.weight", .to = "blk.{bid}.nextn.hnorm.weight", .blocks = "N", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.embed_tokens.weight", .to = "blk.{bid}.nextn.embed_tokens.weight", .blocks = "N",
     .shape = {"n_vocab", "n_embd"}, .presence = Presence::kOptional},
    {.from = "model.layers.{bid}.shared_head.norm.weight", .to = "blk.{bid}.nextn.shared_head_norm.weight", .blocks = "N",
     .shape = {"n_embd"}, .presence = Presence::kOptional},
    {.from = "model.layers.{bid}.shared_head.head.weight", .to = "blk.{bid}.nextn.shared_head_head.weight", .blocks = "N",
     .shape = {"n_vocab", "n_embd"}, .presence = Presence::kOptional},
});
// clang-format on

}  // namespace ggufmill
