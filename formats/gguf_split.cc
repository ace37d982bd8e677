// Sets of GGUF files as llama.cpp splits them: STEM-00001-of-00007.gguf, 1-based, with split.no (0-based), split.count and
// split.tensors.count in every member; the first holds the model's metadata. Source: llama.cpp b10573 tools/gguf-split and
// src/llama-model-loader.cpp.
#include <algorithm>
#include <charconv>
#include <set>

#include "formats/error.h"
#include "formats/gguf.h"

namespace ggufmill {
namespace {

constexpr std::string_view kSuffix = ".gguf";
constexpr size_t kDigits = 5;
constexpr size_t kMaxNamesListed = 20;

std::optional<uint32_t> five_digits(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.size() != kDigits || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string five_digits(uint32_t value) {
  const std::string digits = std::to_string(value);
  return std::string(kDigits - std::min(kDigits, digits.size()), '0') + digits;
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& why) {
  throw Error(Exit::kBadInput, printable(path.filename().string()) + ": " + why);
}

void require_all(const GgufSplitName& split, const std::vector<std::filesystem::path>& paths) {
  std::string missing;
  size_t n_missing = 0;
  for (const auto& path : paths) {
    std::error_code error;
    if (std::filesystem::exists(path, error)) continue;
    if (++n_missing <= kMaxNamesListed) missing += (n_missing == 1 ? "" : ", ") + printable(path.filename().string());
  }
  if (n_missing == 0) return;
  if (n_missing > kMaxNamesListed) missing += " and " + std::to_string(n_missing - kMaxNamesListed) + " more";
  throw Error(Exit::kBadInput, printable(split.stem) + kSuffix.data() + ": " + std::to_string(n_missing) + " of " +
                                   std::to_string(split.count) + " files of the split are missing: " + missing);
}

// The unsigned value of a split key; other types than unsigned or non-negative integers are an error, nullopt where missing.
std::optional<uint64_t> split_key(const std::filesystem::path& path, const Metadata& metadata, std::string_view key) {
  const MetadataValue* value = metadata.find(key);
  const auto number = metadata.find_uint(key);
  if (value != nullptr && !number)
    fail(path, std::string(key) + " is " + type_name(*value) + " " + to_text(*value) + ", not a count");
  return number;
}

void expect_key(const std::filesystem::path& path, const Metadata& metadata, std::string_view key, uint64_t expected) {
  const auto found = split_key(path, metadata, key);
  if (!found) fail(path, std::string(key) + " is missing, expected " + std::to_string(expected));
  if (*found != expected)
    fail(path, std::string(key) + " is " + std::to_string(*found) + ", expected " + std::to_string(expected));
}

void check_split_keys(const GgufSet& set) {
  uint64_t n_tensors = 0;
  std::set<std::string_view> names;
  for (size_t i = 0; i < set.headers.size(); ++i) {
    n_tensors += set.headers[i].tensors.size();
    for (const GgufTensor& t : set.headers[i].tensors) {
      if (!names.insert(t.name).second) fail(set.paths[i], quoted_tensor(t.name) + ": is in an earlier file of the split too");
    }
  }
  for (size_t i = 0; i < set.headers.size(); ++i) {
    expect_key(set.paths[i], set.headers[i].metadata, "split.no", i);
    expect_key(set.paths[i], set.headers[i].metadata, "split.count", set.headers.size());
  }
  for (size_t i = 0; i < set.headers.size(); ++i)
    expect_key(set.paths[i], set.headers[i].metadata, "split.tensors.count", n_tensors);
}

}  // namespace

std::optional<GgufSplitName> parse_split_name(const std::filesystem::path& path) {
  const std::string file = path.filename().string();
  constexpr std::string_view kOf = "-of-";
  constexpr size_t kTail = 1 + kDigits + kOf.size() + kDigits + kSuffix.size();  // -00001-of-00007.gguf
  if (file.size() <= kTail || !file.ends_with(kSuffix)) return std::nullopt;
  const std::string_view tail = std::string_view(file).substr(file.size() - kTail);
  const auto number = five_digits(tail.substr(1, kDigits));
  const auto count = five_digits(tail.substr(1 + kDigits + kOf.size(), kDigits));
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf || !number || !count) return std::nullopt;
  if (*number < 1 || *number > *count) return std::nullopt;
  return GgufSplitName{path.parent_path(), file.substr(0, file.size() - kTail), *number, *count};
}

std::string split_file_name(std::string_view stem, uint32_t number, uint32_t count) {
  return std::string(stem) + "-" + five_digits(number) + "-of-" + five_digits(count) + std::string(kSuffix);
}

GgufSet open_gguf_set(const std::filesystem::path& path) {
  const auto split = parse_split_name(path);
  GgufSet set;
  if (split) {
    for (uint32_t k = 1; k <= split->count; ++k)
      set.paths.push_back(split->folder / split_file_name(split->stem, k, split->count));
    require_all(*split, set.paths);
  } else {
    set.paths.push_back(path);
  }
  for (const auto& member : set.paths) set.headers.push_back(read_gguf_header(InputFile(member)));
  check_gguf_set(set);
  return set;
}

void check_gguf_set(const GgufSet& set) {
  const auto split = parse_split_name(set.paths[0]);
  const auto count = split_key(set.paths[0], set.headers[0].metadata, "split.count");
  if (split && (split->count > 1 || count)) {
    check_split_keys(set);
  } else if (count.value_or(0) > 1) {
    fail(set.paths[0], "split.count is " + std::to_string(*count) + ", but the name is not that of a split (" +
                           split_file_name("NAME", 1, static_cast<uint32_t>(std::min<uint64_t>(*count, 99999))) + ")");
  }
}

}  // namespace ggufmill
