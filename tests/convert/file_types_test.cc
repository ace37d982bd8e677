// Presets that are llama.cpp's file types, against what llama-quantize b10573 made of the goldens: the type of every tensor.
// tests/cli/test_file_types.py has the file types and models that the goldens lack, against llama.cpp itself.
#include "convert/recipes/file_types.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace ggufmill {
namespace {

using nlohmann::json;

json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return json::parse(in);
}

// Metadata as far as types depend on it: strings and whole numbers.
Metadata metadata_of(const json& golden) {
  Metadata metadata;
  for (const json& entry : golden["kv"]) {
    if (!entry.contains("value")) continue;
    const json& value = entry["value"];
    const std::string key = entry["key"];
    if (value.is_string()) metadata.set(key, value.get<std::string>());
    if (value.is_number_unsigned()) metadata.set(key, value.get<uint32_t>());
    if (value.is_array() && !value.empty() && value[0].is_number_integer()) metadata.set(key, value.get<std::vector<int32_t>>());
  }
  return metadata;
}

Model model_of(const json& golden) {
  Model model;
  model.metadata = metadata_of(golden);
  model.architecture = *model.metadata.find_string("general.architecture");
  for (const json& t : golden["tensors"]) {
    model.tensors.emplace_back();
    model.tensors.back().name = t["name"];
    model.tensors.back().ne = t["ne"].get<std::vector<uint64_t>>();
  }
  return model;
}

TEST(FileTypes, GoldensOfLlamaQuantize) {
  size_t compared = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(std::filesystem::path(GGUFMILL_TEST_DATA) / "goldens")) {
    if (!file.path().filename().string().starts_with("quant.")) continue;
    SCOPED_TRACE(file.path().string());
    const json quantized = read_json(file.path()), golden = read_json(file.path().parent_path() / "golden.json");
    const FileType* file_type = find_file_type(quantized["quant"].get<std::string>());
    ASSERT_NE(file_type, nullptr);
    const Model model = model_of(golden);
    const Metadata changed = metadata_of(quantized);  // only what differs from the golden's
    const auto number = changed.find_uint("general.file_type");
    EXPECT_EQ(file_type->number, number ? number : model.metadata.find_uint("general.file_type"));
    const std::vector<FileTypeChoice> choices = choose_by_file_type(*file_type, model, false);
    std::map<std::string, std::string> types;
    for (size_t i = 0; i < choices.size(); ++i) {
      const std::string as_converted = golden["tensors"][i]["type"];
      types[model.tensors[i].name] = choices[i].wanted ? std::string(name(choices[i].type)) : as_converted;
    }
    ASSERT_EQ(types.size(), quantized["tensors"].size());
    for (const json& t : quantized["tensors"]) {
      EXPECT_EQ(types[t[0]], t[1]) << t[0];
      ++compared;
    }
  }
  EXPECT_GT(compared, 3000u);
}

TEST(FileTypes, NamesNumbersAndAliases) {
  std::set<uint32_t> numbers;
  for (const FileType& file_type : file_types()) {
    EXPECT_EQ(find_file_type(file_type.name), &file_type);
    EXPECT_TRUE(numbers.insert(file_type.number).second) << file_type.name;
  }
  EXPECT_EQ(find_file_type("q4_k")->name, "Q4_K_M") << "as llama-quantize reads it";
  EXPECT_EQ(find_file_type("Q3_K")->name, "Q3_K_M");
  EXPECT_EQ(find_file_type("Q5_K")->name, "Q5_K_M");
  EXPECT_EQ(find_file_type("NVFP4"), nullptr) << "a type that llama-quantize does not offer";
  EXPECT_EQ(find_file_type(""), nullptr);
}

TEST(FileTypes, RulesNameOnlyFileTypesAndSayWhy) {
  for (const FileTypeRule& rule : file_type_rules()) {
    EXPECT_FALSE(rule.reason.empty());
    size_t named = 0;
    for (const FileType& file_type : file_types()) named += rule.applies_to(file_type.name);
    const size_t words = static_cast<size_t>(std::ranges::count(rule.file_types, ' ')) + 1;
    EXPECT_EQ(named, rule.file_types.empty() ? file_types().size() : words) << rule.file_types;
  }
}

TEST(FileTypes, RulesThatNoTensorReachesAreLeftOut) {
  EXPECT_EQ(rules_of_file_type("MXFP4_MOE").size(), 2u) << "the second takes all that is left";
  const std::vector<FileTypeRule> rules = rules_of_file_type("IQ2_M");
  const auto types_of = [&](TensorRole role) {
    std::vector<GgmlType> types;
    for (const FileTypeRule& rule : rules) {
      if (rule.roles.has(role)) types.push_back(rule.type);
    }
    return types;
  };
  EXPECT_EQ(types_of(TensorRole::kValues), (std::vector{GgmlType::Q4_K, GgmlType::IQ3_S}));
  EXPECT_EQ(types_of(TensorRole::kKeys), std::vector{GgmlType::Q4_K}) << "of two rules for 8 experts the first";
  EXPECT_EQ(types_of(TensorRole::kOther), std::vector<GgmlType>{});
}

// A model of `blocks` blocks with one ffn_down each, its tensors in `order`.
Model dense_model(uint32_t blocks) {
  Model model;
  model.architecture = "some";
  model.metadata.set("some.block_count", blocks);
  for (uint32_t b = 0; b < blocks; ++b) {
    model.tensors.emplace_back();
    model.tensors.back().name = "blk." + std::to_string(b) + ".ffn_down.weight";
    model.tensors.back().ne = {256, 4};
  }
  return model;
}

TEST(FileTypes, NothingDependsOnTheOrderOfTensors) {
  Model model = dense_model(24);
  const auto by_name = [&] {
    std::map<std::string, GgmlType> types;
    const auto choices = choose_by_file_type(*find_file_type("Q4_K_M"), model, false);
    for (size_t i = 0; i < choices.size(); ++i) types[model.tensors[i].name] = choices[i].type;
    return types;
  };
  const auto in_order = by_name();
  EXPECT_EQ(std::ranges::count(in_order, GgmlType::Q6_K, [](const auto& entry) { return entry.second; }), 12);
  std::ranges::rotate(model.tensors, model.tensors.begin() + 7);
  std::ranges::reverse(model.tensors.begin(), model.tensors.begin() + 5);
  EXPECT_EQ(by_name(), in_order);
}

TEST(FileTypes, WhatLlamaQuantizeRefusesWithoutImportance) {
  const Model model = dense_model(8);
  const auto refused = [&](std::string_view file_type) {
    return std::ranges::count_if(choose_by_file_type(*find_file_type(file_type), model, false),
                                 [](const FileTypeChoice& c) { return c.wants_imatrix; });
  };
  EXPECT_EQ(refused("IQ2_XS"), 7) << "the first is Q2_K";
  EXPECT_EQ(refused("Q2_K_S"), 7) << "the first is Q4_K";
  EXPECT_EQ(refused("Q2_K"), 0);
  EXPECT_EQ(refused("IQ3_XXS"), 0) << "all are k-quants without a matrix";
  EXPECT_EQ(refused("IQ4_XS"), 0);
}

}  // namespace
}  // namespace ggufmill
