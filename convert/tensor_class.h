// The classes that recipes, plans and reports speak of: a partition of a model's tensors by what they do.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ggufmill {

enum class TensorClass : uint8_t {
  kExperts,
  kSharedExperts,
  kRouter,
  kLatent,
  kAttention,
  kFfn,
  kSsm,
  kEmbeddings,
  kOutput,
  kNorms,
  kConv,
  kMtp,
  kOther,
};
inline constexpr size_t kTensorClasses = 13;

std::string_view name(TensorClass tensor_class);  // "shared_experts"
std::optional<TensorClass> find_tensor_class(std::string_view name);

// Block of a GGUF tensor name ("blk.12.attn_q.weight" -> 12), -1 where it has none.
int64_t block_of(std::string_view gguf_name);

// The class of a GGUF tensor name. In the MTP block (`mtp_block`, -1 for none) router, norms and conv keep their class and every
// other tensor, experts included, is kMtp.
TensorClass classify(std::string_view gguf_name, int64_t mtp_block);

}  // namespace ggufmill
