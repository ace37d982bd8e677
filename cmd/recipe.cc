#include "cmd/recipe.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "cmd/plan.h"
#include "cmd/text_table.h"
#include "convert/recipe.h"
#include "convert/recipes/file_types.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

// The rules of a preset that is a file type, as people read them: there is no TOML form.
void show_file_type(const FileType& file_type) {
  TextTable table({{"matrices", TextTable::Align::kLeft},
                   {"where", TextTable::Align::kLeft},
                   {"type", TextTable::Align::kLeft},
                   {"why", TextTable::Align::kLeft}});
  const std::vector<FileTypeRule> rules = rules_of_file_type(file_type.name);
  for (const FileTypeRule& rule : rules) {
    std::string roles = rule.roles.all() ? "all" : "", where(rule.place.text);
    for (size_t r = 0; r < kTensorRoles && !rule.roles.all(); ++r) {
      const TensorRole role = static_cast<TensorRole>(r);
      if (rule.roles.has(role)) roles += (roles.empty() ? "" : ", ") + std::string(name(role));
    }
    if (!rule.model.text.empty()) where += (where.empty() ? "" : "; ") + std::string(rule.model.text);
    table.row({roles, where, std::string(name(rule.type)), std::string(rule.reason)});
  }
  if (rules.empty() || !rules.back().is_catch_all()) {
    table.row({"all", "", std::string(name(file_type.type)), "the file type's own type"});
  }
  std::cout << "# general.file_type " << file_type.number
            << ". The first line that fits a matrix says its type; norms, routers and small tensors are kept as converted.\n"
               "# Rows that are not whole blocks: Q4_K becomes Q5_0, Q5_K Q5_1, Q6_K Q8_0, other k-quants and ternaries Q4_0,\n"
               "# codebook types IQ4_NL; F16 where the rows are not whole blocks of that either.\n\n";
  table.print(std::cout);
}

}  // namespace

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
  if (recipe.kind == Recipe::Kind::kFileType) {
    std::cout << "# " << recipe.name << ": " << recipe.description << '\n';
    show_file_type(*recipe.file_type);
    return 0;
  }
  std::cout << "# " << recipe.name << ": " << recipe.description
            << "\n# built in: types follow llama.cpp's converter, there is no TOML form\n";
  return 0;
}

int run_recipe_check(const std::string& file, const std::string& source) {
  const Recipe recipe = load_recipe(file);
  if (recipe.kind == Recipe::Kind::kRules) {
    std::cout << recipe.name << ": " << recipe.rules.size() << (recipe.rules.size() == 1 ? " rule" : " rules") << ", no errors\n";
  } else {
    std::cout << recipe.name << ": built in: " << recipe.description << '\n';
  }
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
