// Model names taken apart, as llama.cpp's converter does (expected values: gguf-py's get_model_id_components, b10573).
#include "convert/naming.h"

#include <gtest/gtest.h>

namespace ggufmill {
namespace {

constexpr uint64_t kB = 1'000'000'000;
using Text = std::optional<std::string>;

struct NameCase {
  std::string id;
  uint64_t parameters;
  Text organization, basename, finetune, version, size_label;
};

TEST(Naming, ids_are_taken_apart) {
  const std::vector<NameCase> cases = {
      {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31 * kB, {}, "NVIDIA-Nemotron-3-Nano", {}, {}, "30B-A3B"},
      {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 7'000'000, {}, "NVIDIA-Nemotron-3-Nano", "30b", {}, "A3B"},
      {"NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", 0, {}, "NVIDIA-Nemotron-3-Ultra", {}, {}, "550B-A55B"},
      {"NVIDIA-Nemotron-Nano-9B-v2", 9 * kB, {}, "NVIDIA-Nemotron-Nano", {}, "v2", "9B"},
      {"nvidia/Some-Base-Model-30B", 30 * kB, "nvidia", "Some-Base-Model", {}, {}, "30B"},
      {"bloom-7b1-petals", 7 * kB, {}, "bloom", "petals", {}, "7.1B"},
      {"Mixtral-8x7B-Instruct-v0.1", 47 * kB, {}, "Mixtral", "Instruct", "v0.1", "8x7B"},
      {"Phi-3-mini-4k-instruct", 4 * kB, {}, "Phi-3", "4k-instruct", {}, "mini"},
      {"mini-nemotron3", 13'000'000, {}, {}, {}, {}, {}},
      {"Some Model Name", 1, {}, {}, {}, {}, {}},
      {"./checkpoint-100", 1, {}, "checkpoint", {}, "100", {}},
      {"foo-A3B-A3B", 1, {}, "foo", {}, {}, "A3B"},
  };
  for (const NameCase& c : cases) {
    const NameParts parts = parse_model_id(c.id, c.parameters);
    EXPECT_EQ(parts.organization, c.organization) << c.id;
    EXPECT_EQ(parts.basename, c.basename) << c.id;
    EXPECT_EQ(parts.finetune, c.finetune) << c.id;
    EXPECT_EQ(parts.version, c.version) << c.id;
    EXPECT_EQ(parts.size_label, c.size_label) << c.id;
  }
}

TEST(Naming, titles) {
  EXPECT_EQ(id_to_title("NVIDIA-Nemotron-3-Nano"), "NVIDIA Nemotron 3 Nano");
  EXPECT_EQ(id_to_title("mini-nemotron3"), "Mini Nemotron3");
  EXPECT_EQ(id_to_title("llama-2-7b-chat-v1.2-abc3def"), "Llama 2 7b Chat v1.2 Abc3Def");
  EXPECT_EQ(id_to_title(""), "");
}

ParameterCounts counts(uint64_t total, uint64_t shared = 0, uint64_t per_expert = 0, uint64_t n_experts = 0) {
  return {.total = total, .shared = shared, .per_expert = per_expert, .n_experts = n_experts};
}

TEST(Naming, size_labels_have_two_significant_digits) {
  EXPECT_EQ(size_label(counts(13'800'000)), "14M");
  EXPECT_EQ(size_label(counts(1'240'000'000)), "1.2B");
  EXPECT_EQ(size_label(counts(550 * kB)), "550B");
  EXPECT_EQ(size_label(counts(2000 * kB)), "2.0T");
  EXPECT_EQ(size_label(counts(123)), "0.12K");
  EXPECT_EQ(size_label(counts(13'800'000, 6'000'000, 480'000, 8)), "8x6.5M");
}

TEST(Naming, parameters_of_stacked_experts_are_counted_once_per_expert) {
  std::vector<ModelTensor> tensors(2);
  tensors[0].name = "token_embd.weight";
  tensors[0].ne = {10, 10};
  tensors[1].name = "blk.0.ffn_up_exps.weight";
  tensors[1].ne = {5, 2, 4};
  const ParameterCounts c = count_parameters(tensors);
  EXPECT_EQ(c.total, 140u);
  EXPECT_EQ(c.shared, 100u);
  EXPECT_EQ(c.per_expert, 10u);
  EXPECT_EQ(c.n_experts, 4u);
}

}  // namespace
}  // namespace ggufmill
