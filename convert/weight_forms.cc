// How the tools that publish quantized checkpoints write a matrix X of [rows, columns] values. Sources: the tools' own exporters
// (NVIDIA ModelOpt, export/quant_utils.py; compressed-tensors, compressors; the inference code that publishers ship with their
// own) and llama.cpp b10573, conversion/base.py.
//
//   NVFP4  codes U8 [rows, columns / 2], two E2M1 a byte, low nibble first; scales E4M3 [rows, columns / 16], linear
//          ModelOpt:           X.weight,        X.weight_scale, X.weight_scale_2 (multiplies),      X.input_scale
//          compressed-tensors: X.weight_packed, X.weight_scale, X.weight_global_scale (divides),    X.input_global_scale
//          (divides)
//   MXFP4  the same codes; scales E8M0 [rows, columns / 32] as U8 or F8_E8M0; codes also as [rows, columns / 32, 16]
//   MXFP8  codes F8_E4M3 [rows, columns]; scales E8M0 [rows, columns / 32]
//   FP8    codes F8_E4M3 (or E5M2) [rows, columns]; scales of the tensor [], of rows [rows] or [rows, 1], or of blocks
//          [ceil(rows / 128), ceil(columns / 128)]. They multiply, weight_scale_inv too.
//   INT4   codes I32 [rows, columns / 8], low nibble first, value = code - 8; scales [rows, columns / 32]; X.weight_shape
// Matrices may be stacked: one more dimension in front, of codes and scales.
// Not here: zero points (asymmetric INT4), reordered columns (act-order), GPTQ and AWQ, ternary packs.
#include "convert/weights.h"

namespace ggufmill {
namespace {

constexpr CodesDType kNone{};
constexpr DType kNoDType = DType::BOOL;  // fills arrays of dtypes; no form has it

constexpr std::array kPairs = {CodesDType{DType::U8, SourceCodes::kE2M1}, kNone};
constexpr std::array kSignedPairs = {CodesDType{DType::I8, SourceCodes::kE2M1}, CodesDType{DType::U8, SourceCodes::kE2M1}};
constexpr std::array kEights = {CodesDType{DType::F8_E4M3, SourceCodes::kE4M3}, CodesDType{DType::F8_E5M2, SourceCodes::kE5M2}};
constexpr std::array kWords = {CodesDType{DType::I32, SourceCodes::kInt4}, kNone};
constexpr std::array kE4m3Scales = {DType::F8_E4M3, kNoDType, kNoDType};
constexpr std::array kE8m0Scales = {DType::F8_E8M0, kNoDType, kNoDType};
constexpr std::array kByteScales = {DType::U8, DType::F8_E8M0, kNoDType};  // E8M0, by whatever name
constexpr std::array kFloatScales = {DType::F32, DType::BF16, DType::F16};

// clang-format off
constexpr WeightForm kForms[] = {
    {.name = "NVFP4", .codes_dtypes = kPairs, .scales_dtypes = kE4m3Scales,
     .codes_suffix = ".weight", .scales_suffix = ".weight_scale", .group_elems = 16,
     .tensor_scale_suffix = ".weight_scale_2", .input_scale_suffix = ".input_scale", .as_auto = GgmlType::NVFP4},
    {.name = "NVFP4", .codes_dtypes = kPairs, .scales_dtypes = kE4m3Scales,
     .codes_suffix = "", .scales_suffix = "_weight_scale", .name_suffix = "", .group_elems = 16,
     .tensor_scale_suffix = "_weight_scale_2", .input_scale_suffix = "_input_scale", .as_auto = GgmlType::NVFP4},
    {.name = "NVFP4", .codes_dtypes = kPairs, .scales_dtypes = kE4m3Scales,
     .codes_suffix = ".weight_packed", .scales_suffix = ".weight_scale", .group_elems = 16,
     .tensor_scale_suffix = ".weight_global_scale", .tensor_scale_divides = true, .input_scale_suffix = ".input_global_scale",
     .as_auto = GgmlType::NVFP4},
    {.name = "MXFP4", .codes_dtypes = kPairs, .scales_dtypes = kByteScales,
     .codes_suffix = ".weight", .scales_suffix = ".weight_scale", .group_elems = 32, .as_auto = GgmlType::MXFP4},
    {.name = "MXFP4", .codes_dtypes = kPairs, .scales_dtypes = kByteScales,
     .codes_suffix = ".weight_packed", .scales_suffix = ".weight_scale", .group_elems = 32, .as_auto = GgmlType::MXFP4},
    {.name = "MXFP4", .codes_dtypes = kSignedPairs, .scales_dtypes = kE8m0Scales,
     .codes_suffix = ".weight", .scales_suffix = ".scale", .group_elems = 32, .as_auto = GgmlType::MXFP4},
    {.name = "MXFP4", .codes_dtypes = kPairs, .scales_dtypes = kByteScales,
     .codes_suffix = "_blocks", .scales_suffix = "_scales", .name_suffix = "", .group_elems = 32, .codes_in_blocks = true,
     .as_auto = GgmlType::MXFP4},
    {.name = "FP8", .codes_dtypes = kEights, .scales_dtypes = kFloatScales,
     .codes_suffix = ".weight", .scales_suffix = ".weight_scale", .groups = ScaleGroups::kAnyShape,
     .input_scale_suffix = ".input_scale"},
    {.name = "FP8", .codes_dtypes = kEights, .scales_dtypes = kFloatScales,
     .codes_suffix = "", .scales_suffix = "_weight_scale", .name_suffix = "", .groups = ScaleGroups::kAnyShape,
     .input_scale_suffix = "_input_scale"},
    {.name = "FP8", .codes_dtypes = kEights, .scales_dtypes = kFloatScales,
     .codes_suffix = ".weight", .scales_suffix = ".weight_scale_inv", .groups = ScaleGroups::kAnyShape,
     .input_scale_suffix = ".input_scale"},
    {.name = "FP8", .codes_dtypes = kEights, .scales_dtypes = kE8m0Scales,
     .codes_suffix = ".weight", .scales_suffix = ".weight_scale_inv", .groups = ScaleGroups::kAnyShape},
    {.name = "MXFP8", .codes_dtypes = kEights, .scales_dtypes = kByteScales,
     .codes_suffix = ".weight", .scales_suffix = ".weight_scale", .group_elems = 32},
    {.name = "FP8", .codes_dtypes = kEights, .scales_dtypes = kE8m0Scales,
     .codes_suffix = ".weight", .scales_suffix = ".scale", .groups = ScaleGroups::kAnyShape, .as_auto = GgmlType::Q8_0},
    {.name = "INT4", .codes_dtypes = kWords, .scales_dtypes = kFloatScales,
     .codes_suffix = ".weight_packed", .scales_suffix = ".weight_scale", .shape_suffix = ".weight_shape"},
};
// clang-format on

}  // namespace

std::span<const WeightForm> weight_forms() { return kForms; }

std::optional<SourceScales> scales_of(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return SourceScales::kF32;
    case DType::F16:
      return SourceScales::kF16;
    case DType::BF16:
      return SourceScales::kBF16;
    case DType::F8_E4M3:
      return SourceScales::kE4M3;
    case DType::U8:
    case DType::F8_E8M0:
      return SourceScales::kE8M0;
    default:
      return std::nullopt;
  }
}

}  // namespace ggufmill
