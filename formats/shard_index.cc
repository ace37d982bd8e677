// An index is read into two sorted lists; bad names are collected, so that one error tells all of them.
#include "formats/shard_index.h"

#include <algorithm>
#include <charconv>
#include <compare>
#include <map>
#include <set>
#include <utility>

#include "formats/error.h"
#include "formats/json.h"

namespace ggufmill {
namespace {

constexpr std::string_view kSuffix = ".safetensors";
constexpr uint64_t kMaxIndexBytes = 100'000'000;  // as a safetensors header; the index of 51,023 tensors has 5 MB
constexpr size_t kMaxFileNameBytes = 255;         // NAME_MAX of every common file system
constexpr size_t kMaxCountDigits = 5;             // what transformers writes; bounds the list of missing shards

// "model-00002-of-00004.safetensors" is number 2 of the set {"model-", width 5, 4}.
struct CountedSet {
  std::string prefix;
  size_t number_width = 0;
  std::string total_digits;
  auto operator<=>(const CountedSet&) const = default;

  std::string member(uint32_t number) const {
    const std::string digits = std::to_string(number);
    const size_t zeros = number_width > digits.size() ? number_width - digits.size() : 0;
    return prefix + std::string(zeros, '0') + digits + "-of-" + total_digits + std::string(kSuffix);
  }
};

std::optional<uint32_t> parse_count(std::string_view digits) {
  uint32_t value = 0;
  if (digits.empty() || digits.size() > kMaxCountDigits) return std::nullopt;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(value) : std::nullopt;
}

std::optional<std::pair<CountedSet, uint32_t>> parse_counted_name(std::string_view name) {
  constexpr std::string_view kOf = "-of-";
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  const size_t of = name.rfind(kOf);
  if (of == std::string_view::npos) return std::nullopt;
  const std::string_view total = name.substr(of + kOf.size());
  const size_t dash = name.substr(0, of).rfind('-');
  const size_t first_digit = dash == std::string_view::npos ? 0 : dash + 1;
  const auto number = parse_count(name.substr(first_digit, of - first_digit));
  if (!number || !parse_count(total)) return std::nullopt;
  return std::pair(CountedSet{std::string(name.substr(0, first_digit)), of - first_digit, std::string(total)}, *number);
}

// The weight map's entries as they stand, by tensor name; throws where a key or a value cannot be used.
std::vector<std::pair<std::string_view, std::string_view>> read_weight_map(simdjson::dom::element root,
                                                                           const std::string& where) {
  const auto fail = [&](const std::string& reason) { return Error(Exit::kBadInput, where + ": " + reason); };
  simdjson::dom::object fields;
  const auto weight_map = json_find(root, "weight_map");
  if (!weight_map || weight_map->get(fields)) throw fail("no object \"weight_map\"");
  std::vector<std::pair<std::string_view, std::string_view>> entries;
  std::vector<std::string> bad;
  for (const auto field : fields) {
    std::string_view shard;
    if (field.value.get(shard)) throw fail(quoted_tensor(field.key) + ": its shard is not a string");
    if (const auto reason = bad_shard_name(shard)) {
      bad.push_back(quoted_tensor(field.key) + ": shard name \"" + printable(shard) + "\" " + *reason);
    }
    entries.emplace_back(field.key, shard);
  }
  if (entries.empty()) throw fail("\"weight_map\" is empty");
  if (!bad.empty()) throw fail(listed(bad, 8, "; "));
  std::ranges::sort(entries);
  const auto twice = std::ranges::adjacent_find(entries, {}, [](const auto& entry) { return entry.first; });
  if (twice != entries.end()) throw fail(quoted_tensor(twice->first) + ": stands twice in the index");
  return entries;
}

}  // namespace

std::optional<std::string> bad_shard_name(std::string_view name) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (name.empty()) return "is empty";
  if (name.size() > kMaxFileNameBytes) {
    return "has " + std::to_string(name.size()) + " bytes, expected at most " + std::to_string(kMaxFileNameBytes);
  }
  if (std::ranges::any_of(name, is_control)) return "holds control characters";
  if (name.find_first_of("/\\") != std::string_view::npos) return "holds a path separator";
  if (name.find("..") != std::string_view::npos) return "holds \"..\"";
  if (name.find(':') != std::string_view::npos) return "holds a colon";
  if (!name.ends_with(kSuffix)) return "does not end in " + std::string(kSuffix);
  return std::nullopt;
}

ShardIndex load_shard_index(const std::filesystem::path& file) {
  const JsonDocument document = JsonDocument::load(file, kMaxIndexBytes);
  const auto entries = read_weight_map(document.root(), printable(document.where(), 4096));
  ShardIndex index;
  std::map<std::string_view, uint32_t> numbers;
  for (const auto& [tensor, shard] : entries) numbers.emplace(shard, 0);
  for (auto& [shard, number] : numbers) {
    number = static_cast<uint32_t>(index.shards.size());
    index.shards.emplace_back(shard);
  }
  index.places.reserve(entries.size());
  for (const auto& [tensor, shard] : entries) index.places.push_back({std::string(tensor), numbers.at(shard)});
  return index;
}

std::vector<std::string> model_shards(std::span<const std::string> names) {
  std::vector<std::string> shards;
  for (const std::string& name : names) {
    if (name.starts_with("model") && name.ends_with(kSuffix)) shards.push_back(name);
  }
  std::ranges::sort(shards);
  return shards;
}

std::vector<std::string> missing_from_count(std::span<const std::string> shards) {
  std::map<CountedSet, std::set<uint32_t>> sets;
  for (const std::string& name : shards) {
    if (const auto parsed = parse_counted_name(name)) sets[parsed->first].insert(parsed->second);
  }
  std::vector<std::string> missing;
  for (const auto& [set, present] : sets) {
    const uint32_t total = parse_count(set.total_digits).value();
    for (uint32_t number = 1; number <= total; ++number) {
      if (!present.contains(number)) missing.push_back(set.member(number));
    }
  }
  return missing;
}

}  // namespace ggufmill
