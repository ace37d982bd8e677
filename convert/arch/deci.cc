// DeciLM: Llamas whose blocks were searched one by one (Puzzle): Llama-3.1-Nemotron-51B, Llama-3.3-Nemotron-Super-49B (v1, v1.5)
// and Llama-3.1-Nemotron-Ultra-253B. `block_configs` of config.json says for each block
//   attention.n_heads_in_group g    kv heads = heads / g; null: no attention, or with replace_with_linear one matrix instead
//   ffn.ffn_mult m                  width = 2/3 m n_embd, cut to an integer and rounded up to 256; null: no feed-forward
// A block without attention has no input_layernorm, one without feed-forward no post_attention_layernorm, and one without both (a
// dummy of the 253B) no tensors at all. In GGUF the three counts are arrays over the blocks, with 0 for what is not there:
//   block 0  attention, feed-forward   head_count 64  head_count_kv 8  feed_forward_length 28672
//   block 1  linear attention                     64                0                      5376
//   block 2  feed-forward alone                    0                0                     14336
//   block 3  dummy                                 0                0                         0
// q and k are interleaved and the rope is stretched as Llama's are (llama.cc, rope_factors.h).
//
// Source: llama.cpp b10573, conversion/deci.py; src/models/deci.cpp. Not here: DeciLM-7B, which has num_key_value_heads_per_layer
// instead of block_configs, and what Puzzle can put into a block but these models do not use (windows, sinks, experts).
#include <cmath>
#include <numeric>

#include "convert/arch/families.h"
#include "convert/arch/rope_factors.h"
#include "convert/arch/shared_rules.h"
#include "convert/arch/text_model.h"

namespace ggufmill {
namespace {

constexpr uint64_t kFfnMultiple = 256;

constexpr std::string_view kInterleaved = "(* 2 head_dim/2) n_embd -> (* head_dim/2 2) n_embd";

// Blocks: A attention, L linear attention, - none. One or two lines a rule:
// clang-format off
constexpr auto kOwnRules = std::to_array<Rule>({
    {.from = "model.layers.{bid}.input_layernorm.weight", .to = "blk.{bid}.attn_norm.weight", .blocks = "AL", .shape = {"n_embd"}},
    {.from = "model.layers.{bid}.self_attn.q_proj.weight", .to = "blk.{bid}.attn_q.weight", .blocks = "A", .shape = {"q_rows", "n_embd"},
     .move = kInterleaved},
    {.from = "model.layers.{bid}.self_attn.k_proj.weight", .to = "blk.{bid}.attn_k.weight", .blocks = "A", .shape = {"kv_rows", "n_embd"},
     .move = kInterleaved},
    {.from = "model.layers.{bid}.self_attn.v_proj.weight", .to = "blk.{bid}.attn_v.weight", .blocks = "A", .shape = {"kv_rows", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.o_proj.weight", .to = "blk.{bid}.attn_output.weight", .blocks = "A",
     .shape = {"n_embd", "q_rows"}},
    {.from = "model.layers.{bid}.self_attn.linear_attn.weight", .to = "blk.{bid}.attn_output.weight", .blocks = "L",
     .shape = {"n_embd", "n_embd"}},
    {.from = "model.layers.{bid}.self_attn.rotary_emb.inv_freq"},

    {.from = "model.layers.{bid}.post_attention_layernorm.weight", .to = "blk.{bid}.ffn_norm.weight", .only_if = "n_ff",
     .shape = {"n_embd"}},
});
// clang-format on

constexpr auto kRules = joined(kEndRules, kOwnRules, kMlpRules);

struct Blocks {
  std::string kinds;
  std::vector<uint64_t> n_head, n_head_kv, n_ff;
};

// One element of block_configs: fields of its two parts, "attention" and "ffn".
class BlockConfig {
 public:
  BlockConfig(const Config& config, size_t block, simdjson::dom::element element)
      : config_(config), name_("block_configs[" + std::to_string(block) + "]"), element_(element) {}

  // nullopt: null. A field that is not there is an error: which part a block has must be said.
  std::optional<double> number(std::string_view part, std::string_view field) const {
    simdjson::dom::element value;
    const auto object = json_find(element_, part);
    if (!object || object->at_key(field).get(value)) throw bad(part, field, "missing");
    if (value.is_null()) return std::nullopt;
    const auto number = json_double(*object, field);
    if (!number || !(*number > 0))
      throw bad(part, field, "found " + printable(simdjson::minify(value), 60) + ", expected null or a number above 0");
    return number;
  }
  bool flag(std::string_view part, std::string_view field) const {
    const auto object = json_find(element_, part);
    return object && json_bool(*object, field).value_or(false);
  }
  // Neither null, false nor missing.
  bool uses(std::string_view part, std::string_view field) const {
    const auto object = json_find(element_, part);
    const auto value = object ? json_find(*object, field) : std::nullopt;
    return value && json_bool(*object, field) != false;
  }
  Error bad(std::string_view part, std::string_view field, std::string_view why) const {
    return config_.bad_field(name_ + "." + std::string(part) + "." + std::string(field), why);
  }

 private:
  const Config& config_;
  std::string name_;
  simdjson::dom::element element_;
};

void refuse_unknown_parts(const BlockConfig& block) {
  for (const std::string_view field : {"window_length", "num_sink_tokens", "unshifted_sink", "sparsify", "mamba", "llama4"}) {
    if (block.uses("attention", field)) throw block.bad("attention", field, "is set, and llama.cpp knows no such attention here");
  }
  for (const std::string_view field : {"replace_with_linear", "sparsify", "moe"}) {
    if (block.uses("ffn", field)) throw block.bad("ffn", field, "is set, and llama.cpp knows no such feed-forward here");
  }
}

void add_attention(const BlockConfig& block, uint64_t n_head, Blocks& blocks) {
  const auto group = block.number("attention", "n_heads_in_group");
  const bool linear = block.flag("attention", "replace_with_linear");
  if (group && (linear || block.flag("attention", "no_op")))
    throw block.bad("attention", "n_heads_in_group", "is a number in a block without attention (no_op, replace_with_linear)");
  if (group && (std::floor(*group) != *group || std::fmod(static_cast<double>(n_head), *group) != 0))
    throw block.bad("attention", "n_heads_in_group", "does not divide the " + std::to_string(n_head) + " heads");
  blocks.kinds += group ? 'A' : linear ? 'L' : '-';
  blocks.n_head.push_back(group || linear ? n_head : 0);
  blocks.n_head_kv.push_back(group ? n_head / static_cast<uint64_t>(*group) : 0);
}

void add_ffn(const BlockConfig& block, uint64_t n_embd, Blocks& blocks) {
  const auto mult = block.number("ffn", "ffn_mult");
  if (mult && block.flag("ffn", "no_op"))
    throw block.bad("ffn", "ffn_mult", "is a number in a block without feed-forward (no_op)");
  const double width = mult ? 2 * *mult * static_cast<double>(n_embd) / 3 : 0;
  if (width > static_cast<double>(kMaxConfigNumber))
    throw block.bad("ffn", "ffn_mult", "a feed-forward wider than " + std::to_string(kMaxConfigNumber));
  blocks.n_ff.push_back((static_cast<uint64_t>(width) + kFfnMultiple - 1) / kFfnMultiple * kFfnMultiple);
}

Blocks read_blocks(const Config& config, const TextModel& model) {
  const auto field = config.find({"block_configs"});
  simdjson::dom::array list;
  if (!field || field->get_array().get(list)) throw config.bad_field("block_configs", "missing, expected a list");
  Blocks blocks;
  for (const simdjson::dom::element element : list) {
    const BlockConfig block(config, blocks.kinds.size(), element);
    refuse_unknown_parts(block);
    add_attention(block, model.n_head, blocks);
    add_ffn(block, model.n_embd, blocks);
  }
  if (blocks.kinds.size() != model.n_blocks) {
    throw config.bad_field("num_hidden_layers", "found " + std::to_string(model.n_blocks) + ", but block_configs has " +
                                                    std::to_string(blocks.kinds.size()) + " blocks");
  }
  if (blocks.kinds.find('A') == std::string::npos) throw config.bad_field("block_configs", "no block has attention");
  return blocks;
}

TextModel read_deci(const Config& config) {
  const TextModel model = read_text_model(config);
  if (model.q_rows() != model.n_embd || model.head_dim % 2 != 0) {
    throw config.bad_field("num_attention_heads", std::to_string(model.n_head) + " heads of " + std::to_string(model.head_dim) +
                                                      " are not the " + std::to_string(model.n_embd) +
                                                      " of hidden_size in pairs");
  }
  for (const std::string_view field : {"attention_bias", "mlp_bias"}) {
    if (config.boolean_or(field, false)) throw config.bad_field(field, "found true, but biases are not known in this family");
  }
  const std::string rope = rope_object(config), type = rope_type(config, rope);
  if (type != "default" && type != "llama3")
    throw config.bad_field(rope + ".rope_type", "found \"" + printable(type) + "\", known are default and llama3");
  return model;
}

Layout make_layout(const TextModel& model, const Blocks& blocks) {
  std::vector<uint64_t> kv_rows;
  for (const uint64_t n : blocks.n_head_kv) kv_rows.push_back(n * model.head_dim);
  Layout layout;
  layout.block_kinds = blocks.kinds;
  layout.dims = text_model_dims(model, {});
  layout.block_dims = {{"kv_rows", std::move(kv_rows)}, {"n_ff", blocks.n_ff}};
  return layout;
}

// The converter has an order of its own here.
Metadata make_metadata(const Config& config, const TextModel& model, const Blocks& blocks) {
  const auto array = [](const std::vector<uint64_t>& values) { return std::vector<int32_t>(values.begin(), values.end()); };
  Metadata metadata;
  Keys keys(metadata, "deci");
  if (model.rope_theta) keys.number("rope.freq_base", *model.rope_theta);
  keys.set("attention.head_count_kv", array(blocks.n_head_kv));
  keys.set("attention.head_count", array(blocks.n_head));
  keys.set("feed_forward_length", array(blocks.n_ff));
  keys.uint("block_count", model.n_blocks);
  keys.uint("context_length", config.uint({"max_position_embeddings"}, 1, UINT32_MAX));
  keys.uint("embedding_length", model.n_embd);
  keys.number("attention.layer_norm_rms_epsilon", config.number({"rms_norm_eps"}));
  keys.uint("attention.key_length", model.head_dim);
  keys.uint("attention.value_length", model.head_dim);
  keys.file_type();
  keys.uint("vocab_size", model.n_vocab);
  keys.uint("rope.dimension_count", model.head_dim);
  return metadata;
}

}  // namespace

std::span<const Rule> deci_rules() { return kRules; }

ArchDescription describe_deci(const Config& config, const ModelOptions& options) {
  refuse_mtp(config, options.mtp);
  const TextModel model = read_deci(config);
  const Blocks blocks = read_blocks(config, model);
  ArchDescription description;
  description.gguf_name = "deci";
  description.layout = make_layout(model, blocks);
  description.metadata = make_metadata(config, model, blocks);
  description.tokenizer = {.pre_tokenizers = {"llama-bpe"}, .n_tokens = model.n_vocab};
  const auto sum = [](const std::vector<uint64_t>& counts) { return std::accumulate(counts.begin(), counts.end(), 0.0); };
  description.gqa_ratio = sum(blocks.n_head) / sum(blocks.n_head_kv);
  description.computed = rope_freqs(config, model.head_dim, model.rope_theta.value_or(kRopeTheta));
  return description;
}

}  // namespace ggufmill
