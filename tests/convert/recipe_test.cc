#include "convert/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

Recipe parse(const std::string& toml) { return parse_recipe(toml, "r.toml"); }

TensorFacts facts_of(std::string_view name) {
  TensorFacts facts;
  facts.name = name;
  facts.tensor_class = classify(name, -1);
  facts.layer = block_of(name);
  facts.n_layers = 10;
  return facts;
}

TEST(Recipe, FirstMatchingRuleSaysTheTypes) {
  const Recipe recipe = parse(R"(
name = "mine"
description = "experts small"
architectures = ["some_moe"]

[[rule]]
class = "experts"
tensor = "down_exps"
type = ["IQ3_S", "iq4_nl"]

[[rule]]
class = ["experts", "shared_experts"]
type = "q4_k"

[[rule]]
type = "Q8_0"
)");
  EXPECT_EQ(recipe.name, "mine");
  EXPECT_EQ(recipe.description, "experts small");
  EXPECT_EQ(recipe.architectures, std::vector<std::string>{"some_moe"});
  EXPECT_EQ(recipe.kind, Recipe::Kind::kRules);
  const auto rule_of = [&](std::string_view name) -> const Rule& {
    return *std::ranges::find_if(recipe.rules, [&](const Rule& r) { return r.matches(facts_of(name)); });
  };
  EXPECT_EQ(rule_of("blk.0.ffn_down_exps.weight").types, (std::vector{GgmlType::IQ3_S, GgmlType::IQ4_NL}));
  EXPECT_EQ(rule_of("blk.0.ffn_down_exps.weight").origin, "rule 1");
  EXPECT_EQ(rule_of("blk.0.ffn_up_exps.weight").types, std::vector{GgmlType::Q4_K});
  EXPECT_EQ(rule_of("blk.0.ffn_up_shexp.weight").origin, "rule 2");
  EXPECT_EQ(rule_of("output.weight").origin, "rule 3");
}

TEST(Recipe, EveryConditionIsHeldAgainstItsFact) {
  struct Case {
    std::string condition;
    TensorFacts holds, fails;
  };
  const auto with = [](auto change) {
    TensorFacts facts = facts_of("blk.3.attn_q.weight");
    facts.rank = 2, facts.count = 5, facts.n_experts = 8, facts.gqa_ratio = 4;
    change(facts);
    return facts;
  };
  const Case cases[] = {
      {"class = \"attention\"", with([](auto&) {}), with([](auto& f) { f.tensor_class = TensorClass::kSsm; })},
      {"tensor = 'attn_[qk]\\.'", with([](auto&) {}), with([](auto& f) { f.name = "blk.3.attn_v.weight"; })},
      {"layers = [3, 5]", with([](auto&) {}), with([](auto& f) { f.layer = 6; })},
      {"layers = [0, -1]", with([](auto&) {}), with([](auto& f) { f.layer = -1; })},
      {"layers = [0, -1]", with([](auto& f) { f.layer = 9; }), with([](auto& f) { f.layer = 10; })},
      {"rank = [-3, -3]", with([](auto&) {}), with([](auto& f) { f.rank = 3; })},
      {"min_experts = 8", with([](auto&) {}), with([](auto& f) { f.n_experts = 7; })},
      {"min_gqa = 4", with([](auto&) {}), with([](auto& f) { f.gqa_ratio = 3.9; })},
      {"min_gqa = 3.5", with([](auto&) {}), with([](auto& f) { f.gqa_ratio = 3; })},
      {"imatrix = true", with([](auto& f) { f.imatrix = true; }), with([](auto&) {})},
      {"tied = false", with([](auto&) {}), with([](auto& f) { f.tied_output = true; })},
      {"min_experts = 8\nmin_gqa = 4", with([](auto&) {}), with([](auto& f) { f.gqa_ratio = 1; })},
  };
  for (const Case& c : cases) {
    const Recipe recipe = parse("name = 'x'\n[[rule]]\n" + c.condition + "\ntype = 'Q8_0'\n");
    EXPECT_TRUE(recipe.rules[0].matches(c.holds)) << c.condition;
    EXPECT_FALSE(recipe.rules[0].matches(c.fails)) << c.condition;
  }
}

TEST(Recipe, RangesCountFromTheEnd) {
  const auto members = [](int64_t first, int64_t last, int64_t count) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) {
      if (IndexRange{first, last}.contains(i, count)) out += std::to_string(i);
    }
    return out;
  };
  EXPECT_EQ(members(0, 3, 6), "0123");
  EXPECT_EQ(members(-2, -1, 6), "45");
  EXPECT_EQ(members(1, -2, 6), "1234");
  EXPECT_EQ(members(4, 9, 6), "45");
  EXPECT_EQ(members(-9, 1, 6), "01");
  EXPECT_EQ(members(4, 3, 6), "");
}

TEST(Recipe, HugeExpertCountsDoNotWrapAround) {
  const Recipe recipe = parse("name = 'x'\n[[rule]]\nmin_experts = 4294967296\ntype = 'F16'\n");
  TensorFacts facts = facts_of("output.weight");
  facts.n_experts = 512;
  EXPECT_FALSE(recipe.rules[0].matches(facts));
}

TEST(Recipe, ShippedOnesParseUnderTheirName) {
  ASSERT_GE(shipped_recipes().size(), 2u);
  for (const ShippedRecipe& shipped : shipped_recipes()) {
    const Recipe recipe = load_recipe(shipped.name);
    EXPECT_EQ(recipe.name, shipped.name);
    EXPECT_FALSE(recipe.description.empty());
    EXPECT_TRUE(recipe.rules.back().matches(facts_of("anything.else"))) << "the last rule takes what is left";
  }
}

TEST(Recipe, ConverterPresetsInAnyCase) {
  EXPECT_EQ(load_recipe("AUTO").converter_type, std::nullopt);
  EXPECT_EQ(load_recipe("f16").converter_type, GgmlType::F16);
  EXPECT_EQ(load_recipe("bf16").name, "BF16");
  for (const char* name : {"auto", "F32", "F16", "BF16"}) {
    EXPECT_EQ(load_recipe(name).kind, Recipe::Kind::kConverter) << name;
    EXPECT_NE(std::ranges::count(recipe_names(), name), 0) << name;
  }
}

TEST(Recipe, FileTypesOfLlamaCppInAnyCase) {
  for (const char* name : {"Q4_K_M", "Q8_0", "IQ1_S", "MXFP4_MOE", "TQ2_0", "Q2_0"}) {
    EXPECT_EQ(load_recipe(name).kind, Recipe::Kind::kFileType) << name;
    EXPECT_NE(std::ranges::count(recipe_names(), name), 0) << name;
  }
  EXPECT_EQ(load_recipe("iq3_xs").name, "IQ3_XS");
  EXPECT_EQ(load_recipe("q4_k").name, "Q4_K_M");
  EXPECT_EQ(error_of([] { load_recipe("Q4_KM"); }).hint(), "did you mean Q4_K_M?");
}

TEST(Recipe, FromAFile) {
  const TempFolder folder;
  const auto path = folder.write("mine.toml", "name = 'mine'\n[[rule]]\ntype = 'Q6_K'\n");
  EXPECT_EQ(load_recipe(path.string()).name, "mine");
  folder.write("bad.toml", "name = 'mine'\n\n[[rule]]\ntype = 'Q6_Z'\n");
  expect_error(Exit::kUsage, (folder / "bad.toml").string() + ":3: unknown type \"Q6_Z\"",
               [&] { load_recipe((folder / "bad.toml").string()); });
  EXPECT_EQ(error_of([&] { load_recipe((folder / "bad.toml").string()); }).hint(), "did you mean Q6_K?");
}

struct BadRecipe {
  std::string toml, message;
};

TEST(Recipe, EachMistakeIsNamedWithItsLine) {
  const std::string head = "name = 'x'\n[[rule]]\n";
  const std::string a_name = "r.toml: a recipe needs a name, without '/' and control characters, of at most 100 characters";
  const BadRecipe cases[] = {
      {"name = 'x'\nnote = 'y'\n", "r.toml:2: unknown key \"note\""},
      {head + "type = 'F16'\nlayer = [0, 1]\n", "r.toml:4: unknown key \"layer\""},
      {"name = 5\n", "r.toml:1: name must be a string"},
      {"name = 'x'\ndescription = 5\n", "r.toml:2: description must be a string"},
      {"description = 'no name'\n", a_name},
      {"name = ''\n", a_name},
      {"name = 'a/b'\n", a_name},
      {"name = \"a\\nb\"\n", a_name},
      {"name = '" + std::string(101, 'x') + "'\n", a_name},
      {"name = 'x'\n", "r.toml: a recipe needs at least one [[rule]]"},
      {"name = 'x'\nrule = []\n", "r.toml: a recipe needs at least one [[rule]]"},
      {"name = 'x'\nrule = [1]\n", "r.toml:2: rule must be a table: [[rule]]"},
      {"name = 'x'\narchitectures = 5\n", "r.toml:2: architectures must be a string or a list of strings"},
      {head + "class = []\ntype = 'F16'\n", "r.toml:3: class must be a string or a list of strings"},
      {head + "class = ['experts', 1]\ntype = 'F16'\n", "r.toml:3: class must hold strings"},
      {head + "class = 'expert'\ntype = 'F16'\n", "r.toml:2: unknown class \"expert\""},
      {head + "tensor = 5\ntype = 'F16'\n", "r.toml:3: tensor must be a string"},
      {head + "layers = 3\ntype = 'F16'\n", "r.toml:3: layers must be [FIRST, LAST], negative numbers count from the end"},
      {head + "rank = [1, 2, 3]\ntype = 'F16'\n", "r.toml:3: rank must be [FIRST, LAST], negative numbers count from the end"},
      {head + "rank = [1, 2.5]\ntype = 'F16'\n", "r.toml:3: rank must be [FIRST, LAST], negative numbers count from the end"},
      {head + "min_experts = 1.5\ntype = 'F16'\n", "r.toml:3: min_experts must be a whole number"},
      {head + "min_gqa = '4'\ntype = 'F16'\n", "r.toml:3: min_gqa must be a number"},
      {head + "imatrix = 1\ntype = 'F16'\n", "r.toml:3: imatrix must be true or false"},
      {head + "tied = 'yes'\ntype = 'F16'\n", "r.toml:3: tied must be true or false"},
      {head + "class = 'experts'\n", "r.toml:2: a rule needs a type"},
      {head + "type = 'Q4_X'\n", "r.toml:2: unknown type \"Q4_X\""},
  };
  for (const BadRecipe& c : cases) expect_error(Exit::kUsage, c.message, [&] { parse(c.toml); });
}

TEST(Recipe, MistakesThatALibraryDescribes) {
  const Error syntax = error_of([] { parse("name = 'x'\n[[rule]\n"); });
  EXPECT_EQ(syntax.code(), Exit::kUsage);
  EXPECT_TRUE(syntax.message().starts_with("r.toml:2: ")) << syntax.message();
  const Error pattern = error_of([] { parse("name = 'x'\n[[rule]]\ntensor = 'a('\ntype = 'F16'\n"); });
  EXPECT_EQ(pattern.code(), Exit::kUsage);
  EXPECT_TRUE(pattern.message().starts_with("r.toml:2: bad pattern \"a(\": ")) << pattern.message();
}

TEST(Recipe, UnknownOnesNameTheNearest) {
  const Error error = error_of([] { load_recipe("nemotron3-3bits"); });
  EXPECT_EQ(error.code(), Exit::kUsage);
  EXPECT_EQ(error.message(), "recipe \"nemotron3-3bits\": neither a file nor a known recipe");
  EXPECT_EQ(error.hint(), "did you mean nemotron3-3bit?");
  EXPECT_EQ(error_of([] { load_recipe("zzzzzzzzzzzzzzz"); }).hint(), "'ggufmill recipe list' shows the recipes");
  EXPECT_EQ(error_of([] { load_recipe(std::string(5000, 'x')); }).code(), Exit::kUsage) << "a name that no file can have";
  const TempFolder folder;
  EXPECT_EQ(error_of([&] { load_recipe(folder.path().string()); }).code(), Exit::kUsage) << "a folder";
}

TEST(TypeOption, IsARuleOfOnePatternAndType) {
  const Rule rule = parse_type_option("ffn_(up|down)=iq4_nl");
  EXPECT_TRUE(rule.matches(facts_of("blk.0.ffn_up.weight")));
  EXPECT_FALSE(rule.matches(facts_of("blk.0.ffn_gate.weight")));
  EXPECT_EQ(rule.types, std::vector{GgmlType::IQ4_NL});
  EXPECT_EQ(rule.origin, "-t ffn_(up|down)=iq4_nl");
  EXPECT_EQ(parse_type_option("a=b=F16").pattern, "a=b") << "the last = counts";
}

TEST(TypeOption, Mistakes) {
  for (const std::string option : {"", "ffn_up", "=F16", "ffn_up="}) {
    expect_error(Exit::kUsage, "-t " + option + ": expected PATTERN=TYPE", [&] { parse_type_option(option); });
  }
  expect_error(Exit::kUsage, "-t ffn_up=F17: unknown type \"F17\"", [] { parse_type_option("ffn_up=F17"); });
  EXPECT_TRUE(error_of([] { parse_type_option("a[=F16"); }).message().starts_with("-t a[=F16: bad pattern \"a[\": "));
}

TEST(TypeFile, HoldsTheSameOneALineOrSeparatedByBlanks) {
  const TempFolder folder;
  const auto path =
      folder.write("types.txt", "# experts\nffn_up_exps=Q4_K  ffn_down_exps=Q6_K # and\r\n\n  # more\n\toutput=Q8_0");
  const std::vector<Rule> rules = load_type_file(path);
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_EQ(rules[0].pattern, "ffn_up_exps");
  EXPECT_EQ(rules[1].types, std::vector{GgmlType::Q6_K});
  EXPECT_EQ(rules[2].pattern, "output");
}

TEST(TypeFile, Mistakes) {
  const TempFolder folder;
  const auto path = folder.write("types.txt", "ffn_up=F16\n\nffn_down\n");
  expect_error(Exit::kUsage, path.string() + ":3: ffn_down: expected PATTERN=TYPE", [&] { load_type_file(path); });
  expect_error(Exit::kUsage, (folder / "no").string() + ": cannot be read", [&] { load_type_file(folder / "no"); });
  expect_error(Exit::kUsage, folder.path().string() + ": cannot be read", [&] { load_type_file(folder.path()); });
}

}  // namespace
}  // namespace ggufmill
