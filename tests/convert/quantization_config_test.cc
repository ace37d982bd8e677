#include "convert/quantization_config.h"

#include <gtest/gtest.h>

#include "tests/convert/quantized_files.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

using enum DType;
using nlohmann::json;

// What a checkpoint's configs and tensors say together.
std::vector<Finding> findings_of(const QuantizedFiles& files) {
  const Checkpoint checkpoint = files.open();
  const JsonDocument config = JsonDocument::load(checkpoint.file("config.json"), 1 << 20);
  const QuantizationConfig quantization(checkpoint, config.root());
  std::vector<Finding> findings;
  quantization.check(bind_weights(checkpoint, quantization.block_size()).all, findings);
  return findings;
}

BlockSize block_size_of(const json& quantization_config) {
  QuantizedFiles files;
  files.config = {{"quantization_config", quantization_config}};
  const Checkpoint checkpoint = files.add("x.weight", BF16, {2, 2}).open();
  const JsonDocument config = JsonDocument::load(checkpoint.file("config.json"), 1 << 20);
  return QuantizationConfig(checkpoint, config.root()).block_size();
}

QuantizedFiles& nvfp4(QuantizedFiles& files, const std::string& name) {
  files.add(name + ".weight", U8, {4, 16}).add(name + ".weight_scale", F8_E4M3, {4, 2});
  return files.add_f32(name + ".weight_scale_2", {1});
}
QuantizedFiles& fp8(QuantizedFiles& files, const std::string& name) {
  return files.add(name + ".weight", F8_E4M3, {4, 16}).add_f32(name + ".weight_scale", {1});
}

TEST(QuantizationConfig, DialectsThatAreRight) {
  const json dialects[] = {
      {{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}, {"group_size", 16}},
      {{"quant_method", "modelopt"}, {"quant_algo", "W4A16_NVFP4"}},
      {{"quant_method", "compressed-tensors"}, {"format", "nvfp4-pack-quantized"}},
      {{"quant_method", "compressed-tensors"},
       {"format", "mixed-precision"},
       {"config_groups", {{"group_0", {{"format", "nvfp4-pack-quantized"}, {"weights", {{"group_size", 16}}}}}}}},
      {{"quant_algo", "MIXED_PRECISION"}, {"quantized_layers", {{"a", {{"quant_algo", "NVFP4"}, {"group_size", 16}}}}}},
      {{"quant_method", "ModelOpt"}}};
  for (const json& dialect : dialects) {
    for (const bool in_text_config : {false, true}) {
      QuantizedFiles files;
      (in_text_config ? files.config["text_config"] : files.config)["quantization_config"] = dialect;
      EXPECT_TRUE(findings_of(nvfp4(files, "a")).empty()) << dialect;
    }
    QuantizedFiles files;
    files.folder.write("hf_quant_config.json", json{{"quantization", dialect}}.dump());
    EXPECT_TRUE(findings_of(nvfp4(files, "a")).empty()) << "in a file of its own: " << dialect;
  }
}

TEST(QuantizationConfig, UnknownToolIsRefusedWhereNothingIsReadAsQuantized) {
  const std::string message =
      "config.json: quant_method \"gptq\" is not known: NVFP4, FP8, MXFP8, MXFP4 and pack-quantized INT4 are read";
  QuantizedFiles plain;
  plain.config["quantization_config"] = {{"quant_method", "gptq"}, {"bits", 4}};
  plain.add("a.weight", BF16, {4, 32});
  expect_error(Exit::kBadInput, message, [&] { findings_of(plain); });
  QuantizedFiles files;
  files.config["quantization_config"] = {{"quant_method", "gptq"}};
  const std::vector<Finding> findings = findings_of(nvfp4(files, "a"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].message, message);
  EXPECT_EQ(findings[0].severity, Severity::kWarning);
}

TEST(QuantizationConfig, BlockSizeOfFp8) {
  EXPECT_EQ(block_size_of(json::object()).rows, 128u);
  const BlockSize block = block_size_of({{"quant_method", "fp8"}, {"weight_block_size", {64, 32}}});
  EXPECT_EQ(block.rows, 64u);
  EXPECT_EQ(block.columns, 32u);
}

TEST(QuantizationConfig, BlockSizeThatIsNoneIsRefused) {
  for (const json& size : {json(128), json{128}, json{0, 128}, json{128, 65537}, json{-1, 128}, json{"a", "b"}, json{1.5, 2}}) {
    expect_error(Exit::kBadInput, "config.json: field \"weight_block_size\": expected two numbers from 1 to 65536", [&] {
      block_size_of({{"weight_block_size", size}});
    });
  }
}

TEST(QuantizationConfig, SchemeThatNoTensorHasIsRefused) {
  QuantizedFiles files;
  files.config["quantization_config"] = {{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}};
  files.add("a.weight", BF16, {4, 32});
  const Error error = error_of([&] { findings_of(files); });
  EXPECT_EQ(error.message(), "config.json: says that the weights are NVFP4, but no tensor is");
  EXPECT_EQ(error.hint(), "where the weights were dequantized on purpose, take what it says of quantization out of config.json");
  EXPECT_EQ(error.code(), Exit::kBadInput);
  QuantizedFiles own_file;
  own_file.folder.write("hf_quant_config.json", R"({"quantization": {"quant_algo": "MXFP8"}})");
  expect_error(Exit::kBadInput, "hf_quant_config.json: says that the weights are MXFP8, but no tensor is",
               [&] { findings_of(fp8(own_file, "a")); });
}

TEST(QuantizationConfig, OtherGroupSizeIsRefused) {
  QuantizedFiles files;
  files.config["quantization_config"] = {{"quant_algo", "NVFP4"}, {"group_size", 32}};
  expect_error(Exit::kBadInput, "config.json: says groups of 32, but tensor \"a.weight\" is NVFP4, groups of 16",
               [&] { findings_of(nvfp4(files, "a")); });
}

TEST(QuantizationConfig, ModuleOfAnotherSchemeIsRefused) {
  QuantizedFiles files;
  files.config["quantization_config"]["quantized_layers"] = {{"a", {{"quant_algo", "NVFP4"}}},
                                                             {"b", {{"quant_algo", "FP8"}}},
                                                             {"c", {{"quant_algo", "FP8"}}},
                                                             {"not there", {{"quant_algo", "FP8"}}}};
  nvfp4(nvfp4(nvfp4(files, "a"), "b"), "c");
  const Error error = error_of([&] { findings_of(files); });
  EXPECT_EQ(error.message(), "config.json: quantized_layers says FP8 of b, but its weight is NVFP4, groups of 16 (and 1 more)");
  EXPECT_EQ(error.hint(), "the config belongs to another checkpoint, or tensors were replaced");
}

TEST(QuantizationConfig, ModuleInOtherGroupsIsRefused) {
  QuantizedFiles files;
  files.config["quantization_config"]["quantized_layers"]["a"] = {{"quant_algo", "NVFP4"}, {"group_size", 32}};
  expect_error(Exit::kBadInput,
               "config.json: quantized_layers says NVFP4 in groups of 32 of a, but its weight is NVFP4, groups of 16",
               [&] { findings_of(nvfp4(files, "a")); });
}

TEST(QuantizationConfig, ModuleThatIsNotQuantizedIsRefused) {
  QuantizedFiles files;
  files.config["quantization_config"]["quantized_layers"]["a"] = {{"quant_algo", "NVFP4"}};
  expect_error(Exit::kBadInput, "config.json: quantized_layers says NVFP4 of a, but its weight is BF16", [&] {
    findings_of(files.add("a.weight", BF16, {4, 32}));
  });
}

TEST(QuantizationConfig, WeightThatCannotBeReadIsLeftToTheModel) {
  QuantizedFiles files;
  files.config["quantization_config"]["quantized_layers"]["a"] = {{"quant_algo", "NVFP4"}};
  EXPECT_TRUE(findings_of(files.add("a.weight", U8, {4, 16})).empty());
}

TEST(QuantizationConfig, NoConfigAtAllIsAFinding) {
  QuantizedFiles files;
  const std::vector<Finding> findings = findings_of(fp8(nvfp4(files, "a"), "b"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].severity, Severity::kWarning);
  EXPECT_EQ(findings[0].message, "2 tensors are quantized, but no config says so");
  QuantizedFiles plain;
  EXPECT_TRUE(findings_of(plain.add("a.weight", BF16, {4, 32})).empty());
}

TEST(QuantizationConfig, ExcludedButQuantizedIsAFinding) {
  const json lists[] = {{{"exclude_modules", {"blk.1.up"}}},
                        {{"ignore", {"blk.1"}}},
                        {{"modules_to_not_convert", {"blk.1.*"}}},
                        {{"ignore", {"*.1.up", "re:.*down"}}}};
  for (const json& list : lists) {
    QuantizedFiles files;
    files.config["quantization_config"] = list;
    const std::vector<Finding> findings = findings_of(nvfp4(nvfp4(files, "blk.0.up"), "blk.1.up"));
    ASSERT_EQ(findings.size(), 1u) << list;
    EXPECT_EQ(findings[0].tensor, "blk.1.up.weight");
    EXPECT_EQ(findings[0].message, "is NVFP4, groups of 16, but the config excludes it from quantization");
  }
}

TEST(QuantizationConfig, ManyExcludedAreOneFinding) {
  QuantizedFiles files;
  files.config["quantization_config"]["ignore"] = {"blk.*"};
  const std::vector<Finding> findings = findings_of(nvfp4(nvfp4(nvfp4(files, "blk.0.up"), "blk.1.up"), "blk.2.up"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].message, "is NVFP4, groups of 16, but the config excludes it from quantization (and 2 more)");
}

TEST(QuantizationConfig, ExcludedNamesAreWholeModules) {
  QuantizedFiles files;
  files.config["quantization_config"]["ignore"] = {"blk.1", "re:.*", std::string(600, '*')};
  EXPECT_TRUE(findings_of(nvfp4(nvfp4(files, "blk.10.up"), "blk.11.up")).empty());
}

TEST(QuantizationConfig, BrokenFileIsRefused) {
  QuantizedFiles files;
  files.folder.write("hf_quant_config.json", "{");
  const Error error = error_of([&] { findings_of(nvfp4(files, "a")); });
  EXPECT_EQ(error.code(), Exit::kBadInput);
  EXPECT_NE(error.message().find("hf_quant_config.json: not valid JSON"), std::string::npos) << error.message();
}

}  // namespace
}  // namespace ggufmill
