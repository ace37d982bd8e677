// GGUF, version 3, little-endian: reading and validating headers, building header bytes, sets of splits.
//
//   byte 0   magic        "GGUF"
//        4   version      u32     3 (2 is read too)
//        8   n_tensors    u64
//       16   n_kv         u64
//       24   n_kv x       key str, value type u32, value       (str = u64 length + UTF-8 bytes)
//            n_tensors x  name str, n_dims u32, dims u64 each (innermost first), type u32, offset u64
//            padding      zeros to general.alignment (32)
//            data         tensor k at its offset relative to here; each padded with zeros to the alignment
//
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and llama.cpp b10573 gguf.cpp, whose loader wants offsets
// equal to the running padded sum, names below 64 bytes, at most 4 dimensions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/extent.h"
#include "formats/file.h"
#include "formats/ggml_type.h"
#include "formats/metadata.h"

namespace ggufmill {

inline constexpr uint64_t kGgufAlignment = 32;
inline constexpr size_t kMaxGgufTensorName = 63;  // ggml's GGML_MAX_NAME is 64 with its NUL
inline constexpr size_t kMaxGgufDims = 4;
// The largest headers known (260,000 tokens with merges and a chat template) are about 20 MB: more is an attack on memory.
inline constexpr uint64_t kMaxGgufHeaderBytes = 256ull << 20;
// The specification's bound on keys.
inline constexpr uint64_t kMaxGgufKeyBytes = 65535;
// The specification wants multiples of 8, ggml powers of two; nothing needs more than a large page.
inline constexpr uint64_t kMinGgufAlignment = 8;
inline constexpr uint64_t kMaxGgufAlignment = 2ull << 20;

struct GgufTensor {
  std::string name;
  GgmlType type;
  std::vector<uint64_t> ne;  // innermost (row length) first, 1 to 4 dimensions
  Extent extent;             // absolute in the file, without padding
  uint64_t row_elems() const { return ne[0]; }
  uint64_t rows() const;
  uint64_t elems() const;
};

struct GgufHeader {
  uint32_t version = 3;
  uint64_t alignment = kGgufAlignment;
  Metadata metadata;
  std::vector<GgufTensor> tensors;  // in file order
  uint64_t header_end = 0;          // absolute, without padding
  uint64_t data_offset = 0;         // absolute
  uint64_t data_end = 0;            // absolute, after the last tensor's padding
  uint64_t file_bytes = 0;
};

// Throws kBadInput on anything that ggml's own loader would refuse or misread: counts and lengths against the bytes left,
// duplicate keys and names (in O(n log n)), dims, types, alignment, offsets, extents (padding included) past the end of the file;
// also keys, names and strings that are not UTF-8. Errors start with the file's name. Bytes after the last tensor's padding are
// allowed: `data_end` says where they begin. Memory is bounded by a small multiple of the header's own size.
GgufHeader read_gguf_header(const InputFile& file);

// The header's bytes (version 3), padded to the alignment: what stands before the data. `tensors` need name, type, ne, and extent
// relative to the data (file_offset 0 = first data byte), in file order at their running padded sum. An alignment other than 32
// must be in `metadata` as general.alignment u32. Promises that the caller breaks are asserts.
std::vector<std::byte> gguf_header_bytes(const Metadata& metadata, std::span<const GgufTensor> tensors,
                                         uint64_t alignment = kGgufAlignment);

struct GgufSplitName {
  std::filesystem::path folder;
  std::string stem;     // "model" of model-00001-of-00003.gguf
  uint32_t number = 0;  // 1-based
  uint32_t count = 0;
};
// llama.cpp's split naming, nullopt where the name has another form.
std::optional<GgufSplitName> parse_split_name(const std::filesystem::path& path);
std::string split_file_name(std::string_view stem, uint32_t number, uint32_t count);

// A file, or all files of a split of which `path` is any member: headers in order. Missing members are one kBadInput error that
// names them all; split.no, split.count and split.tensors.count are checked, and that no tensor is in two members.
struct GgufSet {
  std::vector<std::filesystem::path> paths;
  std::vector<GgufHeader> headers;
};
GgufSet open_gguf_set(const std::filesystem::path& path);
// The part of that which looks at all members together, given in order.
void check_gguf_set(const GgufSet& set);

}  // namespace ggufmill
