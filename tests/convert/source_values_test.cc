// What quantized checkpoints of families that are not known hold, through the source layer alone (weights.h, weight_rows.h):
// their values against the hashes of dequant.json, and against the bytes of those tensors of golden.json that are one source or a
// stack of sources, rounded to BF16. Which rows go where is spelled out here with plain indexes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "convert/quantization_config.h"
#include "convert/weight_rows.h"
#include "formats/file.h"
#include "formats/hash.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

using nlohmann::json;

const std::filesystem::path kGoldens = std::filesystem::path(GGUFMILL_TEST_DATA) / "goldens";

std::filesystem::path checkpoint_of(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_directory()) return entry.path();
  }
  throw std::runtime_error(folder.string() + ": no checkpoint in it");
}

struct SourceRow {
  const Weight* weight;
  uint64_t row;
};

class QuantizedCase {
 public:
  explicit QuantizedCase(const std::string& name) : folder_(kGoldens / name), checkpoint_(checkpoint_of(folder_)) {
    const JsonDocument config = JsonDocument::load(checkpoint_.file("config.json"), 1 << 20);
    const QuantizationConfig quantization(checkpoint_, config.root());
    weights_ = bind_weights(checkpoint_, quantization.block_size()).all;
    std::vector<Finding> findings;
    quantization.check(weights_, findings);
    for (const Finding& f : findings) ADD_FAILURE() << name << ": " << f.tensor << ": " << f.message;
    std::vector<uint32_t> all(weights_.size());
    for (uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    read_tensor_scales(checkpoint_.shards(), all, weights_);
    for (const Weight& w : weights_) EXPECT_EQ(w.problem, "") << w.name;
  }

  json manifest(const std::string& file) const { return json::parse(std::ifstream(folder_ / file)); }

  const Weight* find(const std::string& name) const {
    const auto at = std::ranges::find(weights_, name, &Weight::name);
    return at == weights_.end() ? nullptr : &*at;
  }

  std::vector<float> values(const std::vector<SourceRow>& rows) const {
    RowDecoder decoder;
    std::vector<float> out;
    for (const SourceRow& row : rows) {
      const uint64_t columns = row.weight->columns();
      const auto [codes, scales] = bytes(row);
      out.resize(out.size() + columns);
      decoder.decode(*row.weight, {row.row, codes, scales}, row.row, std::span(out).last(columns));
    }
    return out;
  }

  // The same bits in blocks of `codec`'s type.
  std::vector<std::byte> blocks(const std::vector<SourceRow>& rows, const Codec& codec) const {
    const GgmlTypeInfo& type = info(codec.type);
    std::vector<std::byte> out;
    for (const SourceRow& row : rows) {
      const auto [codes, scales] = bytes(row);
      const uint64_t row_bytes = row.weight->columns() / type.block_elems * type.block_bytes;
      out.resize(out.size() + row_bytes);
      codec.repack(codes, scales, std::span(out).last(row_bytes));
    }
    return out;
  }

 private:
  std::pair<std::vector<std::byte>, std::vector<std::byte>> bytes(const SourceRow& row) const {
    const Weight& w = *row.weight;
    return {read(w.codes.shard, code_bytes(w, w.columns(), row.row, 1)),
            w.scales ? read(w.scales->shard, scale_bytes(w, row.row, 1)) : std::vector<std::byte>()};
  }

  std::vector<std::byte> read(uint32_t shard, const Extent& extent) const {
    std::vector<std::byte> bytes(extent.bytes);
    InputFile(checkpoint_.shards()[shard].path).read_exact(extent.file_offset, bytes);
    return bytes;
  }

  std::filesystem::path folder_;
  Checkpoint checkpoint_;
  std::vector<Weight> weights_;
};

std::string hash_as(GgmlType type, std::span<const float> values) {
  const GgmlTypeInfo& t = info(type);
  std::vector<std::byte> bytes(values.size() / t.block_elems * t.block_bytes);
  find_codec(type)->encode(values, {.effort = Effort::kFast}, bytes);
  return sha256(bytes).hex();
}

// A line for the summary of the whole suite.
void figure(const std::string& text) {
  std::cout << text << "\n";
  if (const char* folder = std::getenv("GGUFMILL_FIGURES")) {
    std::filesystem::create_directories(folder);
    std::ofstream(std::filesystem::path(folder) / "source_values", std::ios::app) << "  source_values: " << text << "\n";
  }
}

// The rows that a GGUF tensor is made of; empty where its name is not known or its sources are not quantized.
using RowsOf = std::function<std::vector<SourceRow>(const std::string& gguf_name)>;

void compare_dequant(const QuantizedCase& quantized, const std::string& name, const RowsOf& rows_of) {
  const json tensors = quantized.manifest("dequant.json")["tensors"];
  size_t equal = 0;
  for (const auto& [tensor, hashes] : tensors.items()) {
    const std::vector<float> values = quantized.values(rows_of(tensor));
    EXPECT_EQ(hash_as(GgmlType::F32, values), hashes["sha256_f32"]) << name << " " << tensor;
    EXPECT_EQ(hash_as(GgmlType::BF16, values), hashes["sha256_bf16"]) << name << " " << tensor;
    equal += hash_as(GgmlType::F32, values) == hashes["sha256_f32"];
  }
  EXPECT_GT(equal, 0u);
  figure(name + "/dequant.json: values equal as F32 and BF16 " + std::to_string(equal) + "/" + std::to_string(tensors.size()) +
         " tensors");
}

// Compares what `rows_of` knows in the type that the golden has: `wanted` tensors.
void compare_golden(const QuantizedCase& quantized, const std::string& name, const RowsOf& rows_of, size_t wanted) {
  size_t known = 0, equal = 0;
  const json tensors = quantized.manifest("golden.json")["tensors"];
  for (const json& golden : tensors) {
    const std::vector<SourceRow> rows = rows_of(golden["name"]);
    if (rows.empty()) continue;
    ++known;
    const Codec& codec = *find_codec(find_ggml_type(golden["type"].get<std::string>())->type);
    const std::string hash =
        codec.repack != nullptr ? sha256(quantized.blocks(rows, codec)).hex() : hash_as(codec.type, quantized.values(rows));
    EXPECT_EQ(hash, golden["sha256"]) << name << " " << golden["name"];
    equal += hash == golden["sha256"];
  }
  EXPECT_EQ(known, wanted) << name;
  figure(name + "/golden.json: " + std::to_string(equal) + "/" + std::to_string(known) + " tensors of quantized sources equal");
}

// "blk.7.rest" -> 7 and "rest"; -1 for others.
std::pair<int, std::string> block_and_rest(const std::string& name) {
  if (!name.starts_with("blk.")) return {-1, name};
  const size_t dot = name.find('.', 4);
  return {std::stoi(name.substr(4)), name.substr(dot + 1)};
}

// All rows of `name`, a weight; with a star all experts, one after the other.
std::vector<SourceRow> all_rows(const QuantizedCase& quantized, const std::string& name) {
  std::vector<SourceRow> rows;
  const size_t star = name.find('*');
  for (int expert = 0;; ++expert) {
    const std::string one = star == std::string::npos ? name : std::string(name).replace(star, 1, std::to_string(expert));
    const Weight* w = quantized.find(one);
    if (w == nullptr || w->form == nullptr) return rows;
    for (uint64_t r = 0; r < w->elems() / w->columns(); ++r) rows.push_back({w, r});
    if (star == std::string::npos) return rows;
  }
}

using Names = std::map<std::string, std::string>;  // of a GGUF tensor behind "blk.N." -> behind the source's layer

RowsOf by_name(const QuantizedCase& quantized, const std::string& layers, const Names& names) {
  return [&quantized, layers, names](const std::string& gguf_name) -> std::vector<SourceRow> {
    const auto [block, rest] = block_and_rest(gguf_name);
    const auto found = names.find(rest);
    if (block < 0 || found == names.end()) return {};
    return all_rows(quantized, layers + std::to_string(block) + "." + found->second);
  };
}

// DeepSeek's and Kimi's tensors.
Names latent_attention_names() {
  return {{"attn_q_a.weight", "self_attn.q_a_proj.weight"},
          {"attn_q_b.weight", "self_attn.q_b_proj.weight"},
          {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
          {"attn_v_b.weight", "self_attn.kv_b_proj.weight"},
          {"attn_output.weight", "self_attn.o_proj.weight"},
          {"indexer.attn_k.weight", "self_attn.indexer.wk.weight"},
          {"indexer.attn_q_b.weight", "self_attn.indexer.wq_b.weight"},
          {"ffn_gate.weight", "mlp.gate_proj.weight"},
          {"ffn_up.weight", "mlp.up_proj.weight"},
          {"ffn_down.weight", "mlp.down_proj.weight"},
          {"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight"},
          {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"},
          {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"},
          {"ffn_gate_exps.weight", "mlp.experts.*.gate_proj.weight"},
          {"ffn_up_exps.weight", "mlp.experts.*.up_proj.weight"},
          {"ffn_down_exps.weight", "mlp.experts.*.down_proj.weight"},
          {"nextn.eh_proj.weight", "eh_proj.weight"}};
}

TEST(SourceValues, Fp8InRaggedBlocks) {
  const QuantizedCase quantized("h2-dsv32-fp8");
  EXPECT_EQ(quantized.find("model.layers.0.mlp.down_proj.weight")->scheme(), "FP8, blocks of 128x128");
  const RowsOf whole = by_name(quantized, "model.layers.", latent_attention_names());
  compare_golden(
      quantized, "h2-dsv32-fp8",
      [&](const std::string& name) {
        std::vector<SourceRow> rows = whole(name);
        // kv_b_proj: in each of the 4 heads 64 rows of k, then 64 of v.
        if (name.ends_with("attn_v_b.weight")) std::erase_if(rows, [](const SourceRow& r) { return r.row % 128 < 64; });
        return rows;
      },
      36);
}

TEST(SourceValues, PackedInt4) {
  const QuantizedCase quantized("h6-kimi-k25-int4");
  EXPECT_EQ(quantized.find("language_model.model.layers.1.mlp.experts.0.down_proj.weight")->scheme(), "INT4, groups of 32");
  compare_golden(quantized, "h6-kimi-k25-int4", by_name(quantized, "language_model.model.layers.", latent_attention_names()), 3);
}

TEST(SourceValues, Mxfp4AndFp8WithPowersOfTwo) {
  const QuantizedCase quantized("h3-dsv4-mxfp4");
  EXPECT_EQ(quantized.find("layers.0.ffn.experts.0.w1.weight")->scheme(), "MXFP4, groups of 32");
  const RowsOf rows = by_name(quantized, "layers.",
                              {{"ffn_gate_exps.weight", "ffn.experts.*.w1.weight"},
                               {"ffn_down_exps.weight", "ffn.experts.*.w2.weight"},
                               {"ffn_up_exps.weight", "ffn.experts.*.w3.weight"},
                               {"ffn_gate_shexp.weight", "ffn.shared_experts.w1.weight"},
                               {"ffn_down_shexp.weight", "ffn.shared_experts.w2.weight"},
                               {"ffn_up_shexp.weight", "ffn.shared_experts.w3.weight"},
                               {"attn_kv.weight", "attn.wkv.weight"},
                               {"attn_output_a.weight", "attn.wo_a.weight"},
                               {"attn_output_b.weight", "attn.wo_b.weight"},
                               {"attn_q_a.weight", "attn.wq_a.weight"},
                               {"attn_q_b.weight", "attn.wq_b.weight"},
                               {"indexer.attn_q_b.weight", "attn.indexer.wq_b.weight"}});
  compare_dequant(quantized, "h3-dsv4-mxfp4", rows);
  compare_golden(quantized, "h3-dsv4-mxfp4", rows, 34);
}

TEST(SourceValues, Mxfp4InBlocks) {
  const QuantizedCase quantized("i-gptoss-mxfp4");
  EXPECT_EQ(quantized.find("model.layers.0.mlp.experts.down_proj")->scheme(), "MXFP4, groups of 32");
  const RowsOf whole = by_name(quantized, "model.layers.",
                               {{"ffn_gate_exps.weight", "mlp.experts.gate_up_proj"},
                                {"ffn_up_exps.weight", "mlp.experts.gate_up_proj"},
                                {"ffn_down_exps.weight", "mlp.experts.down_proj"}});
  const RowsOf rows = [&](const std::string& name) {
    std::vector<SourceRow> all = whole(name);
    // gate and up are one source, row by row in turns.
    if (name.find("_down_") == std::string::npos) {
      const bool up = name.find("_up_") != std::string::npos;
      std::erase_if(all, [&](const SourceRow& r) { return (r.row % 2 == 1) != up; });
    }
    return all;
  };
  compare_dequant(quantized, "i-gptoss-mxfp4", rows);
  compare_golden(quantized, "i-gptoss-mxfp4", rows, 6);
}

}  // namespace
}  // namespace ggufmill
