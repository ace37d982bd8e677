// What convert and plan share: the options of a conversion, and the way from them to a plan.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "convert/model.h"
#include "convert/plan.h"
#include "formats/checkpoint.h"

namespace ggufmill {

// The flags of `convert` and `plan`, as given.
struct JobOptions {
  std::string source;
  std::string out;
  std::string recipe;
  std::vector<std::string> tensor_types;
  std::string tensor_type_file;
  std::string imatrix;
  bool keep_nvfp4 = false;
  bool keep_mxfp4 = false;
  bool fp8_as_q8 = false;
  std::string effort;
  std::string objective;
  std::string split_max_size;
  uint64_t split_max_tensors = 0;
  bool no_split = false;
  std::vector<std::string> metadata;
  bool vocab_only = false;
  std::string pre_tokenizer;
  std::string chat_template;
  bool no_mtp = false;
  bool mtp_only = false;
  bool no_source_hash = false;
  bool allow_nonfinite = false;
  bool break_lock = false;
  unsigned threads = 0;  // 0: all cores this process may use
  std::string memory = "512MiB";
  bool restart = false;
  bool force = false;
  bool json = false;
  bool quiet = false;
  bool verbose = false;
};

struct OutputPlace {
  std::filesystem::path folder;
  std::string stem;  // "" : named after model and recipe
};

// Throws kUsage where OUT is neither a .gguf path, an existing folder nor ends in '/'; creates the folder in the last case where
// `create` is set.
OutputPlace resolve_output(const std::string& out, bool create);

// A source that was opened and planned.
struct Job {
  Plan plan;
  OutputPlace place;  // folder "." without OUT
  unsigned threads = 1;
  uint64_t memory_bytes = 0;
};
Job open_job(const JobOptions& options, bool create_folder);

// The local hub cache as huggingface_hub finds it: HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME or ~/.cache, huggingface/hub.
std::filesystem::path hub_cache();

// Cores this process may use (affinity respected).
unsigned usable_cores();

}  // namespace ggufmill
