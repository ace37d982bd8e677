// Where a model's metadata and tensors contradict each other: what a loader would refuse, or run as another model. Works on the
// header of any GGUF model, ours or another's; a vendor's once shipped with every head count zero, and loaded.
//
//   block_count            no tensor of a block beyond; none of the blocks before is empty, unless it has neither heads nor
//   feed-forward
//                          or is multi-token prediction (nextn_predict_layers) that stands in another file
//   nextn_predict_layers   the last so many blocks are the ones with nextn tensors
//   per-block arrays       head_count, head_count_kv, feed_forward_length: as many numbers as blocks
//   head_count, head_count_kv  not 0 in a block with attn_q, attn_k or attn_qkv; rows of the first two are whole heads
//   feed_forward_length    not 0 in a block with ffn_up
//   expert_count           the matrices of every *_exps tensor, at most the rows of its router; at least expert_used_count; 0
//   without any embedding_length       the rows' length of token_embd; its rows are as many as the vocabulary's tokens
// What a file does not say is not judged. Not here: shapes that follow from other keys, which the loader checks one by one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/finding.h"
#include "formats/metadata.h"

namespace ggufmill {

struct NamedShape {
  std::string_view name;
  std::span<const uint64_t> ne;  // innermost first
};

// All contradictions, errors each; empty for files that are no model (general.type imatrix, adapter, mmproj).
std::vector<Finding> find_contradictions(const Metadata& metadata, std::span<const NamedShape> tensors);

}  // namespace ggufmill
