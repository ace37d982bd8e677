// An importance matrix in llama-imatrix's GGUF form with one entry, for the weight tensor "w".
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/imatrix.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {

// Sums [n_mat][n_in] and counts [n_mat], written to `folder`.
inline Imatrix imatrix_of(const TempFolder& folder, uint64_t n_in, const std::vector<float>& sums,
                          const std::vector<float>& counts) {
  Metadata metadata;
  metadata.set("general.type", "imatrix");
  metadata.set("imatrix.datasets", std::vector<std::string>{"calibration.txt"});
  metadata.set("imatrix.chunk_count", uint32_t{1});
  metadata.set("imatrix.chunk_size", uint32_t{512});
  const auto padded = [](uint64_t n) { return (n + 31) / 32 * 32; };
  const uint64_t n_mat = counts.size();
  const std::vector<GgufTensor> tensors = {{"w.in_sum2", GgmlType::F32, {n_in, n_mat}, {0, sums.size() * 4}},
                                           {"w.counts", GgmlType::F32, {1, n_mat}, {padded(sums.size() * 4), n_mat * 4}}};
  const auto header = gguf_header_bytes(metadata, tensors);
  std::string bytes(reinterpret_cast<const char*>(header.data()), header.size());
  for (const std::vector<float>* values : {&sums, &counts}) {
    std::string data(padded(values->size() * 4), '\0');
    std::memcpy(data.data(), values->data(), values->size() * 4);
    bytes += data;
  }
  return Imatrix(folder.write("i.gguf", bytes));
}

}  // namespace ggufmill
