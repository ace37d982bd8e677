#include "convert/recipes/file_type_facts.h"

#include <algorithm>
#include <array>
#include <string>
#include <tuple>

#include "convert/tensor_class.h"
#include "formats/metadata_numbers.h"

namespace ggufmill {
namespace {

// Which names have a role; first match wins. Part of the name, or all of it.
struct RoleRow {
  std::string_view part;
  bool whole;
  TensorRole role;
};
constexpr auto kRoles = std::to_array<RoleRow>({
    {"output.weight", true, TensorRole::kOutput},
    {"token_embd.weight", true, TensorRole::kEmbeddings},
    {"per_layer_token_embd.weight", true, TensorRole::kEmbeddings},
    {"attn_qkv.weight", false, TensorRole::kValues},
    {"attn_kv_b.weight", false, TensorRole::kValues},
    {"attn_v.weight", false, TensorRole::kValues},
    {"attn_k.weight", false, TensorRole::kKeys},
    {"attn_q.weight", false, TensorRole::kQueries},
    {"attn_output.weight", false, TensorRole::kAttnOutput},
    {"ffn_up", false, TensorRole::kUp},
    {"ffn_gate", false, TensorRole::kGate},
    {"ffn_down", false, TensorRole::kDown},
});

TensorRole role_of(std::string_view name) {
  const auto row = std::ranges::find_if(
      kRoles, [&](const RoleRow& r) { return r.whole ? name == r.part : name.find(r.part) != std::string_view::npos; });
  return row == kRoles.end() ? TensorRole::kOther : row->role;
}

// Matrices that llama-quantize never quantizes have one of these in their names: norms, routers, convolutions, small matrices of
// recurrent models, position tables, parts of image and audio encoders.
constexpr auto kNeverQuantized = std::to_array<std::string_view>({
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
});
constexpr auto kNeverQuantizedWhole = std::to_array<std::string_view>({"position_embd.weight", "token_types.weight"});

// A metadata key's whole number, or the first of its array (one number per block).
uint32_t first_number(const Metadata& metadata, const std::string& key, uint32_t otherwise) {
  const std::optional<MetadataNumbers> numbers = find_numbers(metadata, key);
  return numbers && !numbers->values.empty() ? static_cast<uint32_t>(numbers->values[0]) : otherwise;
}

// llama.cpp's models of the size "70B": there 8 heads share a value matrix, as the first of that size had it.
struct Model70b {
  std::string_view architecture;
  uint32_t blocks;
  bool only_grouped;  // only where heads share values
};
constexpr auto kModels70b = std::to_array<Model70b>({{"llama", 80, true},
                                                     {"llama-embed", 80, true},
                                                     {"deci", 80, false},
                                                     {"olmo", 80, false},
                                                     {"qwen2", 80, false},
                                                     {"jais2", 68, false}});

// What llama-quantize reads from a file's metadata.
struct ModelFacts {
  uint32_t blocks = 0;           // MTP's included
  bool only_ffn_stacks = false;  // other stacks than those of experts exist: heads of attention
  FileTypeFacts shared;          // what is the same for all tensors
};

ModelFacts facts_of(const Model& model, bool has_imatrix) {
  const std::string& arch = model.architecture;
  const auto number = [&](std::string_view key, uint32_t otherwise) {
    return first_number(model.metadata, arch + "." + std::string(key), otherwise);
  };
  ModelFacts facts;
  facts.blocks = number("block_count", 0);
  facts.only_ffn_stacks = arch == "bailingmoe3";
  const uint32_t heads = number("attention.head_count", 0), kv_heads = number("attention.head_count_kv", heads);
  facts.shared.imatrix = has_imatrix;
  facts.shared.n_experts = number("expert_count", 0);
  facts.shared.heads_per_kv_head = kv_heads == 0 ? 0 : heads / kv_heads;
  facts.shared.is_falcon = arch == "falcon";
  facts.shared.is_70b = std::ranges::any_of(kModels70b, [&](const Model70b& m) {
    return m.architecture == arch && m.blocks == facts.blocks && (!m.only_grouped || heads != kv_heads);
  });
  return facts;
}

bool is_ffn(TensorRole role) { return role == TensorRole::kUp || role == TensorRole::kGate || role == TensorRole::kDown; }

// Ranks within each role, and the places that follow from them.
void place_all(const Model& model, const ModelFacts& of_model, std::vector<FileTypeFacts>& facts) {
  std::array<std::vector<size_t>, kTensorRoles> members;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (llama_quantizes(model.tensors[i])) members[static_cast<size_t>(facts[i].role)].push_back(i);
  }
  const auto block = [&](size_t i) { return block_of(model.tensors[i].name); };
  for (std::vector<size_t>& of_role : members) {
    std::ranges::sort(of_role, {}, [&](size_t i) { return std::tuple(block(i), std::string_view(model.tensors[i].name)); });
    for (size_t rank = 0; rank < of_role.size(); ++rank) {
      const size_t i = of_role[rank];
      FileTypeFacts& f = facts[i];
      f.rank = static_cast<uint32_t>(rank);
      const bool by_block = is_ffn(f.role) && f.n_experts > 1;
      f.place = by_block ? static_cast<uint32_t>(std::max<int64_t>(block(i), 0)) : f.rank;
      f.places = is_ffn(f.role) ? of_model.blocks : static_cast<uint32_t>(of_role.size());
    }
  }
}

}  // namespace

bool llama_quantizes(const ModelTensor& t) {
  const bool is_matrix = std::any_of(t.ne.begin() + 1, t.ne.end(), [](uint64_t n) { return n > 1; });
  if (!is_matrix || !t.name.ends_with("weight")) return false;
  if (std::ranges::find(kNeverQuantizedWhole, t.name) != kNeverQuantizedWhole.end()) return false;
  return std::ranges::none_of(kNeverQuantized, [&](std::string_view part) { return t.name.find(part) != std::string::npos; });
}

std::vector<FileTypeFacts> file_type_facts(const Model& model, GgmlType own_type, bool has_imatrix) {
  const ModelFacts of_model = facts_of(model, has_imatrix);
  const bool tied = std::ranges::none_of(model.tensors, [](const ModelTensor& t) { return t.name == "output.weight"; });
  std::vector<FileTypeFacts> facts(model.tensors.size(), of_model.shared);
  for (size_t i = 0; i < facts.size(); ++i) {
    const ModelTensor& t = model.tensors[i];
    FileTypeFacts& f = facts[i];
    f.role = role_of(t.name);
    if (tied && f.role == TensorRole::kEmbeddings) f.role = TensorRole::kOutput;
    f.whole_blocks = t.row_elems() % info(own_type).block_elems == 0;
    f.stacked = t.ne.size() > 2 && t.ne[2] > 1 && (is_ffn(f.role) || !of_model.only_ffn_stacks);
  }
  place_all(model, of_model, facts);
  return facts;
}

}  // namespace ggufmill
