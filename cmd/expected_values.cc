#include "cmd/expected_values.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "cmd/job.h"
#include "convert/plan.h"
#include "convert/source_rows.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

Plan plan_of(const Checkpoint& checkpoint, MtpMode mtp, const char* recipe) {
  ModelOptions model_options;
  model_options.mtp = mtp;
  model_options.tensors_only = true;
  PlanOptions options;
  options.recipe = recipe;
  options.split.mode = SplitOptions::Mode::kNone;
  return make_plan(checkpoint, describe_model(checkpoint, model_options), options);
}

// A quantized tensor's `.scale` and `.input_scale` are no tensors of their own to a source.
std::set<std::string> without_scales(std::set<std::string> names) {
  const std::set<std::string> all = names;
  std::erase_if(names, [&](const std::string& name) {
    return std::ranges::any_of(std::array<std::string_view, 2>{".scale", ".input_scale"}, [&](std::string_view suffix) {
      return name.ends_with(suffix) && all.contains(name.substr(0, name.size() - suffix.size()) + ".weight");
    });
  });
  return names;
}

bool same_names(const Plan& plan, const std::set<std::string>& names) {
  return plan.tensors.size() == names.size() &&
         std::ranges::all_of(plan.tensors, [&](const PlannedTensor& t) { return names.contains(t.name); });
}

// The tensors whose blocks a file can take from the source as they are, and the type of these.
std::map<std::string, GgmlType> kept_types(const Checkpoint& checkpoint, MtpMode mtp) {
  std::map<std::string, GgmlType> types;
  for (const PlannedTensor& t : plan_of(checkpoint, mtp, "auto").tensors) {
    if (t.repack) types.emplace(t.name, t.type);
  }
  return types;
}

struct Opened {
  Checkpoint checkpoint;
  Plan plan;
  std::optional<SourceRows> rows;
};

}  // namespace

RowSource expected_values(const std::string& source, const std::vector<std::string>& tensor_names) {
  if (tensor_names.empty()) return {};  // a vocabulary has no values
  const std::set<std::string> names = without_scales({tensor_names.begin(), tensor_names.end()});
  auto opened = std::make_shared<Opened>(Opened{Checkpoint(resolve_source(source, hub_cache())), {}, {}});
  std::optional<Plan> chosen;
  std::optional<Error> refused;
  MtpMode chosen_mode = MtpMode::kInclude;
  for (const MtpMode mode : {MtpMode::kInclude, MtpMode::kLeaveOut, MtpMode::kOnly}) {
    try {
      Plan plan = plan_of(opened->checkpoint, mode, "F32");  // a type for everything: what rows are compared in
      const bool same = same_names(plan, names);
      if (same || (!chosen && !refused)) {
        chosen = std::move(plan);
        chosen_mode = mode;
      }
      if (same) break;
    } catch (const Error& error) {
      if (mode == MtpMode::kInclude) refused = error;  // the others may refuse: a checkpoint without MTP has no form with it
    }
  }
  if (!chosen) throw *refused;
  const bool is_quantized = std::ranges::any_of(chosen->sources, [](const Weight& w) { return w.form != nullptr; });
  const std::map<std::string, GgmlType> kept =
      is_quantized ? kept_types(opened->checkpoint, chosen_mode) : std::map<std::string, GgmlType>{};
  opened->plan = std::move(*chosen);
  opened->rows.emplace(opened->plan);
  RowSource out;
  for (const PlannedTensor& t : opened->plan.tensors) {
    const auto at = kept.find(t.name);
    out.tensors.push_back({.name = t.name,
                           .ne = t.ne,
                           .class_name = std::string(name(t.tensor_class)),
                           .exact_type = at != kept.end() ? std::optional(at->second) : std::nullopt,
                           .computed = t.op != ValueOp::kNone});
  }
  out.read_row = [opened](size_t tensor, uint64_t row, std::span<float> values) { opened->rows->read(tensor, row, values); };
  return out;
}

}  // namespace ggufmill
