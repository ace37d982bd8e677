// `inspect`: what is in a checkpoint, a GGUF file or split, or an importance matrix.
#pragma once

#include <filesystem>
#include <iostream>

namespace ggufmill {

struct InspectOptions {
  std::filesystem::path path = {};  // a hub name is resolved before
  bool json = false;
  bool verbose = false;  // every key and tensor, nothing cut
  bool scales = false;   // ranges of all scales of a quantized checkpoint, however many
};

// Prints to `out`; kOk. Throws kBadInput for a path that holds none of them.
int run_inspect(const InspectOptions& options, std::ostream& out = std::cout);

}  // namespace ggufmill
