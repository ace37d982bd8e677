// What byte-level BPE and Metaspace share in their reading of tokenizer.json.
#pragma once

#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {

// The object `model`; kBadInput where it is not BPE over whole characters.
simdjson::dom::element bpe_model(const JsonDocument& tokenizer);

// Tokens and types of model.vocab and added_tokens, holes filled. `unnormalized` gives the text of an added token with
// "normalized": false.
Vocabulary read_bpe_tokens(const JsonDocument& tokenizer, uint64_t n_tokens, std::string (*unnormalized)(std::string_view));

// model.merges as "left right"; a space inside a part is written as its character of the byte alphabet.
std::vector<std::string> read_bpe_merges(const JsonDocument& tokenizer);

}  // namespace ggufmill
