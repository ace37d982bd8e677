#include "convert/tensor_class.h"

#include <algorithm>
#include <array>

#include "formats/block_name.h"

namespace ggufmill {
namespace {

using enum TensorClass;

constexpr std::array<std::string_view, kTensorClasses> kNames = {
    "experts",    "shared_experts", "router", "latent", "attention", "ffn",  "ssm",
    "embeddings", "output",         "norms",  "conv",   "mtp",       "other"};

// First match wins. `part` is compared with the base name: the GGUF name without "blk.N." and without ".weight" or ".bias".
struct ClassRow {
  enum Where { kWhole, kStart, kEnd } where;
  std::string_view part;
  TensorClass tensor_class;
};

constexpr auto kRows = std::to_array<ClassRow>({
    {ClassRow::kEnd, "_norm", kNorms},
    {ClassRow::kEnd, ".enorm", kNorms},
    {ClassRow::kEnd, ".hnorm", kNorms},
    {ClassRow::kEnd, "_exps", kExperts},
    {ClassRow::kStart, "ffn_gate_inp", kRouter},
    {ClassRow::kStart, "ffn_gate_tid2eid", kRouter},
    {ClassRow::kWhole, "exp_probs_b", kRouter},
    {ClassRow::kEnd, "_shexp", kSharedExperts},
    {ClassRow::kStart, "ffn_latent_", kLatent},
    {ClassRow::kStart, "ffn_", kFfn},
    {ClassRow::kStart, "ssm_conv1d", kConv},
    {ClassRow::kStart, "ssm_", kSsm},
    {ClassRow::kStart, "attn_", kAttention},
    {ClassRow::kStart, "indexer.", kAttention},
    {ClassRow::kWhole, "token_embd", kEmbeddings},
    {ClassRow::kWhole, "output", kOutput},
});

std::string_view base_name(std::string_view name) {
  if (name.starts_with("blk.")) {
    const size_t dot = name.find('.', 4);
    if (dot != std::string_view::npos) name.remove_prefix(dot + 1);
  }
  for (const std::string_view suffix : {".weight", ".bias"}) {
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  }
  return name;
}

bool matches(const ClassRow& row, std::string_view base) {
  switch (row.where) {
    case ClassRow::kWhole:
      return base == row.part;
    case ClassRow::kStart:
      return base.starts_with(row.part);
    case ClassRow::kEnd:
      return base.ends_with(row.part);
  }
  return false;
}

}  // namespace

std::string_view name(TensorClass tensor_class) { return kNames[static_cast<size_t>(tensor_class)]; }

std::optional<TensorClass> find_tensor_class(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<TensorClass>(found - kNames.begin());
}

int64_t block_of(std::string_view gguf_name) {
  const std::optional<BlockName> at = in_block(gguf_name);
  return at && at->block <= INT64_MAX ? static_cast<int64_t>(at->block) : -1;
}

TensorClass classify(std::string_view gguf_name, int64_t mtp_block) {
  const std::string_view base = base_name(gguf_name);
  const auto row = std::ranges::find_if(kRows, [&](const ClassRow& r) { return matches(r, base); });
  const TensorClass plain = row == kRows.end() ? kOther : row->tensor_class;
  const bool in_mtp = mtp_block >= 0 && block_of(gguf_name) == mtp_block;
  if (in_mtp && plain != kRouter && plain != kNorms && plain != kConv) return kMtp;
  return plain;
}

}  // namespace ggufmill
