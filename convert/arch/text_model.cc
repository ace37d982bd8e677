#include "convert/arch/text_model.h"

#include "convert/tokenizer/tokenizer.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

constexpr size_t kRopeSections = 4;    // time, height, width and one more
constexpr double kNormEpsilon = 1e-6;  // of latent attention, where config.json has none: the converter's default

void add_yarn_keys(const Config& config, const std::string& rope, Keys& keys) {
  keys.uint("rope.scaling.original_context_length",
            config.uint({rope + ".original_max_position_embeddings", "original_max_position_embeddings"}, 1, UINT32_MAX));
  const auto add = [&](std::string_view key, Config::Names fields) {
    if (const auto value = config.find_number(fields)) keys.number(key, *value);
  };
  add("rope.scaling.yarn_ext_factor", {rope + ".extrapolation_factor"});
  add("rope.scaling.yarn_attn_factor", {rope + ".attention_factor", rope + ".attn_factor"});
  add("rope.scaling.yarn_beta_fast", {rope + ".beta_fast"});
  add("rope.scaling.yarn_beta_slow", {rope + ".beta_slow"});
}

void add_rope_keys(const Config& config, const TextModel& model, Keys& keys) {
  const std::string rope = rope_object(config);
  const std::string type = rope_type(config, rope);
  if (type == "linear" || type == "yarn") {
    const double factor = config.number({rope + ".factor"});
    keys.set("rope.scaling.type", type);
    keys.number("rope.scaling.factor", factor);
    if (type == "yarn") add_yarn_keys(config, rope, keys);
  } else if (type != "default" && !(type == "llama3" && model.has_rope_freqs)) {
    throw config.bad_field(rope + ".rope_type", "found \"" + printable(type) + "\", known are default, linear" +
                                                    (model.has_rope_freqs ? ", yarn and llama3" : " and yarn"));
  }
  if (auto sections = config.find_uints(rope + ".mrope_section")) {
    if (sections->size() > kRopeSections) throw config.bad_field(rope + ".mrope_section", "has more than 4 sections");
    sections->resize(kRopeSections);
    keys.set("rope.dimension_sections", std::vector<int32_t>(sections->begin(), sections->end()));
  }
  if (model.rope_theta) keys.number("rope.freq_base", *model.rope_theta);
}

// llama-hparams.h: LLAMA_EXPERT_GATING_FUNC_TYPE_*.
uint64_t gating_function(const Config& config, std::string_view field, std::string_view word) {
  if (word == "softmax") return 1;
  if (word == "sigmoid") return kSigmoidGating;
  if (word == "sqrtsoftplus") return 4;
  throw config.bad_field(field, "found \"" + printable(word) + "\", known are softmax, sigmoid and sqrtsoftplus");
}

TextModel read_sizes(const Config& config) {
  TextModel m{};
  m.n_blocks = config.uint({"num_hidden_layers"}, 1, kMaxBlocks);
  m.n_embd = config.uint({"hidden_size"});
  m.n_vocab = config.uint({"vocab_size"}, 1, kMaxTokens);
  m.n_head = config.uint({"num_attention_heads"});
  m.names_head_dim = config.has("head_dim");
  m.rope_theta = config.find_number({rope_object(config) + ".rope_theta", "rope_theta"});
  if (m.rope_theta && !(*m.rope_theta > 0)) throw config.bad_field("rope_theta", "expected a number above 0");
  m.norm_eps = config.find_number({"rms_norm_eps", "norm_eps"});
  if (m.norm_eps && !(*m.norm_eps > 0)) throw config.bad_field("rms_norm_eps", "expected a number above 0");
  m.untied = !config.boolean_or("tie_word_embeddings", true);
  return m;
}

// What llama.cpp asserts of them.
void check_expert_groups(const Config& config, uint64_t n_experts) {
  const uint64_t n = config.find_uint({"n_group"}).value_or(0), used = config.find_uint({"topk_group"}).value_or(0);
  if (n > 0 && (n >= n_experts || n_experts % n != 0)) {
    throw config.bad_field("n_group", "found " + std::to_string(n) + ", which does not part the " + std::to_string(n_experts) +
                                          " experts into groups of several");
  }
  if (n > 1 && (used == 0 || used >= n))
    throw config.bad_field("topk_group",
                           "found " + std::to_string(used) + ", expected 1 to " + std::to_string(n - 1) + " of n_group");
}

}  // namespace

std::vector<Dim> text_model_dims(const TextModel& model, std::vector<Dim> more) {
  std::vector<Dim> dims = {{"n_embd", model.n_embd},     {"n_embd_x2", 2 * model.n_embd}, {"n_vocab", model.n_vocab},
                           {"untied", model.untied},     {"may_be_tied", !model.untied},  {"n_head", model.n_head},
                           {"head_dim", model.head_dim}, {"q_rows", model.q_rows()},      {"kv_rows", model.kv_rows()}};
  dims.insert(dims.end(), more.begin(), more.end());
  return dims;
}

TextModel read_latent_text_model(const Config& config) {
  TextModel m = read_sizes(config);
  m.n_head_kv = 1;
  if (!m.norm_eps) m.norm_eps = kNormEpsilon;
  m.head_dim = config.uint({"qk_rope_head_dim"});
  return m;
}

TextModel read_text_model(const Config& config) {
  TextModel m = read_sizes(config);
  m.n_head_kv = config.find_uint({"num_key_value_heads"}, 1).value_or(m.n_head);
  if (m.n_head % m.n_head_kv != 0) {
    throw config.bad_field("num_attention_heads", std::to_string(m.n_head) + " heads are not a multiple of num_key_value_heads " +
                                                      std::to_string(m.n_head_kv));
  }
  if (!config.has("head_dim") && m.n_embd % m.n_head != 0) {
    throw config.bad_field("hidden_size",
                           std::to_string(m.n_embd) + " is not a multiple of " + std::to_string(m.n_head) + " heads");
  }
  m.head_dim = config.find_uint({"head_dim"}, 1).value_or(m.n_embd / m.n_head);
  if (m.q_rows() > kMaxConfigNumber) {
    throw config.bad_field("head_dim",
                           "times " + std::to_string(m.n_head) + " heads exceeds " + std::to_string(kMaxConfigNumber));
  }
  return m;
}

Experts read_experts(const Config& config, Config::Names n_names) {
  const Experts experts{.n = config.uint(n_names, 1, kMaxExperts),
                        .n_used = config.uint({"num_experts_per_tok"}, 1, kMaxExperts)};
  if (experts.n_used > experts.n) {
    throw config.bad_field("num_experts_per_tok", "found " + std::to_string(experts.n_used) + ", but there are " +
                                                      std::to_string(experts.n) + " experts");
  }
  return experts;
}

bool converts_mtp(const Config& config, MtpMode mtp) {
  const uint64_t n = config.find_uint({"num_nextn_predict_layers"}).value_or(0);
  if (mtp == MtpMode::kOnly && n == 0)
    throw config.bad_field("num_nextn_predict_layers", "missing or 0: the model has no MTP block to write alone");
  if (n == 0 || mtp == MtpMode::kLeaveOut) return false;
  if (n != 1) throw config.bad_field("num_nextn_predict_layers", "found " + std::to_string(n) + ", only 0 and 1 are known");
  return true;
}

std::string rope_object(const Config& config) {
  const std::string rope = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  return config.has(rope + ".full_attention") ? rope + ".full_attention" : rope;
}

std::string rope_type(const Config& config, const std::string& rope) {
  return std::string(config.find_string({rope + ".rope_type", rope + ".type"}).value_or("default"));
}

void refuse_mtp(const Config& config, MtpMode mtp) {
  if (mtp == MtpMode::kOnly) {
    throw Error(Exit::kBadInput,
                config.where() + ": llama.cpp knows no MTP block in this architecture: there is none to write alone");
  }
  if (converts_mtp(config, mtp)) throw config.bad_field("num_nextn_predict_layers", "found 1, but the family has no MTP block");
}

void add_text_model_keys(const Config& config, const TextModel& model, uint64_t n_blocks_with_mtp, Keys& keys) {
  keys.uint("block_count", n_blocks_with_mtp);
  keys.uint("context_length", config.uint({"max_position_embeddings"}, 1, UINT32_MAX));
  keys.uint("embedding_length", model.n_embd);
  if (const auto n_ff = config.find_uint({"intermediate_size"})) keys.uint("feed_forward_length", *n_ff);
  keys.uint("attention.head_count", model.n_head);
  keys.uint("attention.head_count_kv", model.n_head_kv);
  if (!config.boolean_or("is_causal", true)) keys.set("attention.causal", false);
  add_rope_keys(config, model, keys);
  keys.number("attention.layer_norm_rms_epsilon", model.norm_eps ? *model.norm_eps : config.number({"rms_norm_eps", "norm_eps"}));
  if (const auto n = config.find_uint({"num_local_experts", "num_experts", "n_routed_experts"})) {
    check_expert_groups(config, *n);
    keys.uint("expert_count", *n);
  }
  if (const auto n = config.find_uint({"num_experts_per_tok"})) keys.uint("expert_used_count", *n);
  if (const auto n = config.find_uint({"n_group"})) keys.uint("expert_group_count", *n);
  if (const auto n = config.find_uint({"topk_group"})) keys.uint("expert_group_used_count", *n);
  if (const auto function = config.find_string({"scoring_func"}))
    keys.uint("expert_gating_func", gating_function(config, "scoring_func", *function));
  if (model.names_head_dim) {
    keys.uint("attention.key_length", model.head_dim);
    keys.uint("attention.value_length", model.head_dim);
  }
  keys.file_type();
}

}  // namespace ggufmill
