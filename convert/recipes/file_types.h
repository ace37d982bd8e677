// llama.cpp's file types as presets of -r: the same type for every tensor as llama-quantize b10573 picks (src/llama-quant.cpp).
//
// The rules are in file_type_rules.h. Around them: the facts of a tensor, the tensors that llama-quantize leaves alone, and its
// stand-ins for types whose block does not divide a row. Left out: F16, BF16 and F32, which are presets of the converter, the
// options --pure, --output-tensor-type and --token-embedding-type (that is what -t is for), and its refusals: an importance
// matrix is never required, and a row that no stand-in's block divides becomes F16.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "convert/model.h"
#include "convert/recipes/file_type_rules.h"
#include "formats/ggml_type.h"

namespace ggufmill {

struct FileType {
  std::string_view name;      // "Q4_K_M"
  std::string_view alias;     // "Q4_K", "" without
  uint32_t number;            // general.file_type
  GgmlType type;              // of every quantized matrix that no rule names
  bool of_converter = false;  // the converter offers it too: its rounding
};
std::span<const FileType> file_types();
// By name or alias, any case; nullptr where unknown.
const FileType* find_file_type(std::string_view name);

struct FileTypeChoice {
  // Nothing: llama-quantize copies the tensor as the converter wrote it. Else what the rules want, and what the tensor gets: they
  // differ where rows are not whole blocks.
  std::optional<GgmlType> wanted;
  GgmlType type = GgmlType::F32;
  std::string_view reason;
  bool wants_imatrix = false;  // llama-quantize refuses this tensor without an importance matrix
};
// One per tensor of `model`, in its order.
std::vector<FileTypeChoice> choose_by_file_type(const FileType& file_type, const Model& model, bool has_imatrix);

}  // namespace ggufmill
