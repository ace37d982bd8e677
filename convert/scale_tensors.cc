#include "convert/scale_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "convert/tensor_class.h"
#include "formats/error.h"
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

constexpr std::string_view kWeight = ".weight", kScale = ".scale", kInputScale = ".input_scale";

std::string_view stem(std::string_view name) { return name.substr(0, name.size() - kWeight.size()); }

uint64_t matrices(const PlannedTensor& t) { return t.ne.size() > 2 ? t.ne[2] : 1; }

PlannedTensor companion(const PlannedTensor& of, std::string_view suffix, std::span<const float> values) {
  PlannedTensor t;
  t.name = std::string(stem(of.name)) + std::string(suffix);
  t.type = GgmlType::F32;
  t.ne = {values.size()};
  t.tensor_class = of.tensor_class;
  t.reason = std::string(suffix == kScale ? "scale" : "scale of activations") + " of " + of.name;
  t.literal.resize(values.size() * sizeof(float));
  std::memcpy(t.literal.data(), values.data(), t.literal.size());
  return t;
}

// One value per matrix of `tensor`, from sources that hold one matrix or several, and one scale or one per matrix.
std::vector<float> gathered(std::span<const Weight> weights, const PlannedTensor& tensor, std::vector<float> Weight::*scales) {
  std::vector<float> out(matrices(tensor), 1);
  const uint64_t rows = tensor.rows() / out.size();
  for (const Piece& piece : tensor.pieces) {
    const Weight& source = weights[piece.source];
    const std::vector<float>& found = source.*scales;
    if (found.empty()) continue;
    const uint64_t first = piece.first_elem / (source.rows_per_matrix() * source.columns());  // matrix of the source
    for (uint64_t m = 0; m < std::max<uint64_t>(1, piece.rows / rows); ++m)
      out[piece.out_row / rows + m] = found[found.size() == 1 ? 0 : first + m];
  }
  return out;
}

void add_source_scales(std::span<const Weight> weights, const PlannedTensor& of, std::vector<PlannedTensor>& out,
                       std::vector<Finding>& findings) {
  const std::vector<float> scales = gathered(weights, of, &Weight::tensor_scales);
  const std::vector<float> inputs = gathered(weights, of, &Weight::input_scales);
  const auto bad = std::ranges::find_if(inputs, [](float v) { return !(v > 0) || std::isinf(v); });
  if (bad != inputs.end()) {
    throw Error(Exit::kBadInput,
                quoted_tensor(of.name) + ": a scale of its activations (input_scale) is zero, negative or no number");
  }
  const auto without = std::ranges::count_if(of.pieces, [&](const Piece& p) { return weights[p.source].input_scales.empty(); });
  if (without > 0 && without < std::ssize(of.pieces)) {
    findings.push_back({Severity::kWarning, "", of.name,
                        std::to_string(without) + " of " + std::to_string(of.pieces.size()) +
                            " sources have no scale of their activations: 1 is written for them"});
  }
  const PlannedTensor weight = of;  // `out` may hold it, and grows
  if (!is_near_one(scales)) out.push_back(companion(weight, kScale, scales));
  if (!is_near_one(inputs)) out.push_back(companion(weight, kInputScale, inputs));
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

bool is_near_one(std::span<const float> scales) {
  return std::ranges::all_of(scales, [](float scale) { return std::fabs(scale - 1) <= 1e-6f; });
}

void add_scale_tensors(std::span<const Weight> weights, std::vector<PlannedTensor>& tensors, std::vector<Finding>& findings) {
  std::vector<PlannedTensor> out;
  std::vector<std::string> without;
  out.reserve(tensors.size());
  for (PlannedTensor& t : tensors) {
    const bool wanted = find_codec(t.type)->scaled && !t.repack, scaled = wanted && takes_scale(t.name);
    if (wanted && !scaled) without.push_back(t.name);
    if (scaled) t.scale = kNvfp4Scale;
    out.push_back(std::move(t));
    const PlannedTensor& of = out.back();
    if (scaled) {
      out.push_back(companion(PlannedTensor(of), kScale, std::vector<float>(matrices(of), kNvfp4Scale)));
    } else if (of.repack) {
      add_source_scales(weights, of, out, findings);
    }
  }
  if (!without.empty()) {
    const std::string more = without.size() > 1 ? " (and " + std::to_string(without.size() - 1) + " more)" : "";
    findings.push_back({Severity::kWarning, "", without.front(),
                        "NVFP4 without a scale tensor, since llama.cpp reads none for it: less exact" + more});
  }
  tensors = std::move(out);
}

}  // namespace ggufmill
