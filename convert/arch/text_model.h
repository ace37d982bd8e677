// What llama.cpp's converter reads and writes for every text model, before a family adds its own: sizes, attention, rope,
// experts.
//
// Source: llama.cpp b10573, conversion/base.py, class TextModel. Not here: rope_type longrope; the factors of llama3 are
// rope_factors.h's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "convert/arch/arch.h"
#include "convert/arch/config.h"
#include "convert/model.h"
#include "formats/metadata.h"

namespace ggufmill {

// llama-hparams.h: LLAMA_MAX_LAYERS, LLAMA_MAX_EXPERTS. A file beyond cannot be loaded.
inline constexpr uint64_t kMaxBlocks = 512, kMaxExperts = 1024;
inline constexpr double kRopeTheta = 10000;    // where config.json has none: llama.cpp's and transformers' default
inline constexpr uint64_t kSigmoidGating = 2;  // expert_gating_func

// Writes keys below the architecture's name.
class Keys {
 public:
  Keys(Metadata& metadata, std::string_view architecture) : metadata_(metadata), prefix_(std::string(architecture) + ".") {}
  void uint(std::string_view key, uint64_t value) { set(key, static_cast<uint32_t>(value)); }
  void number(std::string_view key, double value) { set(key, static_cast<float>(value)); }
  void set(std::string_view key, MetadataValue value) { metadata_.set(prefix_ + std::string(key), std::move(value)); }
  void file_type() { metadata_.set("general.file_type", uint32_t{0}); }  // its place; the plan knows the value

 private:
  Metadata& metadata_;
  std::string prefix_;
};

struct TextModel {
  uint64_t n_blocks, n_embd, n_vocab, n_head, n_head_kv;
  uint64_t head_dim;  // where config.json has none, the width's share of a head
  std::optional<double> rope_theta;
  std::optional<double> norm_eps;  // of the RMS norms; a family without a default throws where config.json has none
  bool names_head_dim;  // writes attention.key_length and value_length: where config.json has head_dim, some families always
  // Without the flag in config.json a missing lm_head means tied embeddings, as the converter takes it.
  bool untied;
  bool has_rope_freqs = false;  // the family writes the factors of rope_type llama3 (rope_factors.h)
  uint64_t q_rows() const { return n_head * head_dim; }
  uint64_t kv_rows() const { return n_head_kv * head_dim; }
  double gqa_ratio() const { return static_cast<double>(n_head) / static_cast<double>(n_head_kv); }
};

// The dimensions that shared rules name (shared_rules.h), with `more` of the family's own behind them.
std::vector<Dim> text_model_dims(const TextModel& model, std::vector<Dim> more);

// kBadInput for missing fields and those that contradict each other. Without num_key_value_heads each head has its own.
TextModel read_text_model(const Config& config);
// The same where heads attend through a latent that they share: llama.cpp counts one kv head, and head_dim is the rope's part.
TextModel read_latent_text_model(const Config& config);
// kBadInput where config.json or the user wants an MTP block of a family that has none.
void refuse_mtp(const Config& config, MtpMode mtp);

// Number of experts and how many a token uses.
struct Experts {
  uint64_t n, n_used;
};
Experts read_experts(const Config& config, Config::Names n_names);

// Whether an MTP block becomes part of the file: config.json announces one and it is not to be left out. kBadInput for more than
// one, and where there is none to write alone.
bool converts_mtp(const Config& config, MtpMode mtp);

// The object of config.json with the rope's fields: "rope_parameters", "rope_scaling" or a part of them for full attention.
std::string rope_object(const Config& config);
std::string rope_type(const Config& config, const std::string& rope);  // "default", "linear", "yarn", "llama3", ...

// block_count to general.file_type, in the converter's order. kBadInput for a kind of rope that would be lost.
void add_text_model_keys(const Config& config, const TextModel& model, uint64_t n_blocks_with_mtp, Keys& keys);

}  // namespace ggufmill
