// One safetensors file: an 8-byte little-endian header length n, n bytes of JSON, then the tensors' bytes.
//
//   byte 0      n       u64     length of the JSON header, at most 100,000,000 (the reference implementation's limit)
//        8      header  n bytes {"name": {"dtype": "BF16", "shape": [2,3], "data_offsets": [0,12]}, ..., "__metadata__": {}}
//        8+n    data    tensors, offsets relative to here; they tile the rest of the file without hole or overlap
//
// Source: https://github.com/huggingface/safetensors, README "Format" and tensor.rs. Stricter than that crate: duplicate keys,
// unknown fields, control characters in names and more than 8 dimensions are errors too. Only headers are read here.
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

enum class DType : uint8_t { BOOL, U8, I8, F8_E4M3, F8_E5M2, F8_E8M0, I16, U16, F16, BF16, I32, U32, F32, I64, U64, F64 };

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as in the header: "BF16"
  uint32_t bytes;
};
std::span<const DTypeInfo> dtypes();
const DTypeInfo& info(DType dtype);
inline std::string_view name(DType dtype) { return info(dtype).name; }

struct SafetensorsEntry {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;  // outermost first, as in PyTorch; [] is a scalar
  Extent extent;                // absolute in the file
  uint64_t elems() const;       // checked when the header was read
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  // by offset
  uint64_t data_offset = 0;               // 8 + n
  Sha256 header_hash;                     // of the first data_offset bytes
};

// Reads and validates the header against the file's size. Each defect is a kBadInput Error that names file, tensor and
// reason. An LFS pointer, an HTML page or an empty file in place of a shard is said to be that.
SafetensorsHeader read_safetensors_header(const InputFile& file, std::string_view display_name);

}  // namespace ggufmill
