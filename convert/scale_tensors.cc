#include "convert/scale_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "convert/tensor_class.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

using namespace std::string_view_literals;

constexpr std::array kInBlocks = {"attn_q"sv,         "attn_k"sv,         "attn_v"sv,
                                  "attn_output"sv,    "attn_qkv"sv,       "attn_gate"sv,
                                  "ffn_gate"sv,       "ffn_down"sv,       "ffn_up"sv,
                                  "ffn_gate_shexp"sv, "ffn_down_shexp"sv, "ffn_up_shexp"sv,
                                  "ffn_gate_exps"sv,  "ffn_down_exps"sv,  "ffn_up_exps"sv,
                                  "ssm_in"sv,         "ssm_out"sv,        "ssm_alpha"sv,
                                  "ssm_beta"sv,       "nextn.eh_proj"sv,  "nextn.shared_head_head"sv};

constexpr std::string_view kWeight = ".weight";

std::string_view stem(std::string_view name) { return name.substr(0, name.size() - kWeight.size()); }

PlannedTensor scale_tensor(const PlannedTensor& of) {
  const std::vector<float> values(of.ne.size() > 2 ? of.ne[2] : 1, of.scale);
  PlannedTensor t;
  t.name = scale_name(of.name);
  t.type = GgmlType::F32;
  t.ne = {values.size()};
  t.tensor_class = of.tensor_class;
  t.reason = "scale of " + of.name;
  t.literal.resize(values.size() * sizeof(float));
  std::memcpy(t.literal.data(), values.data(), t.literal.size());
  return t;
}

}  // namespace

bool takes_scale(std::string_view tensor_name) {
  if (!tensor_name.ends_with(kWeight)) return false;
  if (tensor_name == "output.weight") return true;
  if (block_of(tensor_name) < 0) return false;
  const std::string_view name = stem(tensor_name);
  const std::string_view in_block = name.substr(name.find('.', 4) + 1);  // behind "blk.N."; "blk.N" itself is in no list
  return std::ranges::find(kInBlocks, in_block) != kInBlocks.end();
}

std::string scale_name(std::string_view tensor_name) { return std::string(stem(tensor_name)) + ".scale"; }

void add_scale_tensors(std::vector<PlannedTensor>& tensors, std::vector<Finding>& findings) {
  std::vector<PlannedTensor> out;
  out.reserve(tensors.size());
  for (PlannedTensor& t : tensors) {
    const bool wanted = find_codec(t.type)->scaled, scaled = wanted && takes_scale(t.name);
    if (wanted && !scaled) {
      findings.push_back({Severity::kWarning, "", t.name,
                          std::string(name(t.type)) + " without a scale tensor, since llama.cpp reads none for it: less exact"});
    }
    if (scaled) t.scale = kNvfp4Scale;
    out.push_back(std::move(t));
    if (scaled) out.push_back(scale_tensor(out.back()));
  }
  tensors = std::move(out);
}

}  // namespace ggufmill
