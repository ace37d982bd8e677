// Pre-tokenizer names (tokenizer.ggml.pre) and the structure that tokenizer.json must have for each.
//
// One regex can stand behind several names, so the family chooses the name and this table only confirms it. A structure is: no
// normalizer, then a Sequence of Splits (behavior Isolated, not inverted) with these patterns, then ByteLevel without a regex and
// without a prefix space. Patterns as in the models' own tokenizer.json.
#include <algorithm>
#include <array>

#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {
namespace {

using simdjson::dom::element;

constexpr std::string_view kLlama3 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kTekken = R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)re"
                                     R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)re"
                                     R"re(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

struct Row {
  std::string_view name;                   // tokenizer.ggml.pre
  std::array<std::string_view, 3> splits;  // regexes in order, unused ones empty
};
constexpr Row kRows[] = {
    {"pixtral", {kTekken}}, {"pixtral", {kLlama3}},  // seen in conversions of the same family
};

// The regex of a Split of the only form that the table knows.
std::string_view split_regex(const JsonDocument& json, element step) {
  const auto pattern = json_find(step, "pattern");
  const auto regex = pattern ? json_string(*pattern, "Regex") : std::nullopt;
  if (!regex || json_string(step, "behavior") != "Isolated" || json_bool(step, "invert").value_or(false)) {
    throw bad_tokenizer(json, "pre_tokenizer: unknown form of Split: " + printable(simdjson::minify(step), 400));
  }
  return *regex;
}

// Patterns of the Splits before the closing ByteLevel.
std::vector<std::string_view> split_patterns(const JsonDocument& json) {
  if (const auto normalizer = json_find(json.root(), "normalizer")) {
    throw bad_tokenizer(json, "normalizer: unknown for this family: " + printable(simdjson::minify(*normalizer), 400));
  }
  const auto pre = json_find(json.root(), "pre_tokenizer");
  if (!pre) throw bad_tokenizer(json, "pre_tokenizer: missing");
  const auto steps = json_find(*pre, "pretokenizers");
  simdjson::dom::array list;
  if (json_string(*pre, "type") != "Sequence" || !steps || steps->get_array().get(list)) {
    throw bad_tokenizer(json, "pre_tokenizer: unknown structure, expected a Sequence: " + printable(simdjson::minify(*pre), 400));
  }
  std::vector<std::string_view> patterns;
  bool closed = false;
  for (const element step : list) {
    const auto type = json_string(step, "type");
    const bool byte_level = type == "ByteLevel" && !json_bool(step, "add_prefix_space").value_or(true) &&
                            !json_bool(step, "use_regex").value_or(true);
    if (closed || (type != "Split" && !byte_level)) {
      throw bad_tokenizer(json,
                          "pre_tokenizer: unknown structure, expected Splits, then ByteLevel without regex and prefix space: " +
                              printable(simdjson::minify(step), 400));
    }
    if (byte_level)
      closed = true;
    else
      patterns.push_back(split_regex(json, step));
  }
  if (!closed) throw bad_tokenizer(json, "pre_tokenizer: unknown structure, no ByteLevel at its end");
  return patterns;
}

bool fits(const Row& row, const std::vector<std::string_view>& patterns) {
  size_t n = 0;
  while (n < row.splits.size() && !row.splits[n].empty()) ++n;
  return patterns.size() == n && std::equal(patterns.begin(), patterns.end(), row.splits.begin());
}

}  // namespace

std::string confirm_pre_tokenizer(const JsonDocument& json, const std::vector<std::string_view>& candidates) {
  const std::vector<std::string_view> patterns = split_patterns(json);
  for (const std::string_view candidate : candidates) {
    for (const Row& row : kRows) {
      if (row.name == candidate && fits(row, patterns)) return std::string(candidate);
    }
  }
  std::string shown, names;
  for (const std::string_view pattern : patterns) shown += (shown.empty() ? "" : " then ") + printable(pattern, 400);
  for (const std::string_view candidate : candidates) names += (names.empty() ? "" : ", ") + std::string(candidate);
  throw bad_tokenizer(json, "pre_tokenizer: split pattern unknown for this family (expected that of " + names + "): " + shown);
}

}  // namespace ggufmill
