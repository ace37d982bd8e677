// What llama-quantize b10573 knows of a model and its tensors when it chooses types by file type: by metadata, GGUF names,
// shapes.
#pragma once

#include <vector>

#include "convert/model.h"
#include "convert/recipes/file_type_rules.h"

namespace ggufmill {

// False for what llama-quantize copies as it is: one dimension, norms, routers, names that do not end in "weight".
bool llama_quantizes(const ModelTensor& tensor);

// One per tensor of `model`, in its order. `own_type` is the file type's own.
std::vector<FileTypeFacts> file_type_facts(const Model& model, GgmlType own_type, bool has_imatrix);

}  // namespace ggufmill
