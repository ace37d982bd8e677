#include "cmd/expected_values.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>

#include "cmd/job.h"
#include "convert/plan.h"
#include "convert/source_rows.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

// A plan needs a type for everything; F32 is what the rows are compared in.
Plan plan_in_f32(const Checkpoint& checkpoint, MtpMode mtp) {
  ModelOptions model_options;
  model_options.mtp = mtp;
  PlanOptions options;
  options.recipe = "F32";
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
  for (const MtpMode mode : {MtpMode::kInclude, MtpMode::kLeaveOut, MtpMode::kOnly}) {
    try {
      Plan plan = plan_in_f32(opened->checkpoint, mode);
      const bool same = same_names(plan, names);
      if (same || !chosen) chosen = std::move(plan);
      if (same) break;
    } catch (const Error& error) {
      if (!refused) refused = error;  // a checkpoint without MTP has no form with it
    }
  }
  if (!chosen) throw *refused;
  opened->plan = std::move(*chosen);
  opened->rows.emplace(opened->plan);
  RowSource out;
  for (const PlannedTensor& t : opened->plan.tensors) {
    out.tensors.push_back({t.name, t.ne, std::string(name(t.tensor_class)), t.op != ValueOp::kNone});
  }
  out.read_row = [opened](size_t tensor, uint64_t row, std::span<float> values) { opened->rows->read(tensor, row, values); };
  return out;
}

}  // namespace ggufmill
