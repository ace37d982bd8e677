// general.* metadata from the model card, generation_config.json, config.json and the folder's name.
#include "convert/model_card.h"

#include <gtest/gtest.h>

#include "tests/convert/nemotron_checkpoint.h"

namespace ggufmill {
namespace {

using Texts = std::vector<std::string>;

std::string text(const Model& model, const std::string& key) {
  const std::string* value = model.metadata.find_string(key);
  return value == nullptr ? "(none)" : *value;
}

TEST(ModelCard, front_matter_becomes_metadata_in_the_converters_order) {
  NemotronCheckpoint checkpoint;
  checkpoint.files["README.md"] =
      "---\nlicense: other\nlicense_name: some-license\nmodel_creator: Somebody\nversion: 1.0\n"
      "base_model:\n- nvidia/Some-Base-30B-v2\n- https://huggingface.co/org/other\n- name: Third\n  author: Me\n"
      "datasets: org/data-set\nlanguage:\n- en\n- no\npipeline_tag: text-generation\ntags: [a, b]\n---\n# Title\n";
  checkpoint.files["generation_config.json"] = R"({"top_k": 5, "temperature": 1, "top_p": null, "min_p": 0.5})";
  const Model model = checkpoint.describe();
  Texts keys;
  for (const auto& [key, value] : model.metadata.entries()) {
    if (key == "nemotron_h_moe.block_count") break;
    keys.push_back(key);
  }
  EXPECT_EQ(keys, (Texts{"general.architecture",
                         "general.type",
                         "general.sampling.top_k",
                         "general.sampling.min_p",
                         "general.sampling.temp",
                         "general.name",
                         "general.author",
                         "general.version",
                         "general.size_label",
                         "general.license",
                         "general.license.name",
                         "general.base_model.count",
                         "general.base_model.0.name",
                         "general.base_model.0.version",
                         "general.base_model.0.organization",
                         "general.base_model.0.repo_url",
                         "general.base_model.1.name",
                         "general.base_model.1.organization",
                         "general.base_model.1.repo_url",
                         "general.base_model.2.name",
                         "general.base_model.2.author",
                         "general.dataset.count",
                         "general.dataset.0.name",
                         "general.dataset.0.organization",
                         "general.dataset.0.repo_url",
                         "general.tags",
                         "general.languages"}));
  EXPECT_EQ(std::get<int32_t>(*model.metadata.find("general.sampling.top_k")), 5);
  EXPECT_EQ(std::get<float>(*model.metadata.find("general.sampling.temp")), 1.0f);
  EXPECT_EQ(text(model, "general.name"), "Tiny Nemotron");
  EXPECT_EQ(text(model, "general.author"), "Somebody");
  EXPECT_EQ(text(model, "general.version"), "1.0");
  EXPECT_EQ(text(model, "general.base_model.0.name"), "Some Base 30B v2");
  EXPECT_EQ(text(model, "general.base_model.0.organization"), "Nvidia");
  EXPECT_EQ(text(model, "general.base_model.0.repo_url"), "https://huggingface.co/nvidia/Some-Base-30B-v2");
  EXPECT_EQ(text(model, "general.base_model.1.name"), "Other");
  EXPECT_EQ(text(model, "general.base_model.2.author"), "Me");
  EXPECT_EQ(std::get<Texts>(*model.metadata.find("general.tags")), (Texts{"a", "b", "text-generation"}));
  EXPECT_EQ(std::get<Texts>(*model.metadata.find("general.languages")), (Texts{"en", "no"}));
}

TEST(ModelCard, names_come_from_the_card_then_config_then_the_folder) {
  NemotronCheckpoint checkpoint;
  EXPECT_EQ(text(checkpoint.describe(), "general.name"), "Tiny Nemotron");
  checkpoint.config["_name_or_path"] = "/home/somebody/models/x-7B";  // a path, not a name
  EXPECT_EQ(text(checkpoint.describe(), "general.name"), "Tiny Nemotron");
  checkpoint.config["_name_or_path"] = "some-org/big-model-v2";
  const Model model = checkpoint.describe();
  EXPECT_EQ(text(model, "general.name"), "Big Model v2");
  EXPECT_EQ(text(model, "general.organization"), "Some Org");
  EXPECT_EQ(text(model, "general.version"), "v2");
  checkpoint.files["README.md"] = "---\nmodel_name: The Name\nbasename: base\n---\n";
  EXPECT_EQ(text(checkpoint.describe(), "general.name"), "The Name");
  EXPECT_EQ(text(checkpoint.describe(), "general.basename"), "base");
}

TEST(ModelCard, several_licenses_are_joined) {
  NemotronCheckpoint checkpoint;
  checkpoint.files["README.md"] = "---\r\nlicense:\r\n- mit\r\n- apache-2.0\r\n---\r\n";
  EXPECT_EQ(text(checkpoint.describe(), "general.license"), "mit,apache-2.0");
}

TEST(ModelCard, without_front_matter_nothing_is_read) {
  EXPECT_TRUE(parse_model_card("# Title\n---\nlicense: mit\n---\n", "README.md").fields.empty());
  EXPECT_TRUE(parse_model_card("", "README.md").fields.empty());
}

TEST(ModelCard, an_unreadable_card_or_generation_config_is_a_finding) {
  NemotronCheckpoint checkpoint;
  checkpoint.files["README.md"] = "---\nlicense: [mit\n---\n";
  checkpoint.files["generation_config.json"] = "{";
  const std::vector<Finding> findings = warnings_of(checkpoint.describe().findings);
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[0].file, "README.md");
  EXPECT_TRUE(says(findings[0].message, "front matter: yaml-cpp: error"));
  EXPECT_EQ(findings[1].file, "generation_config.json");
}

std::string card_error(const std::string& yaml) {
  try {
    parse_model_card("---\n" + yaml + "\n---\n", "README.md");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kBadInput);
    return error.message();
  }
  return "(no error)";
}

TEST(ModelCard, hostile_front_matter_is_refused) {
  for (const char* open : {"[", "{", "- "}) {
    std::string nested;
    for (int i = 0; i < 100000; ++i) nested += open;
    EXPECT_TRUE(says(card_error(nested), "README.md: front matter: ")) << open;
  }
  EXPECT_TRUE(
      says(card_error("a: " + std::string(2 << 20, 'x')), "README.md: front matter has 2097156 bytes, expected at most 1048576"));
  EXPECT_TRUE(says(card_error("- a"), "front matter is not a mapping"));
  EXPECT_TRUE(says(card_error("a: &x [1, 2]\nb: *x"), "front matter uses aliases"));
}

}  // namespace
}  // namespace ggufmill
