// `types`: what can be read and written, one row a type.
#pragma once

#include <iostream>

#include "cmd/measure.h"

namespace ggufmill {

struct TypesOptions {
  bool json = false;
  bool measure = false;
  MeasureOptionsText measuring = {};
};

// Prints every ggml type to `out`: bits per weight, values per block, whether it can be decoded and encoded, whether the encoder
// uses an importance matrix, whether it is a lossless container. kOk.
int run_types(const TypesOptions& options, std::ostream& out = std::cout);

}  // namespace ggufmill
