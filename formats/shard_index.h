// Which files a checkpoint consists of: by model.safetensors.index.json, or by the names in the folder.
//
//   {"metadata": {"total_size": 1100000000000}, "weight_map": {"lm_head.weight": "model-00057-of-00057.safetensors", ...}}
//
// Source: transformers' sharded checkpoints. total_size is not looked at: published values differ from the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ggufmill {

constexpr std::string_view kShardIndexName = "model.safetensors.index.json";

struct ShardIndex {
  struct Place {
    std::string tensor;
    uint32_t shard;  // index into `shards`
  };
  std::vector<std::string> shards;  // by name, each once, each a plain file name
  std::vector<Place> places;        // by tensor name, each once
};

// Throws kBadInput where the file is not such an index, a tensor stands in it twice, or a shard's name is not a plain file
// name (see bad_shard_name); no shard has been opened then.
ShardIndex load_shard_index(const std::filesystem::path& file);

// Why `name` from an index must not be opened ("holds a path separator"), or nullopt. An index is an attacker's text, and
// "../../etc/passwd" in it would otherwise be read as weights.
std::optional<std::string> bad_shard_name(std::string_view name);

// Names of all files model*.safetensors in `names`, sorted: what a folder without an index consists of.
std::vector<std::string> model_shards(std::span<const std::string> names);

// Of names that count themselves (model-00002-of-00004.safetensors), those that the set lacks.
std::vector<std::string> missing_from_count(std::span<const std::string> shards);

}  // namespace ggufmill
