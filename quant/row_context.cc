#include "quant/row_context.h"

#include <algorithm>
#include <array>

namespace ggufmill {
namespace {

constexpr std::array<std::string_view, 3> kEfforts = {"fast", "default", "max"};
constexpr std::array<std::string_view, 2> kObjectives = {"importance", "magnitude"};

template <class Enum, size_t kNames>
std::optional<Enum> find(const std::array<std::string_view, kNames>& names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

}  // namespace

std::vector<std::string> effort_names() { return {kEfforts.begin(), kEfforts.end()}; }
std::vector<std::string> objective_names() { return {kObjectives.begin(), kObjectives.end()}; }
std::optional<Effort> find_effort(std::string_view name) { return find<Effort>(kEfforts, name); }
std::optional<Objective> find_objective(std::string_view name) { return find<Objective>(kObjectives, name); }
std::string_view name(Effort effort) { return kEfforts[static_cast<size_t>(effort)]; }
std::string_view name(Objective objective) { return kObjectives[static_cast<size_t>(objective)]; }

}  // namespace ggufmill
