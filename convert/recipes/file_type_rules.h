// The rules of llama.cpp's file types ("Q4_K_M"): which type each tensor gets, first match wins.
//
// Source: llama_tensor_get_type_impl() in llama.cpp b10573, src/llama-quant.cpp. There the choice counts the tensors that it has
// seen; here a rule is a pure function of FileTypeFacts, in which the tensor's place stands. Falling back where rows are not
// whole blocks comes after the rules (file_types.h).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "formats/ggml_type.h"

namespace ggufmill {

// What a matrix is to llama-quantize, by its GGUF name. A tied embedding is kOutput.
enum class TensorRole : uint8_t {
  kOutput,
  kEmbeddings,
  kValues,  // attn_v, and what holds it: attn_qkv, attn_kv_b
  kKeys,
  kQueries,
  kAttnOutput,
  kDown,  // ffn_down of any kind: dense, routed and shared experts
  kGate,
  kUp,
  kOther,
};
inline constexpr size_t kTensorRoles = 10;
std::string_view name(TensorRole role);  // "attn_v, attn_qkv, attn_kv_b"

// Some roles; none stands for all.
class TensorRoles {
 public:
  constexpr TensorRoles(std::initializer_list<TensorRole> roles) {
    for (const TensorRole role : roles) bits_ |= 1u << static_cast<uint32_t>(role);
  }
  constexpr bool all() const { return bits_ == 0; }
  constexpr bool has(TensorRole role) const { return all() || (bits_ >> static_cast<uint32_t>(role) & 1) != 0; }
  constexpr bool has_all_of(TensorRoles other) const { return all() || (!other.all() && (other.bits_ & ~bits_) == 0); }

 private:
  uint32_t bits_ = 0;
};

// What llama-quantize knows of a tensor when it chooses.
struct FileTypeFacts {
  TensorRole role = TensorRole::kOther;
  uint32_t rank = 0;    // position among the quantized tensors of its role, by block then name
  uint32_t place = 0;   // with `places`, how deep in the model: values count themselves; ffn matrices count blocks, and their
  uint32_t places = 0;  // place is their own block where there are experts, else their rank
  bool whole_blocks = true;  // the rows are whole blocks of the file type's own type
  bool stacked = false;      // the matrices of several experts, as MXFP4_MOE sees it
  bool imatrix = false;
  uint32_t n_experts = 0;
  uint32_t heads_per_kv_head = 0;  // of block 0, rounded down; 0 where that block has no attention
  bool is_70b = false;
  bool is_falcon = false;
};

struct FileTypeCondition {
  std::string_view text;  // for people; "" for one that always holds
  bool (*holds)(const FileTypeFacts& facts);
};

struct FileTypeRule {
  std::string_view file_types;  // names with a blank between; "" for all
  TensorRoles roles;
  FileTypeCondition place, model;
  GgmlType type;
  std::string_view reason;
  bool applies_to(std::string_view file_type) const;
  bool matches(const FileTypeFacts& facts) const;
  bool is_catch_all() const { return roles.all() && place.text.empty() && model.text.empty(); }
};

// Of all file types, in order.
std::span<const FileTypeRule> file_type_rules();
// Of one file type, in order, without those whose tensors an earlier one takes.
std::vector<FileTypeRule> rules_of_file_type(std::string_view name);

}  // namespace ggufmill
