// A Nemotron-H checkpoint of a few KB in a temporary folder, for tests that then break one thing in it. All tensors are zeros.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "convert/model.h"

namespace ggufmill {

// True where `text` holds `part`; shows both where not.
inline testing::AssertionResult says(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "found: " << text << "\nexpected in it: " << part;
}

// Without what is said of every base model: no chat template, no sampling defaults.
inline std::vector<Finding> warnings_of(std::vector<Finding> findings) {
  std::erase_if(findings, [](const Finding& f) { return f.severity == Severity::kInfo; });
  return findings;
}

struct NemotronCheckpoint {
  nlohmann::json config, tokenizer, tokenizer_config;
  std::map<std::string, std::vector<uint64_t>> tensors;  // name -> shape, written as `dtype`
  std::map<std::string, std::string> dtypes;             // other than BF16
  std::map<std::string, std::string> files;              // more files: name -> text

  // `pattern` as hybrid_override_pattern; experts where it has an E (LatentMoE, two of them); optionally an MTP block.
  explicit NemotronCheckpoint(const std::string& pattern = "ME*", bool mtp = false) {
    const bool moe = pattern.find('E') != std::string::npos;
    config = {{"architectures", {"NemotronHForCausalLM"}},
              {"hidden_size", 16},
              {"vocab_size", 16},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"head_dim", 4},
              {"mamba_num_heads", 2},
              {"mamba_head_dim", 4},
              {"ssm_state_size", 3},
              {"n_groups", 2},
              {"conv_kernel", 4},
              {"intermediate_size", 12},
              {"norm_eps", 1e-5},
              {"layer_norm_epsilon", 1e-5},
              {"rope_theta", 10000},
              {"tie_word_embeddings", false},
              {"hybrid_override_pattern", pattern},
              {"num_hidden_layers", pattern.size()}};
    if (moe) {
      config.update({{"n_routed_experts", 2},
                     {"num_experts_per_tok", 1},
                     {"moe_intermediate_size", 6},
                     {"moe_latent_size", 8},
                     {"moe_shared_expert_intermediate_size", 10},
                     {"n_shared_experts", 1},
                     {"n_group", 1},
                     {"topk_group", 1},
                     {"norm_topk_prob", true},
                     {"routed_scaling_factor", 2.5}});
    }
    if (mtp) config["num_nextn_predict_layers"] = 1;
    tensors = {{"backbone.embeddings.weight", {16, 16}}, {"backbone.norm_f.weight", {16}}, {"lm_head.weight", {16, 16}}};
    for (size_t i = 0; i < pattern.size(); ++i) {
      const std::string block = "backbone.layers." + std::to_string(i) + ".";
      tensors[block + "norm.weight"] = {16};
      add_mixer(block + "mixer.", pattern[i]);
    }
    if (mtp) {
      for (const char* norm : {"0.enorm", "0.hnorm", "0.norm", "1.norm", "1.final_layernorm"}) {
        tensors["mtp.layers." + std::string(norm) + ".weight"] = {16};
      }
      tensors["mtp.layers.0.eh_proj.weight"] = {16, 32};
      add_mixer("mtp.layers.0.mixer.", '*');
      add_mixer("mtp.layers.1.mixer.", 'E');
    }
    const std::string regex =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    tokenizer = {{"normalizer", nullptr},
                 {"pre_tokenizer",
                  {{"type", "Sequence"},
                   {"pretokenizers",
                    {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}},
                     {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
                 {"decoder", {{"type", "ByteLevel"}}},
                 {"added_tokens", {{{"id", 0}, {"content", "<s>"}, {"special", true}, {"normalized", false}}}},
                 {"model",
                  {{"type", "BPE"},
                   {"vocab", {{"<s>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}}},
                   {"merges", nlohmann::json::array({nlohmann::json::array({"a", "b"})})}}}};
    tokenizer_config = {{"bos_token", "<s>"}};
  }

  void add_mixer(const std::string& mixer, char kind) {
    if (kind == 'M') {
      tensors.insert({{mixer + "in_proj.weight", {30, 16}},
                      {mixer + "conv1d.weight", {20, 1, 4}},
                      {mixer + "conv1d.bias", {20}},
                      {mixer + "dt_bias", {2}},
                      {mixer + "A_log", {2}},
                      {mixer + "D", {2}},
                      {mixer + "norm.weight", {8}},
                      {mixer + "out_proj.weight", {16, 8}}});
    } else if (kind == '*') {
      tensors.insert({{mixer + "q_proj.weight", {8, 16}},
                      {mixer + "k_proj.weight", {4, 16}},
                      {mixer + "v_proj.weight", {4, 16}},
                      {mixer + "o_proj.weight", {16, 8}}});
    } else if (kind == '-') {
      tensors.insert({{mixer + "up_proj.weight", {12, 16}}, {mixer + "down_proj.weight", {16, 12}}});
    } else {
      tensors.insert({{mixer + "gate.weight", {2, 16}},
                      {mixer + "gate.e_score_correction_bias", {2}},
                      {mixer + "fc1_latent_proj.weight", {8, 16}},
                      {mixer + "fc2_latent_proj.weight", {16, 8}},
                      {mixer + "shared_experts.up_proj.weight", {10, 16}},
                      {mixer + "shared_experts.down_proj.weight", {16, 10}}});
      for (const char* expert : {"experts.0.", "experts.1."}) {
        tensors.insert({{mixer + expert + "up_proj.weight", {6, 8}}, {mixer + expert + "down_proj.weight", {8, 6}}});
      }
    }
  }

  // Writes the folder anew and describes the model.
  Model describe(const ModelOptions& options = {}) const {
    const std::string test = testing::UnitTest::GetInstance()->current_test_info()->name();
    const TemporaryFolder parent(std::filesystem::path(testing::TempDir()) / ("ggufmill-" + test));
    const std::filesystem::path folder = parent.path / "Tiny-Nemotron";
    std::filesystem::create_directories(folder);
    write(folder / "config.json", config.dump());
    if (!tokenizer.is_null()) write(folder / "tokenizer.json", tokenizer.dump());
    if (!tokenizer_config.is_null()) write(folder / "tokenizer_config.json", tokenizer_config.dump());
    for (const auto& [name, text] : files) write(folder / name, text);
    write(folder / "model.safetensors", safetensors());
    return describe_model(Checkpoint(folder), options);
  }

  // The message of the Error that describe() must throw, "(no error)" without one.
  std::string error(const ModelOptions& options = {}) const {
    try {
      describe(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kBadInput) << error.message();
      return error.message() + (error.hint().empty() ? "" : " | " + error.hint());
    }
    return "(no error)";
  }

 private:
  struct TemporaryFolder {
    std::filesystem::path path;
    explicit TemporaryFolder(std::filesystem::path p) : path(std::move(p)) { std::filesystem::remove_all(path); }
    ~TemporaryFolder() { std::filesystem::remove_all(path); }
  };

  static void write(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }

  std::string safetensors() const {
    nlohmann::json header;
    uint64_t end = 0;
    for (const auto& [name, shape] : tensors) {
      const std::string dtype = dtypes.contains(name) ? dtypes.at(name) : "BF16";
      uint64_t bytes = dtype == "F32" ? 4 : dtype == "U8" ? 1 : 2;
      for (const uint64_t n : shape) bytes *= n;
      header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
      end += bytes;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::string file(8, '\0');
    for (int i = 0; i < 8; ++i) file[static_cast<size_t>(i)] = static_cast<char>(text.size() >> (8 * i) & 0xFF);
    return file + text + std::string(end, '\0');
  }
};

}  // namespace ggufmill
