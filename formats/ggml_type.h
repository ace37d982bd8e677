// The types of tensor data that GGUF files hold: ids, names and block layouts (ggml.h and ggml-common.h, llama.cpp b10573).
//
// Every type is a sequence of blocks of fixed size; a row is a whole number of blocks. What a type can do beyond its layout
// (decode, encode) is quant/codecs.cc's table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ggufmill {

// clang-format off
enum class GgmlType : uint32_t {
  F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q8_1 = 9,
  Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14, Q8_K = 15,
  IQ2_XXS = 16, IQ2_XS = 17, IQ3_XXS = 18, IQ1_S = 19, IQ4_NL = 20, IQ3_S = 21, IQ2_S = 22, IQ4_XS = 23,
  I8 = 24, I16 = 25, I32 = 26, I64 = 27, F64 = 28, IQ1_M = 29, BF16 = 30, TQ1_0 = 34, TQ2_0 = 35,
  MXFP4 = 39, NVFP4 = 40, Q1_0 = 41, Q2_0 = 42,
};
// clang-format on

struct GgmlTypeInfo {
  GgmlType type;
  std::string_view name;  // upper case, as in ggml: "Q4_K"
  uint32_t block_elems;   // values per block
  uint32_t block_bytes;
  double bits_per_weight() const { return 8.0 * block_bytes / block_elems; }
};

// All known types, by id.
std::span<const GgmlTypeInfo> ggml_types();
// nullptr where the id is not a type (removed, unknown, an attacker's).
const GgmlTypeInfo* find_ggml_type(uint32_t id);
// Any case; nullptr where no type has that name.
const GgmlTypeInfo* find_ggml_type(std::string_view name);
// `type` must be a value of the enum.
const GgmlTypeInfo& info(GgmlType type);
inline std::string_view name(GgmlType type) { return info(type).name; }

// Bytes of `rows` rows of `row_elems` values; nullopt if a row is not whole blocks or the size overflows.
std::optional<uint64_t> tensor_bytes(GgmlType type, uint64_t row_elems, uint64_t rows);

}  // namespace ggufmill
