#include "convert/plan_digest.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/convert/small_plan.h"

namespace ggufmill {
namespace {

// Names of the parts in which two plans differ.
std::vector<std::string> differing(const Plan& a, const Plan& b) {
  std::vector<std::string> names;
  EXPECT_EQ(a.digest_parts.size(), b.digest_parts.size());
  for (size_t i = 0; i < a.digest_parts.size(); ++i) {
    if (a.digest_parts[i] != b.digest_parts[i]) names.push_back(a.digest_parts[i].what);
  }
  EXPECT_EQ(a.digest == b.digest, names.empty());
  return names;
}

TEST(PlanDigest, EveryDecisionChangesItsPart) {
  struct Case {
    std::string part;
    std::function<void(Plan&)> change;
  };
  const ImatrixEntry entry;
  const Case cases[] = {
      {"the source files", [](Plan& p) { p.shards[0].name = "c.safetensors"; }},
      {"the source files", [](Plan& p) { p.shards[1].id.bytes += 1; }},
      {"the source files", [](Plan& p) { p.shards[1].header_hash.bytes[31] = std::byte{1}; }},
      {"the source files", [](Plan& p) { p.shards.pop_back(); }},
      {"the importance matrices", [](Plan& p) { p.imatrix_hash = Sha256{}; }},
      {"tensor types", [](Plan& p) { p.tensors[0].type = GgmlType::Q4_0; }},
      {"tensor types", [](Plan& p) { p.tensors[0].name = "other.weight"; }},
      {"tensor types", [](Plan& p) { p.tensors[2].row_map.group_stride = 16; }},
      {"tensor types", [](Plan& p) { p.tensors[3].op = ValueOp::kNegExp; }},
      {"tensor types", [&](Plan& p) { p.tensors[1].importance = &entry; }},
      {"tensor types", [](Plan& p) { p.tensors[1].scale = 2; }},
      {"effort and objective", [](Plan& p) { p.tensors[1].effort = Effort::kMax; }},
      {"effort and objective", [](Plan& p) { p.tensors[1].objective = Objective::kImportanceTimesMagnitude; }},
      {"tensor types", [](Plan& p) { std::swap(p.tensors[1].pieces[0].source, p.tensors[1].pieces[1].source); }},
      {"tensor types", [](Plan& p) { std::swap(p.tensors[0], p.tensors[1]); }},
      {"output files and shard sizes", [](Plan& p) { p.files[0].name = "other.gguf"; }},
      {"output files and shard sizes", [](Plan& p) { p.files[1].bytes += 32; }},
      {"output files and shard sizes",
       [](Plan& p) { std::swap(p.files[0].n_tensors, p.files[1].n_tensors), p.files[0].n_tensors += 1; }},
      {"output files and shard sizes", [](Plan& p) { p.files[0].header.back() = std::byte{1}; }},
      {"metadata", [](Plan& p) { p.metadata_hash.bytes[31] = std::byte{1}; }},
  };
  const SmallPlan base;
  for (size_t i = 0; i < std::size(cases); ++i) {
    Plan changed = base.plan;
    cases[i].change(changed);
    add_digest(changed);
    EXPECT_EQ(differing(base.plan, changed), std::vector{cases[i].part}) << "case " << i;
  }
}

TEST(PlanDigest, WhatDoesNotChangeAByteDoesNotChangeIt) {
  const SmallPlan base;
  Plan changed = base.plan;
  changed.tensors[0].reason = "another rule";
  changed.recipe_name = "renamed";
  changed.findings.push_back({Severity::kInfo, "", "", "something"});
  changed.shards[0].id.inode += 1;  // the journal's matter: rows from it are done again
  changed.shards[0].path = "/elsewhere";
  add_digest(changed);
  EXPECT_TRUE(differing(base.plan, changed).empty());
}

TEST(PlanDigest, CommentInARecipeChangesNothing) {
  const Checkpoint checkpoint(std::filesystem::path(GGUFMILL_TEST_DATA) / "mini-nemotron3");
  const Model model = describe_model(checkpoint, {});
  const TempFolder folder;
  const auto plan_of = [&](const std::string& recipe) {
    PlanOptions options;
    options.recipe = folder.write("r.toml", recipe).string();
    return make_plan(checkpoint, model, options);
  };
  const Plan plain = plan_of("name = 'r'\n[[rule]]\ntype = 'Q8_0'\n");
  EXPECT_TRUE(differing(plain, plan_of("# why\nname = 'r'\n\n[[rule]] # all\ntype = \"q8_0\"\n")).empty());
  EXPECT_TRUE(
      differing(plain, plan_of("name = 'r'\n[[rule]]\nclass = 'experts'\ntype = 'Q8_0'\n[[rule]]\ntype = 'Q8_0'\n")).empty())
      << "other rules, the same decisions";
  const std::vector<std::string> other = differing(plain, plan_of("name = 'r'\n[[rule]]\ntype = 'Q6_K'\n"));
  EXPECT_EQ(other, (std::vector<std::string>{"tensor types", "metadata", "output files and shard sizes"}));
}

}  // namespace
}  // namespace ggufmill
