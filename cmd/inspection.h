// What `inspect` finds in a file or folder, as a value that the text and JSON printers share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "convert/scale_range.h"
#include "formats/finding.h"

namespace ggufmill {

// Of an importance matrix: the tokens that the matrices (experts) of a tensor saw.
struct SeenTokens {
  double least = 0;
  double most = 0;
  uint64_t never = 0;  // matrices without any
};

// Of a quantized weight.
struct InspectedWeight {
  std::string name;              // what the unquantized checkpoint calls it
  std::string kind;              // "NVFP4"
  std::string scheme;            // "NVFP4, groups of 16"
  std::vector<uint64_t> values;  // shape of its values, outermost first
  WeightScales scales;
};

struct InspectedTensor {
  std::string name;
  std::string type;             // ggml type or safetensors dtype
  std::vector<uint64_t> shape;  // as the file has it: safetensors outermost first, GGUF innermost first
  uint64_t elems = 0;           // weights: values of quantized codes, 0 of their scales
  uint64_t bytes = 0;
  size_t file = 0;  // index into files
  std::optional<SeenTokens> seen = std::nullopt;
  std::optional<InspectedWeight> weight = std::nullopt;  // whose codes it holds
  std::string scale_of = {};                             // the weight whose scale (or shape) it is
  std::string kind = {};                                 // what its bytes count for: `type`, or the kind of its weight
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

// The shortest decimal of a float, not of the double it becomes; JSON has no NaN and no infinity: "NaN", "-Infinity".
nlohmann::ordered_json number_json(float value);

// Opens `path`: a checkpoint (folder or .safetensors file), a GGUF file or split (any member, the stem, a folder with one set),
// an importance matrix. Throws kBadInput for anything else, kUsage for a folder with several sets. What is wrong with the scales
// of a quantized checkpoint is a finding. Their ranges are read where they are few (kMaxScaleBytes), or `all_scales` are wanted.
inline constexpr uint64_t kMaxScaleBytes = 1 << 30;
Inspection inspect_path(const std::filesystem::path& path, bool all_scales = false);

}  // namespace ggufmill
