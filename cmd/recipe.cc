#include "cmd/recipe.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "cmd/plan.h"
#include "cmd/text_table.h"
#include "convert/recipe.h"
#include "formats/error.h"

namespace ggufmill {

int run_recipe_list(bool json) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  TextTable table({{"recipe", TextTable::Align::kLeft}, {"what it does", TextTable::Align::kLeft}});
  for (const std::string& name : recipe_names()) {
    const Recipe recipe = load_recipe(name);
    table.row({recipe.name, recipe.description});
    list.push_back({{"name", recipe.name}, {"description", recipe.description}, {"default_for", recipe.architectures}});
  }
  if (json) {
    std::cout << list.dump(1) << '\n';
  } else {
    table.print(std::cout);
  }
  return 0;
}

int run_recipe_show(const std::string& name) {
  const Recipe recipe = load_recipe(name);
  for (const ShippedRecipe& shipped : shipped_recipes()) {
    if (shipped.name == recipe.name) {
      std::cout << shipped.toml;
      return 0;
    }
  }
  std::cout << "# " << recipe.name << ": " << recipe.description
            << "\n# built in: types follow llama.cpp's converter, there is no TOML form\n";
  return 0;
}

int run_recipe_check(const std::string& file, const std::string& source) {
  const Recipe recipe = load_recipe(file);
  std::cout << recipe.name << ": " << recipe.rules.size() << (recipe.rules.size() == 1 ? " rule" : " rules") << ", no errors\n";
  if (recipe.kind == Recipe::Kind::kRules && !recipe.rules.back().is_catch_all()) {
    std::cout << "warning: the last rule has conditions: a tensor that no rule matches is an error\n";
  }
  if (source.empty()) return 0;
  std::cout << '\n';
  JobOptions options;
  options.source = source;
  options.recipe = file;
  return run_plan_command(options);
}

}  // namespace ggufmill
