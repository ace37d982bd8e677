// A Hugging Face checkpoint: a folder with config.json, safetensors shards (with or without index) and tokenizer files, or a
// hub cache snapshot (symlinks into blobs/ named by SHA-256), or one .safetensors file with config.json beside it.
//
// Opening reads headers only and reports every missing, truncated or `.incomplete` shard in one error. Shard names in the
// index are relative file names without folders: anything else is refused before it is opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/file.h"
#include "formats/hash.h"
#include "formats/safetensors.h"

namespace ggufmill {

struct Shard {
  std::string name;  // as in the folder: "model-00001-of-00004.safetensors"
  std::filesystem::path path;
  FileId id;
  uint64_t data_offset = 0;
  Sha256 header_hash;
  std::optional<Sha256> expected_sha256;  // the hub's blob name, or the --local-dir metadata's etag, where that is one
};

struct SourceTensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;  // outermost first
  uint32_t shard = 0;           // index into Checkpoint::shards()
  Extent extent;                // absolute in the shard
  uint64_t elems() const { return elems_; }
  uint64_t elems_ = 1;
};

class Checkpoint {
 public:
  // `path` is an existing folder or .safetensors file. Throws kBadInput naming all that is wrong with the set of shards:
  // one line that lists every missing, truncated or incomplete shard, every index tensor that is in no shard, every
  // tensor that the index lacks (or places elsewhere), every tensor that is in two shards.
  explicit Checkpoint(const std::filesystem::path& path);

  const std::filesystem::path& folder() const { return folder_; }
  // The name for general.name and output files: the repository's ("models--org--NAME/snapshots/<hash>" gives NAME), else the
  // folder's, never a snapshot's hash.
  const std::string& model_name() const { return model_name_; }
  std::span<const Shard> shards() const { return shards_; }           // by name
  std::span<const SourceTensor> tensors() const { return tensors_; }  // by name
  const SourceTensor* find(std::string_view name) const;
  uint64_t source_bytes() const;  // sizes of all shards

  bool has_file(std::string_view name) const;  // small files: config.json, tokenizer.json, ...
  std::filesystem::path file(std::string_view name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
  std::string model_name_;
  std::vector<Shard> shards_;
  std::vector<SourceTensor> tensors_;
};

// Resolves SOURCE of the command line to a path: an existing path wins; else a hub repository name `org/name[@REV]` that the
// local hub cache holds (HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub, passed in as `hub_cache`): refs/main, else the only
// snapshot, else an error listing them. Nothing is downloaded.
std::filesystem::path resolve_source(std::string_view source, const std::filesystem::path& hub_cache);

}  // namespace ggufmill
