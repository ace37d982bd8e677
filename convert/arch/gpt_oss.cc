// gpt-oss (20b, 120b): decoders with grouped attention that also looks at a learned sink, in turns over a window of 128 tokens
// and over all, and experts in every block, published in MXFP4. All matrices but embeddings and output have biases.
//   experts.gate_up_proj  [experts, 2 n_ff, n_embd]: gate and up row by row in turns; two tensors in GGUF
//   experts.down_proj     [experts, n_embd, n_ff]
// Fine-tunes are published in BF16 too, where both lie transposed: gate_up_proj [experts, n_embd, 2 n_ff], gate and up in turns
// along the columns, down_proj [experts, n_ff, n_embd].
//
// What is written where config.json is silent is what transformers' class of config says, through which llama.cpp's converter
// reads it.
//
// Source: llama.cpp b10573, conversion/gpt_oss.py; src/models/openai-moe.cpp.
#include <algorithm>

#include "convert/arch/families.h"
#include "convert/arch/shared_rules.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

// One or two lines a rule:
// clang-format off
constexpr auto kOwnRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.self_attn.o_proj.bias", .to = "blk.{bid}.attn_output.bias", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.sinks", .to = "blk.{bid}.attn_sinks.weight", .shape = {"n_head"}},

    {.from = "model.layers.{bid}.post_attention_layernorm.weight", .to = "blk.{bid}.post_attention_norm.weight", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.mlp.router.weight", .to = "blk.{bid}.ffn_gate_inp.weight", .shape = {"n_expert", "n_embd"}},
    {.from = "model.layers.{bid}.mlp.router.bias", .to = "blk.{bid}.ffn_gate_inp.bias", .shape = {"n_expert"}},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj", .to = "blk.{bid}.ffn_gate_exps.weight", .only_if = "in_rows",
     .shape = {"n_expert", "n_ff_x2", "n_embd"}, .move = "n_expert (n_ff [gate up]) n_embd -> n_expert (n_ff gate) n_embd"},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj", .to = "blk.{bid}.ffn_up_exps.weight", .only_if = "in_rows",
     .shape = {"n_expert", "n_ff_x2", "n_embd"}, .move = "n_expert (n_ff [gate up]) n_embd -> n_expert (n_ff up) n_embd"},
    {.from = "model.layers.{bid}.mlp.experts.down_proj", .to = "blk.{bid}.ffn_down_exps.weight", .only_if = "in_rows",
     .shape = {"n_expert", "n_embd", "n_ff"}},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj", .to = "blk.{bid}.ffn_gate_exps.weight", .only_if = "in_columns",
     .shape = {"n_expert", "n_embd", "n_ff_x2"}, .move = "n_expert n_embd (n_ff [gate up]) -> n_expert (n_ff gate) n_embd"},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj", .to = "blk.{bid}.ffn_up_exps.weight", .only_if = "in_columns",
     .shape = {"n_expert", "n_embd", "n_ff_x2"}, .move = "n_expert n_embd (n_ff [gate up]) -> n_expert (n_ff up) n_embd"},
    {.from = "model.layers.{bid}.mlp.experts.down_proj", .to = "blk.{bid}.ffn_down_exps.weight", .only_if = "in_columns",
     .shape = {"n_expert", "n_ff", "n_embd"}, .move = "n_expert n_ff n_embd -> n_expert n_embd n_ff"},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj_bias", .to = "blk.{bid}.ffn_gate_exps.bias", .shape = {"n_expert", "n_ff_x2"},
     .move = "n_expert (n_ff [gate up]) -> n_expert (n_ff gate)"},
    {.from = "model.layers.{bid}.mlp.experts.gate_up_proj_bias", .to = "blk.{bid}.ffn_up_exps.bias", .shape = {"n_expert", "n_ff_x2"},
     .move = "n_expert (n_ff [gate up]) -> n_expert (n_ff up)"},
    {.from = "model.layers.{bid}.mlp.experts.down_proj_bias", .to = "blk.{bid}.ffn_down_exps.bias", .shape = {"n_expert", "n_embd"}},
});
// clang-format on

constexpr auto kRules = joined(kEndRules, kAttentionRules, kOwnRules);

Layout make_layout(const Config& config, const ModelOptions& options, const TextModel& model) {
  const uint64_t n_ff = config.uint({"intermediate_size"}), n_expert = read_experts(config, {"num_local_experts"}).n;
  // Codes in blocks are of rows. A matrix of plain numbers is in columns, as the code that trains it multiplies.
  const bool in_columns = options.has_tensor && options.has_tensor("model.layers.0.mlp.experts.gate_up_proj");
  Layout layout;
  layout.block_kinds.assign(model.n_blocks, 'E');
  layout.n_experts = static_cast<uint32_t>(n_expert);
  layout.dims = text_model_dims(model, {{"qkv_bias", 1},
                                        {"qk_norm", 0},
                                        {"n_expert", n_expert},
                                        {"n_ff", n_ff},
                                        {"n_ff_x2", 2 * n_ff},
                                        {"gate", 1},
                                        {"up", 1},
                                        {"in_rows", !in_columns},
                                        {"in_columns", in_columns}});
  return layout;
}

constexpr double kSwigluLimit = 7;  // llama.cpp's, of this architecture

void check_fixed(const Config& config) {
  if (config.find_number({"swiglu_limit"}).value_or(kSwigluLimit) != kSwigluLimit)
    throw config.bad_field("swiglu_limit", "is not 7, which is what llama.cpp runs");
  if (!config.boolean_or("attention_bias", true))
    throw config.bad_field("attention_bias", "found false, but llama.cpp has biases in this architecture");
}

// llama.cpp has the window in every second block, the first among them.
void check_layer_types(const Config& config, uint64_t n_blocks) {
  const auto words = config.find_strings("layer_types");
  for (size_t i = 0; words && i < std::max<size_t>(words->size(), n_blocks); ++i) {
    const std::string_view expected = i % 2 == 0 ? "sliding_attention" : "full_attention";
    if (words->size() == n_blocks && (*words)[i] == expected) continue;
    throw config.bad_field("layer_types", "is not sliding_attention and full_attention in turns in " + std::to_string(n_blocks) +
                                              " blocks, which is what llama.cpp runs");
  }
}

}  // namespace

std::span<const Rule> gpt_oss_rules() { return kRules; }

ArchDescription describe_gpt_oss(const Config& config, const ModelOptions& options) {
  refuse_mtp(config, options.mtp);
  TextModel model = read_text_model(config);
  model.names_head_dim = true;
  check_fixed(config);
  check_layer_types(config, model.n_blocks);
  ArchDescription description;
  description.gguf_name = "gpt-oss";
  description.layout = make_layout(config, options, model);
  Keys keys(description.metadata, description.gguf_name);
  add_text_model_keys(config, model, model.n_blocks, keys);
  keys.uint("attention.sliding_window", config.uint({"sliding_window"}, 1, UINT32_MAX));
  keys.uint("expert_feed_forward_length", config.uint({"intermediate_size"}));
  description.tokenizer = {.pre_tokenizers = {"gpt-4o"}, .n_tokens = model.n_vocab};
  description.gqa_ratio = model.gqa_ratio();
  return description;
}

}  // namespace ggufmill
