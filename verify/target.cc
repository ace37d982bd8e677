#include "verify/target.h"

#include <map>
#include <set>

#include "formats/error.h"
#include "formats/gguf.h"
#include "formats/manifest.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGguf = ".gguf";

std::string without_suffix(const std::string& name, std::string_view suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

std::string text(const fs::path& path) { return printable(path.string(), 4096); }

VerifyTarget split_target(const fs::path& folder, const std::string& stem, uint32_t count) {
  VerifyTarget target{.folder = folder, .stem = stem};
  for (uint32_t k = 1; k <= count; ++k) target.files.push_back(split_file_name(stem, k, count));
  return target;
}

VerifyTarget file_target(const fs::path& file) {
  if (const auto split = parse_split_name(file)) return split_target(split->folder, split->stem, split->count);
  const std::string name = file.filename().string();
  return {.folder = file.parent_path(), .stem = without_suffix(name, kGguf), .files = {name}};
}

// GGUF sets of a folder by the name under which a user would give them: "NAME.gguf", "STEM.gguf (split in 3)".
std::map<std::string, VerifyTarget> sets_in(const fs::path& folder) {
  std::map<std::string, VerifyTarget> sets;
  std::set<std::string> stems, stems_of_checksums;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kGguf) && !fs::is_directory(entry.path())) {
      VerifyTarget target = file_target(folder / name);
      stems.insert(target.stem);
      const auto split = parse_split_name(name);
      const std::string key = split ? split->stem + ".gguf (split in " + std::to_string(split->count) + ")" : name;
      sets.emplace(key, std::move(target));
    }
    for (const std::string& suffix : {manifest_file_name(""), sha256sums_file_name("")}) {
      if (name.ends_with(suffix)) stems_of_checksums.insert(without_suffix(name, suffix));
    }
  }
  // Checksums whose files are all gone still stand for a set.
  for (const std::string& stem : stems_of_checksums) {
    if (!stems.contains(stem)) sets.emplace(stem + ".gguf (missing)", VerifyTarget{.folder = folder, .stem = stem});
  }
  return sets;
}

VerifyTarget only_set(std::map<std::string, VerifyTarget> sets, const fs::path& out) {
  if (sets.size() == 1) return std::move(sets.begin()->second);
  std::string names;
  for (const auto& [name, target] : sets) names += (names.empty() ? "" : ", ") + printable(name);
  throw Error(Exit::kUsage, text(out) + ": holds " + std::to_string(sets.size()) + " GGUF sets: " + names, "name one of them");
}

bool is_checkpoint(const fs::path& folder) {
  if (!fs::exists(folder / "config.json")) return false;
  if (fs::exists(folder / "model.safetensors.index.json")) return true;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") return true;
  }
  return false;
}

VerifyTarget folder_target(const fs::path& folder) {
  if (is_checkpoint(folder)) return {.is_checkpoint = true, .checkpoint = folder};
  auto sets = sets_in(folder);
  if (sets.empty()) {
    throw Error(Exit::kDifference, text(folder) + ": holds neither GGUF files nor a checkpoint (config.json and *.safetensors)");
  }
  return only_set(std::move(sets), folder);
}

// `out` does not exist: the stem of a split, or a set that is gone.
VerifyTarget stem_target(const fs::path& out) {
  const fs::path folder = out.has_parent_path() ? out.parent_path() : fs::path(".");
  const std::string stem = without_suffix(out.filename().string(), kGguf);
  std::map<std::string, VerifyTarget> sets;
  if (fs::is_directory(folder)) {
    sets = sets_in(folder);
    std::erase_if(sets, [&](const auto& set) { return set.second.stem != stem; });
  }
  if (sets.empty()) throw Error(Exit::kDifference, text(out) + ": no such file or folder, and no split of that name");
  return only_set(std::move(sets), out);
}

}  // namespace

VerifyTarget find_target(const fs::path& out) {
  try {
    const fs::file_status status = fs::status(out);
    if (fs::is_directory(status)) return folder_target(out);
    if (!fs::exists(status)) return parse_split_name(out) ? file_target(out) : stem_target(out);
    if (out.extension() == ".safetensors") return {.is_checkpoint = true, .checkpoint = out};
    return file_target(out);
  } catch (const fs::filesystem_error& error) {
    throw system_error(text(out), "cannot be read", error.code().value());
  }
}

}  // namespace ggufmill
