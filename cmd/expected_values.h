// What verify compares an output with: the source checkpoint's tensors under their GGUF names.
#pragma once

#include <string>
#include <vector>

#include "verify/row_source.h"

namespace ggufmill {

// Opens SOURCE and picks the form (with the MTP block, without, only it) whose tensors are `tensor_names`. Throws kBadInput for a
// source that cannot be read.
RowSource expected_values(const std::string& source, const std::vector<std::string>& tensor_names);

}  // namespace ggufmill
