// What GLM's families share: their vocabulary's special tokens.
#pragma once

#include <cstdint>

#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {

TokenizerRequest glm_tokenizer(uint64_t n_tokens);

}  // namespace ggufmill
