// What config.json (quantization_config) and hf_quant_config.json say about a checkpoint's quantization. The tensors themselves
// decide what they are (weights.h); these lists are checked against them, since a contradiction means a damaged or mixed-up
// download. Read are the dialects of ModelOpt, compressed-tensors and of publishers' own "fp8" and "mxfp4".
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "convert/weights.h"
#include "formats/checkpoint.h"
#include "formats/finding.h"
#include "formats/json.h"

namespace ggufmill {

class QuantizationConfig {
 public:
  // `config` is the root of config.json. Throws kBadInput where hf_quant_config.json is no JSON.
  QuantizationConfig(const Checkpoint& checkpoint, simdjson::dom::element config);

  BlockSize block_size() const { return block_size_; }  // of FP8 scales: weight_block_size, else the usual one

  // Throws kBadInput where a scheme is announced that no tensor has, or a module that is named has another scheme or group size.
  // Findings: tensors quantized although they are excluded by name, or although no config says so.
  void check(const std::vector<Weight>& weights, std::vector<Finding>& findings) const;

 private:
  struct Declared {
    std::string scheme;        // "NVFP4": a WeightForm's name
    uint64_t group_elems = 0;  // 0: not said
    std::string file;          // that says so
  };

  void read(simdjson::dom::element config, const std::string& file);
  void read_groups(simdjson::dom::element config, const std::string& file);
  void declare(std::string_view said, uint64_t group_elems, const std::string& file);
  void check_modules(const std::vector<Weight>& weights) const;
  bool excludes(std::string_view tensor_name) const;

  bool present_ = false;
  std::string unknown_;  // "config.json: quant_method \"gptq\"": a tool or scheme that is not known
  BlockSize block_size_;
  std::vector<Declared> declared_;           // for the whole checkpoint
  std::map<std::string, Declared> modules_;  // by name, without ".weight"
  std::unordered_set<std::string> excluded_names_;
  std::vector<std::string> excluded_patterns_;  // shell patterns
};

}  // namespace ggufmill
