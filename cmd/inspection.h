// What `inspect` finds in a file or folder, as a value that the text and JSON printers share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "formats/finding.h"

namespace ggufmill {

// Of an importance matrix: the tokens that the matrices (experts) of a tensor saw.
struct SeenTokens {
  double least = 0;
  double most = 0;
  uint64_t never = 0;  // matrices without any
};

struct InspectedTensor {
  std::string name;
  std::string type;             // ggml type or safetensors dtype
  std::vector<uint64_t> shape;  // as the file has it: safetensors outermost first, GGUF innermost first
  uint64_t elems = 0;
  uint64_t bytes = 0;
  size_t file = 0;  // index into files
  std::optional<SeenTokens> seen = std::nullopt;
};

struct InspectedFile {
  std::string name;
  uint64_t bytes = 0;
};

struct InspectedKey {
  std::string name;
  std::string type;              // "u32", "arr[str]"; of config.json: "number", "string", ...
  nlohmann::ordered_json value;  // arrays above kMaxArrayShown elements: {"type", "length"}
  std::string text;              // one line for people
};

struct Inspection {
  std::string format;  // "safetensors", "gguf", "imatrix"
  std::string title;   // one line: what it is
  std::vector<InspectedKey> metadata;
  std::vector<InspectedFile> files;
  std::vector<InspectedTensor> tensors;
  std::vector<Finding> findings;
  uint64_t elems() const;  // weights in all tensors
  uint64_t tensor_bytes() const;
};

inline constexpr size_t kMaxArrayShown = 64;

// Opens `path`: a checkpoint (folder or .safetensors file), a GGUF file or split (any member, the stem, a folder with one set),
// an importance matrix. Throws kBadInput for anything else, kUsage for a folder with several sets.
Inspection inspect_path(const std::filesystem::path& path);

}  // namespace ggufmill
