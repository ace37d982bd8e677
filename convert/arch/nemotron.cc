// Nemotron-4 (15B, 340B) and the Minitrons pruned from it (8B, 4B, Nemotron-Mini): decoders with
//   LayerNorm with weight and bias, the weight stored around zero ("layernorm1p"): x is normed by 1 + weight
//   attention with a partial rope: the first partial_rotary_factor of each head's rows, halves paired as they stand
//   squared ReLU: mlp.up_proj and mlp.down_proj, no gate
// The vocabulary is a tokenizer.model of sentencepiece whose pad and unknown tokens the converter fixes at 0 and 1.
//
// What is written where config.json is silent is what transformers' class of config says, through which llama.cpp's converter
// reads it: rope_theta 10000, partial_rotary_factor 0.5, head_dim = width / heads, spelled out.
//
// Source: llama.cpp b10573, conversion/nemotron.py; src/models/nemotron.cpp; transformers 4.57.6, models/nemotron.
// Not here: tied embeddings and heads that do not add up to the width, which llama.cpp cannot load.
#include "convert/arch/families.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr double kPartialRotaryFactor = 0.5;

// One or two lines a rule:
// clang-format off
constexpr Rule kRules[] = {
    {.from = "model.embed_tokens.weight", .to = "token_embd.weight", .shape = {"n_vocab", "n_embd"}},
    {.from = "model.norm.weight", .to = "output_norm.weight", .shape = {"n_embd"}, .op = ValueOp::kAddOne},
    {.from = "model.norm.bias", .to = "output_norm.bias", .shape = {"n_embd"}},
    {.from = "lm_head.weight", .to = "output.weight", .shape = {"n_vocab", "n_embd"}},

    {.from = "model.layers.{bid}.input_layernorm.weight", .to = "blk.{bid}.attn_norm.weight", .shape = {"n_embd"}, .op = ValueOp::kAddOne},
    {.from = "model.layers.{bid}.input_layernorm.bias", .to = "blk.{bid}.attn_norm.bias", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.weight", .to = "blk.{bid}.attn_q.weight", .shape = {"n_embd", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.k_proj.weight", .to = "blk.{bid}.attn_k.weight", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.v_proj.weight", .to = "blk.{bid}.attn_v.weight", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.o_proj.weight", .to = "blk.{bid}.attn_output.weight", .shape = {"n_embd", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.bias", .to = "blk.{bid}.attn_q.bias", .only_if = "attention_bias", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.k_proj.bias", .to = "blk.{bid}.attn_k.bias", .only_if = "attention_bias", .shape = {"kv_rows"}},
    {.from = "model.layers.{bid}.self_attn.v_proj.bias", .to = "blk.{bid}.attn_v.bias", .only_if = "attention_bias", .shape = {"kv_rows"}},
    {.from = "model.layers.{bid}.self_attn.o_proj.bias", .to = "blk.{bid}.attn_output.bias", .only_if = "attention_bias",
     .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.rotary_emb.inv_freq"},  // follows from rope_theta

    {.from = "model.layers.{bid}.post_attention_layernorm.weight", .to = "blk.{bid}.ffn_norm.weight", .shape = {"n_embd"},
     .op = ValueOp::kAddOne},
    {.from = "model.layers.{bid}.post_attention_layernorm.bias", .to = "blk.{bid}.ffn_norm.bias", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.mlp.up_proj.weight", .to = "blk.{bid}.ffn_up.weight", .shape = {"n_ff", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.down_proj.weight", .to = "blk.{bid}.ffn_down.weight", .shape = {"n_embd", "n_ff"}},
    {.from = "model.layers.{bid}.mlp.up_proj.bias", .to = "blk.{bid}.ffn_up.bias", .only_if = "mlp_bias", .shape = {"n_ff"}},
    {.from = "model.layers.{bid}.mlp.down_proj.bias", .to = "blk.{bid}.ffn_down.bias", .only_if = "mlp_bias", .shape = {"n_embd"}},
};
// clang-format on

TextModel read_nemotron(const Config& config) {
  TextModel model = read_text_model(config);
  if (model.q_rows() != model.n_embd) {
    throw config.bad_field("head_dim", std::to_string(model.n_head) + " heads of " + std::to_string(model.head_dim) +
                                           " are not as wide as hidden_size " + std::to_string(model.n_embd) +
                                           ", which llama.cpp cannot load in this architecture");
  }
  if (const auto act = config.find_string({"hidden_act"}); act && *act != "relu2")
    throw config.bad_field("hidden_act", "found \"" + printable(*act) + "\", llama.cpp knows relu2 here");
  model.names_head_dim = true;
  if (!model.rope_theta) model.rope_theta = kRopeTheta;
  return model;
}

// Values of a head that turn.
uint64_t rope_dimensions(const Config& config, const TextModel& model) {
  const double part = config.find_number({"partial_rotary_factor", "rope_percent", "rope_pct"}).value_or(kPartialRotaryFactor);
  if (!(part > 0 && part <= 1))
    throw config.bad_field("partial_rotary_factor", "found " + std::to_string(part) + ", expected 0 to 1");
  return static_cast<uint64_t>(part * static_cast<double>(model.n_embd)) / model.n_head;
}

void add_rope_scaling_keys(const Config& config, Keys& keys) {
  const std::string rope = rope_object(config), type = rope_type(config, rope);
  if (type == "yarn") throw config.bad_field(rope + ".rope_type", "found \"yarn\", known are default and linear");
  if (type == "default") keys.set("rope.scaling.type", std::string("none"));  // of linear both keys are there already
}

Layout make_layout(const Config& config, const TextModel& model) {
  Layout layout;
  layout.block_kinds.assign(model.n_blocks, 'N');
  layout.dims = {{"n_embd", model.n_embd},
                 {"n_vocab", model.n_vocab},
                 {"kv_rows", model.kv_rows()},
                 {"n_ff", config.uint({"intermediate_size"})},
                 {"attention_bias", config.boolean_or("attention_bias", false)},
                 {"mlp_bias", config.boolean_or("mlp_bias", false)}};
  return layout;
}

}  // namespace

std::span<const Rule> nemotron_rules() { return kRules; }

ArchDescription describe_nemotron(const Config& config, const ModelOptions& options) {
  refuse_mtp(config, options.mtp);
  const TextModel model = read_nemotron(config);
  ArchDescription description;
  description.gguf_name = "nemotron";
  description.layout = make_layout(config, model);
  Keys keys(description.metadata, description.gguf_name);
  add_text_model_keys(config, model, model.n_blocks, keys);
  keys.uint("vocab_size", model.n_vocab);
  keys.number("attention.layer_norm_epsilon",
              config.number({"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"}));
  keys.uint("rope.dimension_count", rope_dimensions(config, model));
  add_rope_scaling_keys(config, keys);
  description.tokenizer = {
      .form = TokenizerForm::kSentencepiece, .n_tokens = model.n_vocab, .ids_of_kinds = {{"pad", 0}, {"unk", 1}}};
  description.gqa_ratio = model.gqa_ratio();
  return description;
}

}  // namespace ggufmill
