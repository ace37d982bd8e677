// Llama and its kin: Llama 1 to 3 (and what is trained from them: CodeLlama, Nemotron 70B, ...), Mistral (7B, Nemo, Small) and
// Mixtral. One decoder, told apart by numbers and flags:
//   model.embed_tokens, layers.*.{input_layernorm, self_attn.{q,k,v,o}_proj, post_attention_layernorm}, norm, lm_head
//   dense    mlp.{gate,up,down}_proj (SwiGLU)
//   Mixtral  block_sparse_moe.gate and experts.*.{w1 gate, w3 up, w2 down}; the experts stand stacked in GGUF
//   biases   attention_bias: q, k, v, o; mlp_bias: gate, up, down
// llama.cpp ropes neighbouring rows where the checkpoint ropes the halves of a head: q and k (and their biases) are interleaved.
// Llama 3.1 stretches its rope by factors that become a tensor (rope_factors.h).
//
// What is written where config.json is silent is what transformers' classes of config say, through which llama.cpp's converter
// reads it: rope_theta 10000, as many kv heads as heads, and for model_type llama head_dim = width / heads, spelled out.
//
// Source: llama.cpp b10573, conversion/llama.py; src/models/llama.cpp; transformers 4.57.6, models/{llama,mistral,mixtral}.
// Not here: sliding windows (Mistral 7B v0.1 has one of 4096), which llama.cpp does not know of this architecture.
#include "convert/arch/families.h"
#include "convert/arch/rope_factors.h"
#include "convert/arch/shared_rules.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr uint64_t kCodeLlamaTokens = 32016, kGraniteTokens = 49152;  // vocabularies that the converter knows by their size

// Rows 0 .. head_dim/2 and the rest of every head, one by one in turn.
constexpr std::string_view kInterleaved = "(* 2 head_dim/2) n_embd -> (* head_dim/2 2) n_embd";
constexpr std::string_view kInterleavedBias = "(* 2 head_dim/2) -> (* head_dim/2 2)";

// One or two lines a rule:
// clang-format off
constexpr auto kOwnRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.input_layernorm.weight", .to = "blk.{bid}.attn_norm.weight", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.weight", .to = "blk.{bid}.attn_q.weight", .shape = {"q_rows", "n_embd"},
     .move = kInterleaved},
    {.from = "model.layers.{bid}.self_attn.k_proj.weight", .to = "blk.{bid}.attn_k.weight", .shape = {"kv_rows", "n_embd"},
     .move = kInterleaved},
    {.from = "model.layers.{bid}.self_attn.v_proj.weight", .to = "blk.{bid}.attn_v.weight", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.o_proj.weight", .to = "blk.{bid}.attn_output.weight", .shape = {"n_embd", "q_rows"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.bias", .to = "blk.{bid}.attn_q.bias", .only_if = "attention_bias", .shape = {"q_rows"},
     .move = kInterleavedBias},
    {.from = "model.layers.{bid}.self_attn.k_proj.bias", .to = "blk.{bid}.attn_k.bias", .only_if = "attention_bias", .shape = {"kv_rows"},
     .move = kInterleavedBias},
    {.from = "model.layers.{bid}.self_attn.v_proj.bias", .to = "blk.{bid}.attn_v.bias", .only_if = "attention_bias", .shape = {"kv_rows"}},
    {.from = "model.layers.{bid}.self_attn.o_proj.bias", .to = "blk.{bid}.attn_output.bias", .only_if = "attention_bias",
     .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.rotary_emb.inv_freq"},  // follows from rope_theta; old checkpoints store it

    {.from = "model.layers.{bid}.post_attention_layernorm.weight", .to = "blk.{bid}.ffn_norm.weight", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.mlp.gate_proj.bias", .to = "blk.{bid}.ffn_gate.bias", .only_if = "mlp_bias", .shape = {"n_ff"}},
    {.from = "model.layers.{bid}.mlp.up_proj.bias", .to = "blk.{bid}.ffn_up.bias", .only_if = "mlp_bias", .shape = {"n_ff"}},
    {.from = "model.layers.{bid}.mlp.down_proj.bias", .to = "blk.{bid}.ffn_down.bias", .only_if = "mlp_bias", .shape = {"n_embd"}},

    {.from = "model.layers.{bid}.block_sparse_moe.gate.weight", .to = "blk.{bid}.ffn_gate_inp.weight", .only_if = "n_expert",
     .shape = {"n_expert", "n_embd"}},
    {.from = "model.layers.{bid}.block_sparse_moe.experts.{xid}.w1.weight", .to = "blk.{bid}.ffn_gate_exps.weight", .only_if = "n_expert",
     .shape = {"n_ff_exp", "n_embd"}},
    {.from = "model.layers.{bid}.block_sparse_moe.experts.{xid}.w3.weight", .to = "blk.{bid}.ffn_up_exps.weight", .only_if = "n_expert",
     .shape = {"n_ff_exp", "n_embd"}},
    {.from = "model.layers.{bid}.block_sparse_moe.experts.{xid}.w2.weight", .to = "blk.{bid}.ffn_down_exps.weight", .only_if = "n_expert",
     .shape = {"n_embd", "n_ff_exp"}},
});
// clang-format on

constexpr auto kRules = joined(kEndRules, kOwnRules, kMlpRules);

TextModel read_llama(const Config& config) {
  TextModel model = read_text_model(config);
  if (model.head_dim % 2 != 0)
    throw config.bad_field("head_dim", "found " + std::to_string(model.head_dim) + ", expected an even number");
  if (const auto act = config.find_string({"hidden_act"}); act && *act != "silu")
    throw config.bad_field("hidden_act", "found \"" + printable(*act) + "\", llama.cpp knows silu here");
  if (config.find_number({"partial_rotary_factor"}).value_or(1) != 1)
    throw config.bad_field("partial_rotary_factor", "is not 1, and llama.cpp ropes whole heads in this architecture");
  model.names_head_dim |= config.find_string({"model_type"}) == "llama";
  if (!model.rope_theta) model.rope_theta = kRopeTheta;
  model.has_rope_freqs = true;
  return model;
}

Layout make_layout(const Config& config, const TextModel& model, uint64_t n_experts) {
  const uint64_t n_ff = config.uint({"intermediate_size"});
  Layout layout;
  layout.block_kinds.assign(model.n_blocks, 'L');
  layout.n_experts = static_cast<uint32_t>(n_experts);
  layout.dims = text_model_dims(model, {{"n_ff", n_experts == 0 ? n_ff : 0},
                                        {"n_ff_exp", n_ff},
                                        {"n_expert", n_experts},
                                        {"attention_bias", config.boolean_or("attention_bias", false)},
                                        {"mlp_bias", n_experts == 0 && config.boolean_or("mlp_bias", false)}});
  return layout;
}

TokenizerRequest make_tokenizer_request(const TextModel& model) {
  TokenizerRequest request = {
      .form = TokenizerForm::kLlama, .pre_tokenizers = {"llama-bpe", "tekken"}, .n_tokens = model.n_vocab};
  if (model.n_vocab == kCodeLlamaTokens) request.ids_of_kinds = {{"eot", 32010}};
  if (model.n_vocab == kGraniteTokens) request.add_bos = false;
  return request;
}

}  // namespace

std::span<const Rule> llama_rules() { return kRules; }

ArchDescription describe_llama(const Config& config, const ModelOptions& options) {
  refuse_mtp(config, options.mtp);
  const TextModel model = read_llama(config);
  const bool moe = config.find_uint({"num_local_experts"}).value_or(0) > 0;
  ArchDescription description;
  description.gguf_name = "llama";
  description.layout = make_layout(config, model, moe ? read_experts(config, {"num_local_experts"}).n : 0);
  Keys keys(description.metadata, description.gguf_name);
  add_text_model_keys(config, model, model.n_blocks, keys);
  keys.uint("vocab_size", model.n_vocab);
  keys.uint("rope.dimension_count", model.head_dim);
  description.tokenizer = make_tokenizer_request(model);
  description.gqa_ratio = model.gqa_ratio();
  description.computed = rope_freqs(config, model.head_dim, *model.rope_theta);
  if (const auto window = config.find_uint({"sliding_window"}, 1, UINT32_MAX);
      window && *window < config.uint({"max_position_embeddings"}, 1, UINT32_MAX)) {
    description.findings.push_back(
        {Severity::kWarning, "config.json", "",
         "sliding_window " + std::to_string(*window) + ": llama.cpp attends to all positions in this architecture"});
  }
  return description;
}

}  // namespace ggufmill
