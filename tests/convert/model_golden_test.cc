// describe_model against llama.cpp's own converter (b10573): every metadata key, type, value and position, every tensor's name
// and shape, which tensors are F32, and, through pieces and row maps, the bytes of all BF16 tensors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "convert/model.h"
#include "formats/file.h"
#include "formats/hash.h"
#include "tests/convert/golden_value.h"

namespace ggufmill {
namespace {

using nlohmann::json;

const std::filesystem::path kData = GGUFMILL_TEST_DATA;

struct GoldenCase {
  std::string name, checkpoint, manifest;  // paths below tests/data
  MtpMode mtp = MtpMode::kInclude;
  std::string type = "BF16";  // what the preset gives to tensors that are not forced to F32
  size_t n_warnings = 0;      // sentencepiece removes repeated spaces, llama.cpp does not; parts that are left out
};

GoldenCase of(const std::string& name, const std::string& folder, const std::string& repository, const std::string& variant = "",
              size_t n_warnings = 0) {
  const MtpMode mtp = variant == "no-mtp" ? MtpMode::kLeaveOut : variant == "mtp-only" ? MtpMode::kOnly : MtpMode::kInclude;
  const std::string base = "goldens/" + folder + "/";
  return {name,   base + repository, base + (variant.empty() ? "golden.json" : "golden." + variant + ".json"), mtp,
          "BF16", n_warnings};
}

const std::vector<GoldenCase>& golden_cases() {
  static const std::string a = "goldens/a-nano-bf16/", b = "goldens/b-super-bf16/", c = "goldens/c-ultra-bf16-mixshards/";
  static const std::string nano = a + "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", super = b + "NVIDIA-Nemotron-3-Super-120B-A12B-BF16",
                           ultra = c + "NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16";
  static const std::vector<GoldenCase> cases = {
      {"nano", nano, a + "golden.json", MtpMode::kInclude, "BF16"},
      {"nano_f32", nano, a + "golden.f32.json", MtpMode::kInclude, "F32"},
      {"nano_f16", nano, a + "golden.f16.json", MtpMode::kInclude, "F16"},
      {"nano_q8_0", nano, a + "golden.q8_0.json", MtpMode::kInclude, "Q8_0"},
      {"super", super, b + "golden.json", MtpMode::kInclude, "BF16"},
      {"super_no_mtp", super, b + "golden.no-mtp.json", MtpMode::kLeaveOut, "BF16"},
      {"super_mtp_only", super, b + "golden.mtp-only.json", MtpMode::kOnly, "BF16"},
      {"ultra", ultra, c + "golden.json", MtpMode::kInclude, "BF16"},
      {"ultra_no_mtp", ultra, c + "golden.no-mtp.json", MtpMode::kLeaveOut, "BF16"},
      {"mini", "mini-nemotron3", "mini-eval/golden.json", MtpMode::kInclude, "BF16"},
      {"llama31", "goldens/f-llama31-405b-bf16/Meta-Llama-3.1-405B-Instruct", "goldens/f-llama31-405b-bf16/golden.json"},
      {"llama32_tied", "goldens/f5-llama32-tied-bf16/Llama-3.2-1B-Instruct", "goldens/f5-llama32-tied-bf16/golden.json"},
      {"llama2", "goldens/f2-llama2-f16/Llama-2-7b-chat-hf", "goldens/f2-llama2-f16/golden.json", MtpMode::kInclude, "F16", 1},
      {"mixtral", "goldens/f3-mixtral-bf16/Mixtral-8x7B-Instruct-v0.1", "goldens/f3-mixtral-bf16/golden.json", MtpMode::kInclude,
       "BF16", 1},
      {"mistral_nemo", "goldens/f4-mistral-nemo-bf16/Mistral-Nemo-Instruct-2407", "goldens/f4-mistral-nemo-bf16/golden.json"},
      {"deci", "goldens/e-deci253b-bf16/Llama-3_1-Nemotron-Ultra-253B-v1", "goldens/e-deci253b-bf16/golden.json"},
      {"deci_linear", "goldens/e2-deci51b-bf16/Llama-3_1-Nemotron-51B-Instruct", "goldens/e2-deci51b-bf16/golden.json"},
      {"nemotron4", "goldens/g-minitron-bf16/Minitron-8B-Base", "goldens/g-minitron-bf16/golden.json", MtpMode::kInclude, "BF16",
       1},
      {"nemotron_h", "goldens/k1-nemotronh-bf16/Nemotron-H-8B-Base-8K", "goldens/k1-nemotronh-bf16/golden.json"},
      {"lightning", "goldens/k3-lightning-bf16/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16",
       "goldens/k3-lightning-bf16/golden.json"},
      of("deepseek_v32", "h1-dsv32-bf16", "DeepSeek-V3.2"),
      of("deepseek_v32_no_mtp", "h1-dsv32-bf16", "DeepSeek-V3.2", "no-mtp"),
      of("deepseek_v32_mtp_only", "h1-dsv32-bf16", "DeepSeek-V3.2", "mtp-only"),
      of("deepseek_v3", "h7-dsv3-bf16", "DeepSeek-V3", "", 1),
      of("qwen35moe", "h4-qwen35moe-bf16", "Qwen3.5-397B-A17B", "", 1),
      of("qwen35moe_no_mtp", "h4-qwen35moe-bf16", "Qwen3.5-397B-A17B", "no-mtp", 1),
      of("qwen35moe_mtp_only", "h4-qwen35moe-bf16", "Qwen3.5-397B-A17B", "mtp-only", 1),
      of("glm52", "h5-glm52-bf16", "GLM-5.2"),
      of("glm51", "m3-glm51-bf16", "GLM-5.1"),
      of("glm45", "m1-glm45-bf16", "GLM-4.5-Air"),
      of("glm46", "m2-glm46", "GLM-4.6"),
      of("glm47_flash", "m4-glm47flash-bf16", "GLM-4.7-Flash"),
      of("qwen25_tied", "j1-qwen25-bf16", "Qwen2.5-0.5B-Instruct"),
      of("qwen25", "j2-qwen25-72b", "Qwen2.5-72B-Instruct"),
      of("r1_distill_qwen", "h10-r1distill-qwen-bf16", "DeepSeek-R1-Distill-Qwen-7B"),
      of("qwen3", "j3-qwen3-bf16", "Qwen3-8B"),
      of("qwen3_moe", "j4-qwen3moe-bf16", "Qwen3-235B-A22B-Instruct-2507"),
      of("qwen35", "j5-qwen35-bf16", "Qwen3.5-27B", "", 1),
      of("qwen3_next", "j6-qwen3next-bf16", "Qwen3-Next-80B-A3B-Instruct"),
      of("gpt_oss_plain", "i2-gptoss-bf16", "gpt-oss-20b-BF16"),
  };
  return cases;
}

uint64_t column_elem(const RowMap& map, uint64_t column) {
  if (map.columns.empty()) return column;
  uint64_t elem = 0;
  for (size_t a = map.columns.size(); a-- > 0; column /= map.columns[a].size)
    elem += column % map.columns[a].size * map.columns[a].stride;
  return elem;
}

// The tensor's bytes with each source row at its place, types unchanged.
std::vector<std::byte> assembled(const Checkpoint& checkpoint, const Model& model, const ModelTensor& tensor) {
  const uint64_t row_bytes = tensor.row_elems() * 2;
  std::vector<std::byte> bytes(tensor.rows() * row_bytes), source;
  for (const Piece& piece : tensor.pieces) {
    const SourceTensor& from = model.weights[piece.source].codes;
    source.resize(from.extent.bytes);
    InputFile(checkpoint.shards()[from.shard].path).read_exact(from.extent.file_offset, source);
    for (uint64_t row = 0; row < piece.rows; ++row) {
      const uint64_t first = piece.first_elem + tensor.row_map.row_elem(row, tensor.row_elems());
      for (uint64_t column = 0; column < tensor.row_elems(); ++column) {
        const uint64_t elem = first + column_elem(tensor.row_map, column);
        if (elem * 2 + 2 > source.size()) return {};
        std::memcpy(bytes.data() + (piece.out_row + row) * row_bytes + column * 2, source.data() + elem * 2, 2);
      }
    }
  }
  return bytes;
}

class Golden : public testing::TestWithParam<GoldenCase> {
 protected:
  void SetUp() override {
    std::ifstream file(kData / GetParam().manifest);
    golden_ = json::parse(file);
    checkpoint_.emplace(kData / GetParam().checkpoint);
    model_ = describe_model(*checkpoint_, {.mtp = GetParam().mtp});
  }
  json golden_;
  std::optional<Checkpoint> checkpoint_;
  Model model_;
};

TEST_P(Golden, metadata_is_the_converters_in_value_and_order) {
  std::vector<std::string> expected, found;
  for (const json& entry : golden_["kv"]) {
    if (!entry["key"].get<std::string>().starts_with("split.")) expected.push_back(entry["key"]);
  }
  for (const auto& [key, value] : model_.metadata.entries()) found.push_back(key);
  EXPECT_EQ(found, expected);
  for (const json& entry : golden_["kv"]) {
    const std::string key = entry["key"];
    const MetadataValue* value = model_.metadata.find(key);
    if (value == nullptr) continue;
    if (key == "general.file_type")
      EXPECT_EQ(std::get<uint32_t>(*value), 0u);
    else
      expect_same_value(entry, *value);
  }
  EXPECT_EQ(std::ranges::count_if(model_.findings, [](const Finding& f) { return f.severity != Severity::kInfo; }),
            static_cast<std::ptrdiff_t>(GetParam().n_warnings));
}

TEST_P(Golden, tensors_are_the_converters) {
  std::map<std::string, const ModelTensor*> found;
  for (const ModelTensor& tensor : model_.tensors) EXPECT_TRUE(found.emplace(tensor.name, &tensor).second) << tensor.name;
  EXPECT_EQ(found.size(), golden_["tensors"].size());
  for (const json& entry : golden_["tensors"]) {
    const auto tensor = found.find(entry["name"]);
    ASSERT_NE(tensor, found.end()) << entry["name"];
    EXPECT_EQ(json(tensor->second->ne), entry["ne"]) << entry["name"];
    if (GetParam().type == "Q8_0") {  // falls back to F16 where rows are not whole blocks
      EXPECT_EQ(tensor->second->fixed_type.has_value(), entry["type"] == "F32") << entry["name"];
    } else {
      EXPECT_EQ(tensor->second->fixed_type == GgmlType::F32 ? "F32" : GetParam().type, entry["type"]) << entry["name"];
    }
  }
}

// Bytes of other types are the encoders'.
class GoldenBf16 : public Golden {};

TEST_P(GoldenBf16, pieces_and_row_maps_give_the_converters_bytes) {
  std::map<std::string, std::string> golden;
  for (const json& entry : golden_["tensors"]) golden[entry["name"]] = entry["sha256"];
  size_t compared = 0;
  for (const ModelTensor& tensor : model_.tensors) {
    if (!tensor.values.empty()) continue;  // computed
    uint64_t next = 0;
    for (const Piece& piece : tensor.pieces) {
      EXPECT_EQ(piece.out_row, next) << tensor.name;
      next += piece.rows;
    }
    EXPECT_EQ(next, tensor.rows()) << tensor.name;
    if (tensor.fixed_type) continue;
    EXPECT_EQ(sha256(assembled(*checkpoint_, model_, tensor)).hex(), golden[tensor.name]) << tensor.name;
    ++compared;
  }
  EXPECT_GT(compared, 5u);
}

// Values, since tensors may take parts of one source.
TEST_P(Golden, every_source_value_is_used_once_or_accounted_for) {
  std::vector<uint64_t> used(checkpoint_->tensors().size());
  for (const ModelTensor& tensor : model_.tensors) {
    for (const Piece& piece : tensor.pieces) used[piece.source] += piece.rows * tensor.row_elems();
  }
  size_t unused = 0;
  for (size_t i = 0; i < used.size(); ++i) {
    unused += used[i] == 0;
    if (used[i] > 0) {
      EXPECT_EQ(used[i], model_.weights[i].elems()) << model_.weights[i].name;
    }
  }
  EXPECT_EQ(unused, model_.dropped.size() + model_.left_out.size());
}

std::vector<GoldenCase> bf16_cases() {
  std::vector<GoldenCase> cases;
  for (const GoldenCase& c : golden_cases()) {
    if (c.type == "BF16") cases.push_back(c);
  }
  return cases;
}

std::string case_name(const testing::TestParamInfo<GoldenCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Converter, Golden, testing::ValuesIn(golden_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Converter, GoldenBf16, testing::ValuesIn(bf16_cases()), case_name);

TEST(GoldenFacts, of_super) {
  const Checkpoint checkpoint(kData / golden_cases()[4].checkpoint);
  const Model model = describe_model(checkpoint, {});
  EXPECT_EQ(model.architecture, "nemotron_h_moe");
  EXPECT_EQ(model.name, "NVIDIA-Nemotron-3-Super-120B-A12B-BF16");
  EXPECT_EQ(model.n_layers, 3u);
  EXPECT_EQ(model.mtp_block, 3);
  EXPECT_EQ(model.n_experts, 4u);
  EXPECT_EQ(model.gqa_ratio, 4.0);
  EXPECT_FALSE(model.tied_output);
  EXPECT_EQ(describe_model(checkpoint, {.mtp = MtpMode::kLeaveOut}).mtp_block, -1);
}

TEST(GoldenFacts, vocabulary_only_has_all_keys_and_no_tensors) {
  const Checkpoint checkpoint(kData / golden_cases()[4].checkpoint);
  const Model whole = describe_model(checkpoint, {}), vocabulary = describe_model(checkpoint, {.vocab_only = true});
  EXPECT_TRUE(vocabulary.tensors.empty());
  // Without tensors the parameters are not counted, so the size in the name is believed.
  EXPECT_EQ(*vocabulary.metadata.find_string("general.size_label"), "120B-A12B");
  EXPECT_EQ(vocabulary.metadata.find("general.finetune"), nullptr);
  for (const auto& [key, value] : whole.metadata.entries()) {
    if (key == "general.size_label" || key == "general.finetune") continue;
    ASSERT_NE(vocabulary.metadata.find(key), nullptr) << key;
    EXPECT_EQ(*vocabulary.metadata.find(key), value) << key;
  }
}

}  // namespace
}  // namespace ggufmill
