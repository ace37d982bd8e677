#include "convert/type_choice.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

const std::filesystem::path kData = GGUFMILL_TEST_DATA;

const Checkpoint& some_checkpoint() {  // BF16 matrices; only the "auto" preset looks at it
  static const Checkpoint checkpoint(kData / "mini-nemotron3");
  return checkpoint;
}

ModelTensor tensor(std::string name, std::vector<uint64_t> ne, bool always_f32 = false) {
  ModelTensor t;
  t.name = std::move(name);
  t.ne = std::move(ne);
  t.fixed_type = always_f32 ? std::optional(GgmlType::F32) : std::nullopt;
  return t;
}

// A mixture of experts whose routed experts have rows of `up_row` and `down_row` values.
Model moe_model(uint64_t up_row, uint64_t down_row) {
  Model model;
  model.architecture = "nemotron_h_moe";
  model.n_layers = 2;
  model.n_experts = 4;
  model.tensors = {tensor("token_embd.weight", {512, 100}),
                   tensor("blk.0.ffn_up_exps.weight", {up_row, 64, 4}),
                   tensor("blk.0.ffn_down_exps.weight", {down_row, 64, 4}),
                   tensor("blk.0.ffn_gate_inp.weight", {512, 4}, true),
                   tensor("blk.1.attn_q.weight", {512, 512}),
                   tensor("blk.1.attn_norm.weight", {512}, true),
                   tensor("output.weight", {512, 100})};
  return model;
}

struct Chosen {
  std::map<std::string, TypeChoice> by_name;
  std::vector<Finding> findings;
  std::string type(const std::string& name) const { return std::string(ggufmill::name(by_name.at(name).type)); }
};

Chosen choose(const Model& model, const Recipe& recipe, const std::vector<std::string>& type_options = {}) {
  std::vector<Rule> rules;
  for (const std::string& option : type_options) rules.push_back(parse_type_option(option));
  Chosen out;
  const std::vector<TypeChoice> choices = choose_types(some_checkpoint(), model, {}, recipe, {.rules = rules}, out.findings);
  EXPECT_EQ(choices.size(), model.tensors.size());
  for (size_t i = 0; i < choices.size(); ++i) out.by_name[model.tensors[i].name] = choices[i];
  return out;
}

Recipe recipe_of(const std::string& rules) { return parse_recipe("name = 'r'\n" + rules, "r.toml"); }
Recipe all_of(const std::string& type) { return recipe_of("[[rule]]\ntype = '" + type + "'\n"); }

TEST(TypeChoice, RecipeWithItsReasons) {
  const Chosen chosen = choose(moe_model(2048, 5120), load_recipe("nemotron3-3bit"), {"attn_q=Q6_K"});
  EXPECT_EQ(chosen.type("blk.0.ffn_up_exps.weight"), "IQ3_XXS");
  EXPECT_EQ(chosen.type("blk.0.ffn_down_exps.weight"), "IQ3_S");
  EXPECT_EQ(chosen.type("token_embd.weight"), "Q8_0");
  EXPECT_EQ(chosen.type("blk.0.ffn_gate_inp.weight"), "F32");
  EXPECT_EQ(chosen.type("blk.1.attn_q.weight"), "Q6_K");
  EXPECT_EQ(chosen.by_name.at("blk.1.attn_q.weight").reason, "-t attn_q=Q6_K");
  EXPECT_EQ(chosen.by_name.at("blk.0.ffn_down_exps.weight").reason, "rule 2");
  EXPECT_EQ(chosen.by_name.at("blk.0.ffn_gate_inp.weight").reason, "llama.cpp wants F32");
  EXPECT_EQ(chosen.by_name.at("blk.0.ffn_up_exps.weight").tensor_class, TensorClass::kExperts);
  EXPECT_TRUE(chosen.findings.empty());
}

// What a type becomes where its block does not divide the row of so many values.
TEST(TypeChoice, FallbacksOfRowsThatAreNotWholeBlocks) {
  struct Case {
    std::string wanted;
    uint64_t row;
    std::string real;
  };
  const Case cases[] = {{"IQ3_XXS", 96, "IQ4_NL"}, {"Q4_K", 96, "IQ4_NL"}, {"IQ4_XS", 2688, "IQ4_NL"}, {"Q5_K", 96, "Q5_0"},
                        {"Q6_K", 1856, "Q8_0"},    {"IQ3_S", 40, "BF16"},  {"Q8_0", 40, "BF16"},       {"Q4_K", 256, "Q4_K"},
                        {"Q8_0", 32, "Q8_0"},      {"F16", 33, "F16"}};
  for (const Case& c : cases) {
    Model model;
    model.tensors = {tensor("output.weight", {c.row, 10})};
    const Chosen chosen = choose(model, all_of(c.wanted));
    EXPECT_EQ(chosen.type("output.weight"), c.real) << c.wanted << " " << c.row;
    EXPECT_EQ(chosen.findings.empty(), c.wanted == c.real) << c.wanted << " " << c.row;
  }
}

TEST(TypeChoice, FallbackIsAFindingWithItsCost) {
  Model model = moe_model(2048, 96);
  model.tensors.push_back(tensor("blk.1.ffn_down_exps.weight", {96, 64, 4}));
  const Chosen chosen = choose(model, load_recipe("nemotron3-3bit"));
  EXPECT_EQ(chosen.by_name.at("blk.0.ffn_down_exps.weight").reason, "rule 2: rows of 96 are not whole blocks of IQ3_S");
  ASSERT_EQ(chosen.findings.size(), 2u);
  // Per tensor 96*64*4 = 24576 weights: 10560 bytes at 3.4375 bits, 13824 at 4.5.
  EXPECT_EQ(chosen.findings[1].message, "2 tensors with rows of 96: IQ3_S becomes IQ4_NL, +6528 bytes (30.9 %)");
  EXPECT_EQ(chosen.findings[1].severity, Severity::kWarning);
  // Bytes: Q8_0 2 x 54400 + 278528, F32 8192 + 2048, IQ3_XXS 200704, experts 27648 instead of 21120; 940544 weights.
  EXPECT_EQ(chosen.findings[0].message,
            "recipe nemotron3-3bit: nominal 5.27 bits per weight, real 5.32, because rows are not whole blocks");
}

TEST(TypeChoice, FirstTypeOfAListThatFitsIsNoFallback) {
  Model model;
  model.tensors = {tensor("output.weight", {96, 10})};
  const Chosen chosen = choose(model, recipe_of("[[rule]]\ntype = ['Q4_K', 'Q6_K', 'Q4_0']\n"));
  EXPECT_EQ(chosen.type("output.weight"), "Q4_0");
  EXPECT_TRUE(chosen.findings.empty());
}

TEST(TypeChoice, WhatLlamaCppWantsInF32IgnoresEveryRule) {
  const Chosen chosen = choose(moe_model(2048, 5120), all_of("Q8_0"), {"norm|gate_inp=Q4_0"});
  EXPECT_EQ(chosen.type("blk.0.ffn_gate_inp.weight"), "F32");
  EXPECT_EQ(chosen.type("blk.1.attn_norm.weight"), "F32");
  ASSERT_EQ(chosen.findings.size(), 1u);
  EXPECT_EQ(chosen.findings[0].message, "-t norm|gate_inp=Q4_0: 2 of its tensors stay F32, as llama.cpp wants them");
  EXPECT_TRUE(choose(moe_model(2048, 5120), all_of("Q8_0"), {"attn_norm=F32"}).findings.empty()) << "F32 is what it gets";
}

TEST(TypeChoice, OneDimensionIsF32EvenWhereNobodyAsksForIt) {
  Model model;
  model.tensors = {tensor("some.weight", {64})};
  EXPECT_EQ(choose(model, all_of("Q8_0")).type("some.weight"), "F32");
  EXPECT_EQ(choose(model, load_recipe("F16")).type("some.weight"), "F32");
}

TEST(TypeChoice, TypeOptionThatMatchesNothingIsAFinding) {
  const Chosen chosen = choose(moe_model(2048, 5120), all_of("Q8_0"), {"no_such=Q4_0", "attn_q=Q4_0"});
  ASSERT_EQ(chosen.findings.size(), 1u);
  EXPECT_EQ(chosen.findings[0].message, "-t no_such=Q4_0: matches no tensor");
}

TEST(TypeChoice, FirstTypeOptionWinsAndBeatsConverterPresets) {
  const Chosen chosen = choose(moe_model(2048, 5120), load_recipe("F16"), {"attn_q=Q4_0", "attn=Q6_K"});
  EXPECT_EQ(chosen.type("blk.1.attn_q.weight"), "Q4_0");
  EXPECT_EQ(chosen.type("output.weight"), "F16");
}

TEST(TypeChoice, TiedEmbeddingGetsTheBetterOfItsTwoTypes) {
  Model model;
  model.tied_output = true;
  model.tensors = {tensor("token_embd.weight", {512, 10})};
  const std::string small_first = "[[rule]]\nclass = 'embeddings'\ntype = 'Q4_0'\n[[rule]]\nclass = 'output'\ntype = 'Q6_K'\n";
  const Chosen as_output = choose(model, recipe_of(small_first));
  EXPECT_EQ(as_output.type("token_embd.weight"), "Q6_K");
  EXPECT_EQ(as_output.by_name.at("token_embd.weight").reason, "rule 2, as tied output");
  EXPECT_EQ(as_output.by_name.at("token_embd.weight").tensor_class, TensorClass::kEmbeddings);
  const std::string large_first = "[[rule]]\nclass = 'embeddings'\ntype = 'F16'\n[[rule]]\nclass = 'output'\ntype = 'Q6_K'\n";
  EXPECT_EQ(choose(model, recipe_of(large_first)).type("token_embd.weight"), "F16");
  model.tied_output = false;
  EXPECT_EQ(choose(model, recipe_of(small_first)).type("token_embd.weight"), "Q4_0");
}

TEST(TypeChoice, TiedEmbeddingCountsOneFallback) {
  Model model;
  model.tied_output = true;
  model.tensors = {tensor("token_embd.weight", {96, 10})};
  const Chosen chosen = choose(model, recipe_of("[[rule]]\nclass = 'embeddings'\ntype = 'Q4_K'\n[[rule]]\ntype = 'Q6_K'\n"));
  EXPECT_EQ(chosen.type("token_embd.weight"), "Q8_0");
  ASSERT_EQ(chosen.findings.size(), 2u) << "the type that was not taken costs nothing";
  EXPECT_TRUE(chosen.findings[1].message.starts_with("1 tensor with rows of 96: Q6_K becomes Q8_0"))
      << chosen.findings[1].message;
}

TEST(TypeChoice, RankAndLayerDoNotDependOnTheOrderOfTensors) {
  Model model;
  model.n_layers = 11;
  for (const int block : {10, 2, 0}) model.tensors.push_back(tensor("blk." + std::to_string(block) + ".attn_q.weight", {512, 4}));
  const Recipe recipe =
      recipe_of("[[rule]]\nrank = [0, 0]\ntype = 'F16'\n[[rule]]\nlayers = [-1, -1]\ntype = 'Q6_K'\n[[rule]]\ntype = 'Q4_0'\n");
  for (int turn = 0; turn < 3; ++turn) {
    const Chosen chosen = choose(model, recipe);
    EXPECT_EQ(chosen.type("blk.0.attn_q.weight"), "F16");
    EXPECT_EQ(chosen.type("blk.2.attn_q.weight"), "Q4_0");
    EXPECT_EQ(chosen.type("blk.10.attn_q.weight"), "Q6_K");
    std::ranges::rotate(model.tensors, model.tensors.begin() + 1);
  }
}

TEST(TypeChoice, ConverterPresets) {
  Model model;
  model.tensors = {tensor("output.weight", {64, 10}), tensor("odd.weight", {40, 10})};
  EXPECT_EQ(choose(model, load_recipe("auto")).type("output.weight"), "BF16") << "the source's own type";
  EXPECT_EQ(choose(model, load_recipe("F32")).type("odd.weight"), "F32");
}

TEST(TypeChoice, FileTypesOfLlamaCpp) {
  Model model;
  model.tensors = {tensor("output.weight", {512, 10}),
                   tensor("blk.0.attn_k.weight", {512, 10}),
                   tensor("blk.0.attn_q.weight", {40, 10}),
                   tensor("blk.0.ffn_gate_inp.weight", {512, 4}),
                   tensor("blk.0.indexer.proj.weight", {512, 4}),
                   tensor("blk.0.attn_norm.weight", {512})};
  model.tensors[4].fixed_type = GgmlType::F32;  // by llama.cpp's converter: its quantizer does not know
  const Chosen chosen = choose(model, load_recipe("iq2_xs"));
  EXPECT_EQ(chosen.type("output.weight"), "Q5_K");
  EXPECT_EQ(chosen.by_name.at("output.weight").reason, "IQ2_XS: every token's logits pass it");
  EXPECT_EQ(chosen.type("blk.0.attn_k.weight"), "IQ2_XS");
  EXPECT_EQ(chosen.by_name.at("blk.0.attn_k.weight").reason, "IQ2_XS: the file type's own type");
  EXPECT_EQ(chosen.type("blk.0.attn_q.weight"), "F16");
  EXPECT_EQ(chosen.by_name.at("blk.0.attn_q.weight").reason,
            "IQ2_XS: the file type's own type; rows of 40 are not whole blocks of IQ2_XS");
  EXPECT_EQ(chosen.type("blk.0.indexer.proj.weight"), "IQ2_XS");
  EXPECT_EQ(chosen.type("blk.0.attn_norm.weight"), "F32");
  ASSERT_EQ(chosen.findings.size(), 3u);
  EXPECT_TRUE(chosen.findings[1].message.starts_with("1 tensor with rows of 40: IQ2_XS becomes F16"))
      << chosen.findings[1].message;
  EXPECT_EQ(
      chosen.findings[2].message,
      "recipe IQ2_XS: 2 tensors have types that llama-quantize refuses to write without an importance matrix: written all the "
      "same, --imatrix FILE lowers the error");
  EXPECT_EQ(choose(model, load_recipe("IQ2_XS"), {"attn=Q4_0"}).type("blk.0.attn_k.weight"), "Q4_0");
}

TEST(TypeChoice, RouterThatTheConverterDoesNotKnowKeepsItsType) {
  Model model;
  model.tensors = {tensor("output.weight", {512, 10}), tensor("blk.3.ffn_gate_inp.weight", {512, 4})};
  model.tensors[1].fixed_type.reset();  // in an MTP block
  const Chosen chosen = choose(model, load_recipe("Q4_K_M"));
  EXPECT_EQ(chosen.type("blk.3.ffn_gate_inp.weight"), "BF16");
  EXPECT_EQ(chosen.by_name.at("blk.3.ffn_gate_inp.weight").reason, "Q4_K_M: llama-quantize keeps the converter's type");
}

TEST(TypeChoice, Mistakes) {
  expect_error(Exit::kUsage, "recipe r: no rule matches tensor \"token_embd.weight\" of class embeddings",
               [] { choose(moe_model(2048, 5120), recipe_of("[[rule]]\nclass = 'experts'\ntype = 'Q8_0'\n")); });
  expect_error(Exit::kUsage, "-t attn_q=I32: type I32 cannot be written",
               [] { choose(moe_model(2048, 5120), all_of("Q8_0"), {"attn_q=I32"}); });
  expect_error(Exit::kUsage, "r.toml:2: type Q8_1 cannot be written", [] { choose(moe_model(2048, 5120), all_of("Q8_1")); });
}

TEST(DefaultRecipe, IsTheFirstWhoseExpertTypesDivideTheRows) {
  EXPECT_EQ(default_recipe(moe_model(2048, 5120)).name, "nemotron3-3bit") << "Ultra";
  EXPECT_EQ(default_recipe(moe_model(1024, 2688)).name, "nemotron3-4bit") << "Super";
  EXPECT_EQ(default_recipe(moe_model(2688, 1856)).name, "nemotron3-4bit") << "Nano";
  Model dense;
  dense.architecture = "nemotron_h";
  dense.tensors = {tensor("blk.0.ffn_up.weight", {4096, 10})};
  EXPECT_EQ(default_recipe(dense).name, "nemotron3-4bit");
}

TEST(DefaultRecipe, Q4KMForFamiliesWithoutOneOfTheirOwn) {
  Model model = moe_model(2048, 5120);
  model.architecture = "other";
  EXPECT_EQ(default_recipe(model).name, "Q4_K_M");
}

TEST(FileType, OfThePresetOrOfMostBytes) {
  const Model model = moe_model(2048, 5120);
  const auto number = [&](const Recipe& recipe) {
    std::vector<Finding> findings;
    return file_type_of(some_checkpoint(), model, recipe, choose_types(some_checkpoint(), model, {}, recipe, {}, findings));
  };
  EXPECT_EQ(number(load_recipe("auto")), 32u);
  EXPECT_EQ(number(load_recipe("F32")), 0u);
  EXPECT_EQ(number(load_recipe("F16")), 1u);
  EXPECT_EQ(number(load_recipe("Q8_0")), 7u);
  EXPECT_EQ(number(load_recipe("Q3_K_L")), 13u);
  EXPECT_EQ(number(load_recipe("MXFP4_MOE")), 38u);
  EXPECT_EQ(number(load_recipe("nemotron3-3bit")), 26u) << "IQ3_S: the down projections hold most bytes here";
  EXPECT_EQ(number(all_of("Q4_K")), 15u);
  EXPECT_EQ(number(all_of("Q2_0")), 41u);
}

// ---- quantized sources

// Source 0 is NVFP4, 1 FP8 with one scale, 2 MXFP4, 3 plain, 4 FP8 that llama.cpp's converter makes Q8_0, 5 NVFP4.
std::vector<Weight> some_weights() {
  const auto of = [](std::string_view form, std::string_view scales_suffix) {
    Weight w;
    w.form = &*std::ranges::find_if(weight_forms(),
                                    [&](const WeightForm& f) { return f.name == form && f.scales_suffix == scales_suffix; });
    w.code_kind = w.form->codes_dtypes[0].codes;
    return w;
  };
  std::vector<Weight> weights = {of("NVFP4", ".weight_scale"), of("FP8", ".weight_scale"), of("MXFP4", ".weight_scale"), Weight(),
                                 of("FP8", ".scale"), of("NVFP4", ".weight_scale")};
  weights[0].tensor_scales = weights[5].tensor_scales = {0.5f};
  weights[1].tensor_scales = {0.5f};
  return weights;
}

ModelTensor made_of(ModelTensor t, uint32_t source, uint64_t pieces = 1) {
  for (uint64_t i = 0; i < pieces; ++i) t.pieces.push_back({source, i * t.rows() / pieces, t.rows() / pieces});
  return t;
}

Chosen choose_of(std::vector<ModelTensor> tensors, const Recipe& recipe, TypeOptions options) {
  Model model;
  model.tensors = std::move(tensors);
  Chosen out;
  const std::vector<Weight> weights = some_weights();
  const auto choices = choose_types(some_checkpoint(), model, weights, recipe, options, out.findings);
  for (size_t i = 0; i < choices.size(); ++i) out.by_name[model.tensors[i].name] = choices[i];
  return out;
}

TEST(TypeChoiceOfSources, AutoKeepsWhatLlamaCppsConverterKeeps) {
  const Chosen chosen =
      choose_of({made_of(tensor("blk.0.ffn_up_exps.weight", {128, 64, 2}), 0, 2),
                 made_of(tensor("blk.0.ffn_down.weight", {64, 64}), 1), made_of(tensor("blk.0.ffn_up.weight", {64, 64}), 2),
                 made_of(tensor("blk.0.attn_q.weight", {64, 64}), 3), made_of(tensor("blk.0.attn_k.weight", {64, 64}), 4)},
                load_recipe("auto"), {});
  EXPECT_EQ(chosen.type("blk.0.ffn_up_exps.weight"), "NVFP4");
  EXPECT_TRUE(chosen.by_name.at("blk.0.ffn_up_exps.weight").repack);
  EXPECT_EQ(chosen.by_name.at("blk.0.ffn_up_exps.weight").reason, "source is NVFP4, kept");
  EXPECT_EQ(chosen.type("blk.0.ffn_up.weight"), "MXFP4");
  EXPECT_EQ(chosen.type("blk.0.ffn_down.weight"), "BF16");
  EXPECT_EQ(chosen.type("blk.0.attn_q.weight"), "BF16");
  EXPECT_EQ(chosen.type("blk.0.attn_k.weight"), "Q8_0");
  EXPECT_EQ(chosen.by_name.at("blk.0.attn_k.weight").reason, "source is FP8");
  EXPECT_TRUE(chosen.findings.empty());
}

TEST(TypeChoiceOfSources, RecipesKeepWhatTheyAreTold) {
  const std::vector<ModelTensor> tensors = {made_of(tensor("blk.0.ffn_up.weight", {64, 64}), 0),
                                            made_of(tensor("blk.0.ffn_down.weight", {64, 64}), 2),
                                            made_of(tensor("blk.0.ffn_gate.weight", {64, 64}), 1)};
  EXPECT_EQ(choose_of(tensors, all_of("Q4_0"), {}).type("blk.0.ffn_up.weight"), "Q4_0");
  const Chosen nvfp4 = choose_of(tensors, all_of("Q4_0"), {.keep = {GgmlType::NVFP4}});
  EXPECT_EQ(nvfp4.type("blk.0.ffn_up.weight"), "NVFP4");
  EXPECT_EQ(nvfp4.type("blk.0.ffn_down.weight"), "Q4_0");
  const Chosen both = choose_of(tensors, all_of("Q4_0"), {.keep = {GgmlType::NVFP4, GgmlType::MXFP4}, .fp8_as_q8 = true});
  EXPECT_EQ(both.type("blk.0.ffn_up.weight"), "NVFP4");
  EXPECT_EQ(both.type("blk.0.ffn_down.weight"), "MXFP4");
  EXPECT_EQ(both.type("blk.0.ffn_gate.weight"), "Q8_0");
  const std::vector<Rule> rules = {parse_type_option("ffn_up=Q5_0")};
  EXPECT_EQ(choose_of(tensors, all_of("Q4_0"), {.rules = rules, .keep = {GgmlType::NVFP4}}).type("blk.0.ffn_up.weight"), "Q5_0");
}

TEST(TypeChoiceOfSources, PartsOfOneSourceShareItsScale) {
  const Chosen chosen = choose_of({made_of(tensor("blk.0.attn_qkv.weight", {64, 64}), 0, 2)}, all_of("Q4_0"), {.keep = {GgmlType::NVFP4}});
  EXPECT_TRUE(chosen.by_name.at("blk.0.attn_qkv.weight").repack);
}

TEST(TypeChoiceOfSources, TablesOfIdsStayWhatTheyAre) {
  ModelTensor ids = made_of(tensor("blk.0.ffn_gate_tid2eid.weight", {2, 64}), 3);
  ids.fixed_type = GgmlType::I32;
  const std::vector<Rule> rules = {parse_type_option("tid2eid=Q8_0")};
  const Chosen chosen = choose_of({ids}, all_of("Q4_0"), {.rules = rules});
  EXPECT_EQ(chosen.type(ids.name), "I32");
  ASSERT_EQ(chosen.findings.size(), 1u);
  EXPECT_EQ(chosen.findings[0].message, "-t tid2eid=Q8_0: 1 of its tensors stay I32, as llama.cpp wants them");
}

TEST(TypeChoiceOfSources, BlocksThatCannotBeKeptAreAFinding) {
  ModelTensor op = made_of(tensor("blk.0.ffn_up.weight", {64, 64}), 0);
  op.op = ValueOp::kNegExp;
  ModelTensor joined = made_of(tensor("blk.0.attn_qkv.weight", {64, 64}), 0, 2);
  joined.pieces[1].source = 5;
  const std::pair<ModelTensor, std::string> cases[] = {
      {op, "its values are transformed"},
      {made_of(tensor("blk.0.ffn_up.weight", {96, 64}), 0), "rows of 96 are not whole blocks of 64"},
      {made_of(tensor("blk.0.ffn_latent_up.weight", {64, 64}), 0), "llama.cpp reads no scale for this tensor"},
      {joined, "its matrices are joined from parts that have scales of their own"}};
  for (const auto& [tensor, why] : cases) {
    const Chosen chosen = choose_of({tensor}, all_of("Q4_0"), {.keep = {GgmlType::NVFP4}});
    EXPECT_EQ(chosen.type(tensor.name), "Q4_0");
    EXPECT_FALSE(chosen.by_name.at(tensor.name).repack);
    ASSERT_EQ(chosen.findings.size(), 1u) << why;
    EXPECT_EQ(chosen.findings[0].message, "NVFP4 blocks cannot be kept: " + why + "; r decides");
  }
}

TEST(TypeChoiceOfSources, BlocksWithoutAScaleOfTheirOwnNeedNone) {  // MXFP4
  const Chosen chosen = choose_of({made_of(tensor("blk.0.ffn_latent_up.weight", {64, 64}), 2)}, load_recipe("auto"), {});
  EXPECT_EQ(chosen.type("blk.0.ffn_latent_up.weight"), "MXFP4");
}

TEST(TypeChoiceOfSources, TensorOfTwoFormsIsLeftToTheRecipe) {
  ModelTensor mixed = tensor("blk.0.ffn_up_exps.weight", {64, 64, 2});
  mixed.pieces = {{0, 0, 64}, {2, 64, 64}};
  EXPECT_EQ(choose_of({mixed}, load_recipe("auto"), {}).type(mixed.name), "BF16");
}

TEST(TypeChoiceOfSources, OptionsThatMatchNothingAreFindings) {
  Chosen out;
  Model model;
  model.tensors = {tensor("output.weight", {64, 64})};
  choose_types(some_checkpoint(), model, {}, all_of("Q4_0"), {.keep = {GgmlType::NVFP4}, .fp8_as_q8 = true}, out.findings);
  ASSERT_EQ(out.findings.size(), 2u);
  EXPECT_EQ(out.findings[0].message, "NVFP4 is to be kept, but no tensor of the source is");
  EXPECT_EQ(out.findings[1].message, "--fp8-as-q8: no tensor of the source is made of 8-bit floats");
}

}  // namespace
}  // namespace ggufmill
