// Importance matrices in llama-imatrix's GGUF form, opened as an index: rows are read when they are asked for.
//
// Metadata: general.type "imatrix", imatrix.datasets arr[str], imatrix.chunk_count u32, imatrix.chunk_size u32. Per weight tensor
// W two F32 tensors: "W.in_sum2" ne [n_in, n_mat], sums of squared activations, and "W.counts" ne [1, n_mat], the number of
// tokens that each matrix (expert) saw. Source: llama.cpp b10573 tools/imatrix/imatrix.cpp and common/imatrix-loader.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/extent.h"
#include "formats/file.h"
#include "formats/hash.h"

namespace ggufmill {

struct ImatrixEntry {
  std::string tensor;         // GGUF name of the weight: "blk.1.ffn_up_exps.weight"
  uint64_t n_in = 0;          // columns
  uint64_t n_mat = 0;         // matrices (experts), 1 for a plain tensor
  Extent sums;                // f32 [n_mat][n_in]
  std::vector<float> counts;  // [n_mat]
};

class Imatrix {
 public:
  // Throws kBadInput for a file that is not an importance matrix or is inconsistent.
  explicit Imatrix(const std::filesystem::path& path);
  const ImatrixEntry* find(std::string_view tensor) const;
  std::span<const ImatrixEntry> entries() const { return entries_; }  // by tensor name
  std::span<const std::string> datasets() const { return datasets_; }
  uint64_t chunk_count() const { return chunk_count_; }
  const InputFile& file() const { return file_; }
  // Sums of squares of one matrix, n_in values. Thread-safe. NaN, Inf and negative sums are kBadInput naming tensor and column.
  void read_sums(const ImatrixEntry& entry, uint64_t mat, std::span<float> out) const;

 private:
  InputFile file_;
  std::vector<ImatrixEntry> entries_;
  std::vector<std::string> datasets_;
  uint64_t chunk_count_ = 0;
};

}  // namespace ggufmill
