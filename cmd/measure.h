// `types --measure`: what each type's encoder is worth on this machine, beside ggml's where its library is given.
#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "convert/scale_tensors.h"
#include "quant/row_context.h"

namespace CLI {
class App;
}

namespace ggufmill {

struct MeasureOptionsText {
  std::string peer;                // libggml-base.so; "": ours alone
  std::string source;              // a checkpoint whose matrices are measured too
  std::vector<std::string> types;  // names; empty: all that can be written
  std::vector<std::string> data;   // gaussian, heavy, nvfp4; empty: all
  std::string effort = "default";
  std::string objective = "importance";
  float tensor_scale = kNvfp4Scale;
  size_t rows = 32;  // of each data set, at most of each matrix
  size_t columns = 4096;
  int rounds = 5;     // runs of each side; 0: errors alone
  bool each = false;  // every matrix of `source` by itself
  bool json = false;
  bool markdown = false;  // the page docs/quant-types.md
};

// The flags of the options above, but for --json. Answers their names, without dashes.
std::vector<std::string> add_measure_options(CLI::App& app, MeasureOptionsText& options);

// Prints one row per type and data set. Throws kUsage for unknown names, what GgmlPeer and Checkpoint throw otherwise.
void measure_types(const MeasureOptionsText& options, std::ostream& out);

}  // namespace ggufmill
