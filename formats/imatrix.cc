#include "formats/imatrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "formats/error.h"
#include "formats/gguf.h"

namespace ggufmill {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

[[noreturn]] void fail(const InputFile& file, const std::string& why) {
  throw Error(Exit::kBadInput, printable(file.path().filename().string()) + ": " + why);
}

void require_gguf(const InputFile& file) {
  std::array<char, 4> magic{};
  if (file.bytes() >= magic.size()) file.read_exact(0, std::as_writable_bytes(std::span(magic)));
  if (std::string_view(magic.data(), magic.size()) != "GGUF") {
    throw Error(Exit::kBadInput, printable(file.path().filename().string()) + ": not a GGUF importance matrix",
                "the older .dat form becomes one with llama-imatrix --in-file FILE.dat -o FILE.gguf");
  }
}

template <typename T>
const T& required(const InputFile& file, const Metadata& metadata, std::string_view key, std::string_view type) {
  const MetadataValue* value = metadata.find(key);
  if (value == nullptr) fail(file, std::string(key) + " is missing");
  const T* typed = std::get_if<T>(value);
  if (typed == nullptr) fail(file, std::string(key) + " is " + type_name(*value) + ", expected " + std::string(type));
  return *typed;
}

struct Halves {
  const GgufTensor* sums = nullptr;
  const GgufTensor* counts = nullptr;
};

// Pairs "W.in_sum2" with "W.counts" by W; tensors of other names are passed over, as llama.cpp does.
std::map<std::string, Halves> pair_tensors(const GgufHeader& header) {
  std::map<std::string, Halves> pairs;
  for (const GgufTensor& t : header.tensors) {
    if (t.name.ends_with(kSums)) pairs[t.name.substr(0, t.name.size() - kSums.size())].sums = &t;
    if (t.name.ends_with(kCounts)) pairs[t.name.substr(0, t.name.size() - kCounts.size())].counts = &t;
  }
  return pairs;
}

// [a, b] of a tensor with up to two dimensions.
std::array<uint64_t, 2> matrix_shape(const InputFile& file, const GgufTensor& t) {
  const uint64_t rows = t.rows();
  if (t.type != GgmlType::F32) fail(file, quoted_tensor(t.name) + " is " + std::string(name(t.type)) + ", expected F32");
  if (t.ne.size() > 2 && rows != t.ne[1]) fail(file, quoted_tensor(t.name) + " has more than two dimensions");
  return {t.ne[0], rows};
}

std::vector<float> read_counts(const InputFile& file, const GgufTensor& t) {
  std::vector<float> counts(t.elems());
  file.read_exact(t.extent.file_offset, std::as_writable_bytes(std::span(counts)));
  for (size_t i = 0; i < counts.size(); ++i) {
    if (!(counts[i] >= 0) || !std::isfinite(counts[i])) {
      fail(file, quoted_tensor(t.name) + ": count of matrix " + std::to_string(i) + " is " + std::to_string(counts[i]));
    }
  }
  return counts;
}

ImatrixEntry make_entry(const InputFile& file, const std::string& weight, const Halves& halves) {
  if (halves.sums == nullptr) fail(file, quoted_tensor(weight + std::string(kSums)) + " is missing");
  if (halves.counts == nullptr) fail(file, quoted_tensor(weight + std::string(kCounts)) + " is missing");
  const auto [n_in, n_mat] = matrix_shape(file, *halves.sums);
  const auto [one, n_counts] = matrix_shape(file, *halves.counts);
  if (one != 1 || n_counts != n_mat) {
    fail(file, quoted_tensor(halves.counts->name) + " has shape [" + std::to_string(one) + ", " + std::to_string(n_counts) +
                   "], expected [1, " + std::to_string(n_mat) + "]");
  }
  return {weight, n_in, n_mat, halves.sums->extent, read_counts(file, *halves.counts)};
}

}  // namespace

Imatrix::Imatrix(const std::filesystem::path& path) : file_(path) {
  require_gguf(file_);
  const GgufHeader header = read_gguf_header(file_);
  const auto& type = required<std::string>(file_, header.metadata, "general.type", "str");
  if (type != "imatrix") fail(file_, "general.type is \"" + printable(type) + "\", expected \"imatrix\"");
  datasets_ = required<std::vector<std::string>>(file_, header.metadata, "imatrix.datasets", "arr[str]");
  chunk_count_ = required<uint32_t>(file_, header.metadata, "imatrix.chunk_count", "u32");
  required<uint32_t>(file_, header.metadata, "imatrix.chunk_size", "u32");
  for (const auto& [weight, halves] : pair_tensors(header)) entries_.push_back(make_entry(file_, weight, halves));
  if (entries_.empty()) fail(file_, "has no importance data");
}

const ImatrixEntry* Imatrix::find(std::string_view tensor) const {
  const auto entry = std::ranges::lower_bound(entries_, tensor, {}, &ImatrixEntry::tensor);
  return entry != entries_.end() && entry->tensor == tensor ? &*entry : nullptr;
}

void Imatrix::read_sums(const ImatrixEntry& entry, uint64_t mat, std::span<float> out) const {
  const uint64_t row_bytes = entry.n_in * sizeof(float);
  file_.read_exact(entry.sums.file_offset + mat * row_bytes, std::as_writable_bytes(out.first(entry.n_in)));
  for (size_t i = 0; i < entry.n_in; ++i) {
    if (!(out[i] >= 0) || !std::isfinite(out[i])) {
      fail(file_, quoted_tensor(entry.tensor + std::string(kSums)) + ": matrix " + std::to_string(mat) + ", column " +
                      std::to_string(i) + " is " + std::to_string(out[i]) + ", expected a sum of squares");
    }
  }
}

}  // namespace ggufmill
