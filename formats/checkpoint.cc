// Opening in four steps, each of which reports all it finds before the next one starts: the names of the shards, their headers,
// tensors that stand twice, and the index against the tensors.
#include "formats/checkpoint.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "formats/error.h"
#include "formats/hub_cache.h"
#include "formats/shard_index.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

std::string where(const fs::path& path) { return printable(path.native(), 4096); }

Error bad_input(const fs::path& path, const std::string& reason, std::string hint = "") {
  return Error(Exit::kBadInput, where(path) + ": " + reason, std::move(hint));
}

std::vector<std::string> list_folder(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().native());
  }
  if (error) throw system_error(folder.native(), "cannot list the folder", error.value(), Exit::kBadInput);
  return names;
}

// Is there anything under this name, be it a dangling link?
bool exists_at_all(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found;
}

// What a set of shards consists of before any is opened.
struct ShardSet {
  std::vector<std::string> names;   // sorted
  std::optional<ShardIndex> index;  // its shards are `names`
};

ShardSet shards_of_folder(const fs::path& folder) {
  if (exists_at_all(folder / kShardIndexName)) {
    ShardIndex index = load_shard_index(folder / kShardIndexName);
    return {.names = index.shards, .index = std::move(index)};
  }
  const std::vector<std::string> files = list_folder(folder);
  std::vector<std::string> names = model_shards(files);
  if (names.empty()) {
    const bool pickled =
        std::ranges::any_of(files, [](const std::string& n) { return n.ends_with(".bin") || n.ends_with(".pt"); });
    throw bad_input(folder, std::string("no model*.safetensors and no ") + std::string(kShardIndexName),
                    pickled ? "only safetensors are read: convert the model's .bin files first" : download_hint(folder));
  }
  // The absent members of a counted set join it, and are reported with whatever else is wrong.
  const std::vector<std::string> missing = missing_from_count(names);
  names.insert(names.end(), missing.begin(), missing.end());
  std::ranges::sort(names);
  return {.names = std::move(names), .index = std::nullopt};
}

struct OpenedShard {
  Shard shard;
  std::vector<SafetensorsEntry> tensors;
};

// Throws kBadInput "NAME: REASON".
OpenedShard open_shard(const fs::path& folder, const std::string& name) {
  const fs::path path = folder / name;
  if (!exists_at_all(path)) throw bad_input(name, "missing");
  const InputFile file(path);
  SafetensorsHeader header = read_safetensors_header(file, name);
  return {.shard = {.name = name,
                    .path = path,
                    .id = file.id(),
                    .data_offset = header.data_offset,
                    .header_hash = header.header_hash,
                    .expected_sha256 = published_sha256(folder, name, file.id())},
          .tensors = std::move(header.tensors)};
}

// Opens all shards; what is wrong with any of them becomes one error.
std::vector<OpenedShard> open_shards(const fs::path& folder, std::span<const std::string> names) {
  std::vector<OpenedShard> opened;
  std::vector<std::string> problems;
  for (const std::string& name : names) {
    try {
      opened.push_back(open_shard(folder, name));
    } catch (const Error& error) {
      if (error.code() != Exit::kBadInput) throw;
      problems.push_back(error.message());
    }
  }
  if (problems.empty()) return opened;
  std::string message = problems.front();
  if (names.size() > 1) {
    message = std::to_string(problems.size()) + " of " + std::to_string(names.size()) +
              " shards cannot be used: " + listed(problems, 8, "; ");
  }
  const std::vector<std::string> unfinished = unfinished_downloads(folder);
  if (!unfinished.empty()) message += "; unfinished downloads: " + listed(unfinished);
  throw bad_input(folder, message, download_hint(folder));
}

// All tensors of all shards by name, equal names by shard.
std::vector<SourceTensor> sorted_tensors(std::vector<OpenedShard>& opened) {
  std::vector<SourceTensor> tensors;
  const auto count = [](size_t sum, const OpenedShard& s) { return sum + s.tensors.size(); };
  tensors.reserve(std::accumulate(opened.begin(), opened.end(), size_t{0}, count));
  for (uint32_t shard = 0; shard < opened.size(); ++shard) {
    for (SafetensorsEntry& entry : opened[shard].tensors) {
      const uint64_t elems = entry.elems();
      tensors.push_back({.name = std::move(entry.name),
                         .dtype = entry.dtype,
                         .shape = std::move(entry.shape),
                         .shard = shard,
                         .extent = entry.extent,
                         .elems_ = elems});
    }
    opened[shard].tensors = {};
  }
  std::ranges::sort(tensors, {}, [](const SourceTensor& t) { return std::pair<std::string_view, uint32_t>(t.name, t.shard); });
  return tensors;
}

// The four ways in which tensors and index can disagree, each a list of names.
struct Disagreements {
  std::vector<std::string> in_two_shards, in_no_shard, elsewhere, not_in_index;

  std::string message() const {
    const std::pair<const std::vector<std::string>*, std::string_view> rows[] = {
        {&in_two_shards, "in two shards"},
        {&in_no_shard, "in the index but not in their shard"},
        {&elsewhere, "not in the shard that the index names"},
        {&not_in_index, "in a shard but not in the index"},
    };
    std::string text;
    for (const auto& [names, what] : rows) {
      if (names->empty()) continue;
      if (!text.empty()) text += "; ";
      text += std::to_string(names->size()) + (names->size() == 1 ? " tensor " : " tensors ") + std::string(what) + ": " +
              listed(*names);
    }
    return text;
  }
};

void find_duplicates(std::span<const SourceTensor> tensors, std::span<const OpenedShard> opened, Disagreements& found) {
  const auto shard_of = [&](const SourceTensor& tensor) { return printable(opened[tensor.shard].shard.name); };
  for (size_t i = 1; i < tensors.size(); ++i) {
    if (tensors[i].name != tensors[i - 1].name) continue;
    found.in_two_shards.push_back(printable(tensors[i].name) + " (" + shard_of(tensors[i - 1]) + ", " + shard_of(tensors[i]) +
                                  ")");
  }
}

// One walk over both sorted lists. `shard` means the same on both sides: the shards are the index's, in its order.
void compare_with_index(std::span<const SourceTensor> tensors, const ShardIndex& index, Disagreements& found) {
  const auto name = [&](uint32_t shard) { return printable(index.shards[shard]); };
  size_t t = 0;
  for (const ShardIndex::Place& place : index.places) {
    for (; t < tensors.size() && tensors[t].name < place.tensor; ++t) {
      found.not_in_index.push_back(printable(tensors[t].name) + " (" + name(tensors[t].shard) + ")");
    }
    const size_t first = t;
    bool placed = false;
    for (; t < tensors.size() && tensors[t].name == place.tensor; ++t) placed = placed || tensors[t].shard == place.shard;
    if (t == first) {
      found.in_no_shard.push_back(printable(place.tensor) + " (" + name(place.shard) + ")");
    } else if (!placed) {
      found.elsewhere.push_back(printable(place.tensor) + " (index: " + name(place.shard) + ", found in " +
                                name(tensors[first].shard) + ")");
    }
  }
  for (; t < tensors.size(); ++t) found.not_in_index.push_back(printable(tensors[t].name) + " (" + name(tensors[t].shard) + ")");
}

}  // namespace

Checkpoint::Checkpoint(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const bool is_folder = fs::is_directory(status);
  if (!is_folder && !exists_at_all(path)) throw bad_input(path, "no such file or folder");
  if (!is_folder && path.extension() != ".safetensors") throw bad_input(path, "neither a folder nor a .safetensors file");
  folder_ = is_folder ? path : path.has_parent_path() ? path.parent_path() : fs::path(".");
  model_name_ = model_name_of(folder_);
  if (!has_file("config.json")) {
    throw bad_input(folder_, "no config.json (a model folder holds config.json beside its safetensors)", download_hint(folder_));
  }
  const ShardSet set = is_folder ? shards_of_folder(folder_) : ShardSet{{path.filename().native()}, std::nullopt};
  std::vector<OpenedShard> opened = open_shards(folder_, set.names);
  tensors_ = sorted_tensors(opened);
  Disagreements found;
  find_duplicates(tensors_, opened, found);
  if (set.index) compare_with_index(tensors_, *set.index, found);
  if (const std::string message = found.message(); !message.empty()) throw bad_input(folder_, message, download_hint(folder_));
  shards_.reserve(opened.size());
  for (OpenedShard& one : opened) shards_.push_back(std::move(one.shard));
}

const SourceTensor* Checkpoint::find(std::string_view name) const {
  const auto it = std::ranges::lower_bound(tensors_, name, {}, [](const SourceTensor& t) { return std::string_view(t.name); });
  return it != tensors_.end() && it->name == name ? &*it : nullptr;
}

uint64_t Checkpoint::source_bytes() const {
  return std::accumulate(shards_.begin(), shards_.end(), uint64_t{0},
                         [](uint64_t sum, const Shard& s) { return sum + s.id.bytes; });
}

bool Checkpoint::has_file(std::string_view name) const {
  std::error_code error;
  return fs::is_regular_file(folder_ / name, error);
}

}  // namespace ggufmill
