// A plan of four tensors from two small source files, made by hand: what the parts below the plan are tested with. It has what
// makes a plan hard: bytes that no tensor needs, a tensor whose rows come from both files, a row map, padding, two output files.
//
//   a.safetensors  100 bytes left out | "a" F32 [64, 32] | 5000 left out | expert 0 BF16 [16, 64] | "q" F16 [32, 32] | 77 left
//   out b.safetensors  100 bytes left out | expert 1 BF16 [16, 64] | "n" F32 [33] out-00001      plain.weight Q8_0 [32, 64],
//   blk.0.ffn_up_exps.weight Q4_0 [64, 16, 2] out-00002      blk.0.attn_q.weight F16 [32, 32] in heads of 8 rows, norm.weight F32
//   [33]
#pragma once

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "convert/plan.h"
#include "convert/plan_digest.h"
#include "convert/plan_layout.h"
#include "formats/file.h"
#include "quant/codecs.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {

class SmallPlan {
 public:
  SmallPlan() {
    make_shard("a.safetensors", 0,
               {{100}, {"a", DType::F32, 32, 64}, {5000}, {"e0", DType::BF16, 64, 16}, {"q", DType::F16, 32, 32}, {77}});
    make_shard("b.safetensors", 1, {{100}, {"e1", DType::BF16, 64, 16}, {"n", DType::F32, 33, 1}});
    add_tensor("plain.weight", GgmlType::Q8_0, {32, 64}, {{0, 0, 64}});
    add_tensor("blk.0.ffn_up_exps.weight", GgmlType::Q4_0, {64, 16, 2}, {{1, 0, 16}, {3, 16, 16}});
    add_tensor("blk.0.attn_q.weight", GgmlType::F16, {32, 32}, {{2, 0, 32}});
    plan.tensors.back().row_map = {.group = {{4, 32}, {2, 4 * 32}}, .columns = {}, .group_stride = 8 * 32};  // heads of 8 rows
    add_tensor("norm.weight", GgmlType::F32, {33}, {{4, 0, 1}});
    plan.stem = "out";
    plan.recipe_name = "by-hand";
    plan.architecture = "none";
    finish();
  }

  // After a change of what the plan says.
  void finish() {
    Metadata metadata;
    metadata.set("general.architecture", "none");
    lay_out(plan, metadata, {SplitOptions::Mode::kTensors, 0, 2});
    add_digest(plan);
  }

  std::string shard_bytes(size_t shard) const { return folder.read(plan.shards[shard].name); }

  TempFolder folder;
  Plan plan;

 private:
  struct Part {
    Part(uint64_t left_out_bytes) : left_out(left_out_bytes) {}
    Part(std::string n, DType d, uint64_t elems, uint64_t r) : name(std::move(n)), dtype(d), row_elems(elems), rows(r) {}
    uint64_t left_out = 0;
    std::string name;
    DType dtype = DType::F32;
    uint64_t row_elems = 0, rows = 0;
  };

  void make_shard(const std::string& file, uint32_t shard, const std::vector<Part>& parts) {
    std::string bytes;
    for (const Part& part : parts) {
      if (part.left_out > 0) {
        for (uint64_t i = 0; i < part.left_out; ++i) bytes += static_cast<char>(random_());
        continue;
      }
      SourceTensor source{.name = part.name,
                          .dtype = part.dtype,
                          .shape = {part.rows, part.row_elems},
                          .shard = shard,
                          .extent = {bytes.size(), part.rows * part.row_elems * info(part.dtype).bytes},
                          .elems_ = part.rows * part.row_elems};
      bytes += values(part.dtype, source.elems_);
      plan.sources.push_back({.name = source.name, .shape = source.shape, .codes = source});
    }
    const auto path = folder.write(file, bytes);
    plan.shards.push_back(
        {.name = file, .path = path, .id = InputFile(path).id(), .data_offset = 0, .header_hash = {}, .expected_sha256 = {}});
  }

  std::string values(DType dtype, uint64_t elems) {
    std::normal_distribution<float> normal(0, 0.05f);
    std::vector<float> floats(elems);
    for (float& f : floats) f = normal(random_);
    std::string bytes(elems * info(dtype).bytes, '\0');
    const GgmlType type = dtype == DType::F32 ? GgmlType::F32 : dtype == DType::F16 ? GgmlType::F16 : GgmlType::BF16;
    find_codec(type)->encode(floats, {}, std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
    return bytes;
  }

  void add_tensor(const std::string& name, GgmlType type, std::vector<uint64_t> ne, std::vector<Piece> pieces) {
    PlannedTensor t;
    t.name = name;
    t.type = type;
    t.ne = std::move(ne);
    t.pieces = std::move(pieces);
    t.tensor_class = classify(name, -1);
    t.reason = "by hand";
    plan.tensors.push_back(std::move(t));
  }

  std::mt19937 random_{7};
};

}  // namespace ggufmill
