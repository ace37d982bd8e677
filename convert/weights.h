// The weights of a checkpoint: each tensor with all that belongs to it. Quantized checkpoints spread a matrix over several
// tensors (codes, scales of its groups, a scale of the whole) under names that differ by tool. Here they become one Weight that
// has the name and shape of the unquantized checkpoint's tensor, so that nothing above (the rules of an architecture, recipes,
// the encoders) knows the difference. Companions may lie in other shards.
//
// What a tensor is follows from its dtype and the companions that stand beside it (weight_forms.cc); what config.json says of it
// is checked (quantization_config.h), never believed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/finding.h"
#include "formats/ggml_type.h"
#include "quant/source_codes.h"

namespace ggufmill {

// Which values share a scale.
enum class ScaleGroups : uint8_t {
  kColumns,   // runs of a row: WeightForm::group_elems, or as many as the scales' shape says where that is 0
  kAnyShape,  // what the scales' shape says: the whole tensor, one per matrix, per row, or blocks of a grid
};

struct CodesDType {
  DType dtype = DType::BOOL;  // BOOL: an unused entry
  SourceCodes codes = SourceCodes::kE4M3;
};

// How a tool writes quantized weights. A row matches a tensor X whose codes are called X + codes_suffix and whose scales
// X + scales_suffix, both with one of the dtypes named here.
struct WeightForm {
  std::string_view name;  // "NVFP4"
  std::array<CodesDType, 2> codes_dtypes;
  std::array<DType, 3> scales_dtypes;
  std::string_view codes_suffix;
  std::string_view scales_suffix;
  std::string_view name_suffix = ".weight";  // what the unquantized tensor is called instead
  ScaleGroups groups = ScaleGroups::kColumns;
  uint32_t group_elems = 0;
  std::string_view tensor_scale_suffix = "";  // a scale of the whole tensor; must be there where it has a name
  bool tensor_scale_divides = false;          // values are divided by it
  std::string_view input_scale_suffix = "";   // of the activations; may be missing
  std::string_view shape_suffix = "";         // a tensor that holds the shape of the values
  bool codes_in_blocks = false;               // codes have one more dimension: [..., columns / 32, 16 bytes]
  GgmlType as_auto = GgmlType::BF16;          // what llama.cpp's converter makes of it by default
};
std::span<const WeightForm> weight_forms();

// How scales of a dtype are coded (U8: E8M0); nullopt where no form has such scales.
std::optional<SourceScales> scales_of(DType dtype);

struct Weight {
  std::string name;                  // "...up_proj.weight", whatever the tensor of its codes is called
  std::vector<uint64_t> shape;       // of its values, outermost first
  SourceTensor codes;                // without a form the values themselves
  const WeightForm* form = nullptr;  // nullptr: plain numbers of codes.dtype
  SourceCodes code_kind = SourceCodes::kE4M3;
  std::optional<SourceTensor> scales =
      std::nullopt;  // of groups of group_rows x group_elems values; none: one of the whole tensor
  uint64_t group_rows = 1, group_elems = 1;
  std::optional<SourceTensor> tensor_scale = std::nullopt, input_scale = std::nullopt, stored_shape = std::nullopt;
  // Values of the two above, one or one per matrix, read by read_tensor_scales(): what values are multiplied with. Empty where
  // there are none.
  std::vector<float> tensor_scales = {}, input_scales = {};
  std::string problem = {};  // why it cannot be read; the model refuses it where it needs it

  uint64_t elems() const;
  uint64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  uint64_t rows_per_matrix() const { return shape.size() < 2 ? 1 : shape[shape.size() - 2]; }
  float tensor_scale_of(uint64_t row) const;  // of the matrix that holds the row; 1 without
  // "NVFP4, groups of 16", "FP8, blocks of 128x128", "BF16".
  std::string scheme() const;
  // "NVFP4", "BF16": what a recipe or a table calls it.
  std::string_view scheme_name() const { return form != nullptr ? form->name : ggufmill::name(codes.dtype); }
};

struct Weights {
  std::vector<Weight> all;           // by name
  std::vector<std::string> dropped;  // tensors that no converted model needs: scales of a quantized KV cache
};

// Binds every tensor of the checkpoint. `block` is the size of a scale's block where the config gives one.
struct BlockSize {
  uint64_t rows = 128, columns = 128;
};
Weights bind_weights(const Checkpoint& checkpoint, BlockSize block);

// Fills tensor_scales and input_scales of the weights that `used` names (indexes; none with a problem) and compares stored
// shapes. Reads by offset, near ones together. Findings, all errors: a scale of the whole that is zero, negative or no number, a
// stored shape that is not the codes'.
std::vector<Finding> find_tensor_scales(std::span<const Shard> shards, std::span<const uint32_t> used,
                                        std::vector<Weight>& weights);

// The same; throws one kBadInput that counts the findings and names the first.
void read_tensor_scales(std::span<const Shard> shards, std::span<const uint32_t> used, std::vector<Weight>& weights);

}  // namespace ggufmill
