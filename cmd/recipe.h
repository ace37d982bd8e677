// `ggufmill recipe list | show NAME | check FILE [SOURCE]`.
#pragma once

#include <string>

namespace ggufmill {

int run_recipe_list(bool json);
int run_recipe_show(const std::string& name);
// With a source: what the recipe would do to it, as `plan` shows it.
int run_recipe_check(const std::string& file, const std::string& source);

}  // namespace ggufmill
