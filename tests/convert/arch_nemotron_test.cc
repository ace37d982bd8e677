// Nemotron-4 and Minitron: the rope's keys, and every error of config.json.
#include <gtest/gtest.h>

#include "tests/convert/config_fields.h"

namespace ggufmill {
namespace {

struct Nemotron4Checkpoint : NemotronCheckpoint {
  Nemotron4Checkpoint() {
    config = {{"architectures", {"NemotronForCausalLM"}},
              {"hidden_size", 8},
              {"intermediate_size", 12},
              {"vocab_size", 16},
              {"num_hidden_layers", 1},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"max_position_embeddings", 64},
              {"norm_eps", 1e-5},
              {"hidden_act", "relu2"}};
  }
};

TEST(ArchNemotron, rope_turns_half_of_a_head_unless_the_config_says_otherwise) {
  Nemotron4Checkpoint checkpoint;
  Metadata metadata = describe_config(checkpoint.config).metadata;
  EXPECT_EQ(metadata.find_uint("nemotron.rope.dimension_count"), 2u);
  EXPECT_EQ(std::get<float>(*metadata.find("nemotron.rope.freq_base")), 10000.0f);
  EXPECT_EQ(*metadata.find_string("nemotron.rope.scaling.type"), "none");
  checkpoint.config.update({{"rope_percent", 1.0}, {"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}});
  metadata = describe_config(checkpoint.config).metadata;
  EXPECT_EQ(metadata.find_uint("nemotron.rope.dimension_count"), 4u);
  EXPECT_EQ(*metadata.find_string("nemotron.rope.scaling.type"), "linear");
  EXPECT_EQ(std::get<float>(*metadata.find("nemotron.rope.scaling.factor")), 2.0f);
}

TEST(ArchNemotron, an_output_of_its_own_is_required) {
  Nemotron4Checkpoint checkpoint;
  checkpoint.tensors = {{"model.embed_tokens.weight", {16, 8}}};
  checkpoint.config["tie_word_embeddings"] = true;
  EXPECT_TRUE(says(checkpoint.error(), "tensor \"lm_head.weight\" missing"));
}

TEST(ArchNemotron, each_bad_field_is_named) {
  const std::vector<std::pair<std::pair<std::string, nlohmann::json>, std::string>> rows = {
      {{"head_dim", 8}, "\"head_dim\": 2 heads of 8 are not as wide as hidden_size 8, which llama.cpp cannot load"},
      {{"hidden_act", "silu"}, "\"hidden_act\": found \"silu\", llama.cpp knows relu2 here"},
      {{"norm_eps", nullptr}, "\"rms_norm_eps\": missing (nor norm_eps)"},
      {{"intermediate_size", nullptr}, "\"intermediate_size\": missing"},
      {{"partial_rotary_factor", 1.5}, "\"partial_rotary_factor\": found 1.500000, expected 0 to 1"},
      {{"rope_scaling", {{"type", "yarn"}, {"factor", 2.0}, {"original_max_position_embeddings", 32}}},
       "\"rope_scaling.rope_type\": found \"yarn\", known are default and linear"},
  };
  for (const auto& [field, message] : rows) {
    Nemotron4Checkpoint checkpoint;
    checkpoint.config[field.first] = field.second;
    EXPECT_TRUE(says(checkpoint.error(), "config.json: field " + message)) << field.first;
  }
}

}  // namespace
}  // namespace ggufmill
