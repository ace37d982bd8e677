// Pre-tokenizer names (tokenizer.ggml.pre) and the structure that tokenizer.json must have for each.
//
// One regex can stand behind several names, so the family chooses the name and this table only confirms it. A structure is: the
// normalizer, then a Sequence of Splits (behavior Isolated, not inverted) with these patterns, then ByteLevel without a regex and
// without a prefix space. Patterns as in the models' own tokenizer.json. No normalizer fits every name, since llama.cpp applies
// none: with NFC it splits a text that is in NFC as Hugging Face does, and only such a text.
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
// Tekken with contractions as suffixes of words and numbers of up to three digits.
constexpr std::string_view kO200k =
    R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)re"
    R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)re"
    R"re(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
// Llama 3's with one digit at a time.
constexpr std::string_view kQwen2 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
// Qwen2's with marks as letters.
constexpr std::string_view kQwen35 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
// Numbers, then Han and kana, then the rest.
constexpr std::array<std::string_view, 3> kDeepSeekV3 = {
    R"re(\p{N}{1,3})re", "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+",
    R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)re"
    R"re( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re"};

struct Row {
  std::string_view name;                   // tokenizer.ggml.pre
  std::array<std::string_view, 3> splits;  // regexes in order, unused ones empty
  bool nfc = false;                        // the normalizer may be NFC
};
// "pixtral" stands twice: both structures are seen in conversions of its family.
constexpr Row kRows[] = {
    {"pixtral", {kTekken}},       {"pixtral", {kLlama3}},
    {"llama-bpe", {kLlama3}},     {"tekken", {kTekken}},
    {"glm4", {kLlama3}},          {"gpt-4o", {kO200k}},
    {"qwen2", {kQwen2}, true},    {"qwen35", {kQwen35}, true},
    {"deepseek-v3", kDeepSeekV3}, {"deepseek-r1-qwen", {kQwen2}, true},
};

Error unknown_structure(const JsonDocument& json, const std::string& why) {
  return Error(Exit::kBadInput, json.where() + ": " + why,
               "--pre NAME gives llama.cpp's name of a pre-tokenizer that splits text in the same way");
}

// A CR or LF may stand as itself or as its escape.
std::string with_escapes(std::string_view regex) {
  std::string text;
  for (const char c : regex) text += c == '\r' ? "\\r" : c == '\n' ? "\\n" : std::string(1, c);
  return text;
}

// The regex of a Split of the only form that the table knows.
std::string split_regex(const JsonDocument& json, element step) {
  const auto pattern = json_find(step, "pattern");
  const auto regex = pattern ? json_string(*pattern, "Regex") : std::nullopt;
  if (!regex || json_string(step, "behavior") != "Isolated" || json_bool(step, "invert").value_or(false)) {
    throw unknown_structure(json, "pre_tokenizer: unknown form of Split: " + printable(simdjson::minify(step), 400));
  }
  return with_escapes(*regex);
}

// Patterns of the Splits before the closing ByteLevel.
std::vector<std::string> split_patterns(const JsonDocument& json) {
  const auto pre = json_find(json.root(), "pre_tokenizer");
  if (!pre) throw unknown_structure(json, "pre_tokenizer: missing");
  const auto steps = json_find(*pre, "pretokenizers");
  simdjson::dom::array list;
  if (json_string(*pre, "type") != "Sequence" || !steps || steps->get_array().get(list)) {
    throw unknown_structure(json,
                            "pre_tokenizer: unknown structure, expected a Sequence: " + printable(simdjson::minify(*pre), 400));
  }
  std::vector<std::string> patterns;
  bool closed = false;
  for (const element step : list) {
    const auto type = json_string(step, "type");
    const bool byte_level = type == "ByteLevel" && !json_bool(step, "add_prefix_space").value_or(true) &&
                            !json_bool(step, "use_regex").value_or(true);
    if (closed || (type != "Split" && !byte_level)) {
      throw unknown_structure(
          json, "pre_tokenizer: unknown structure, expected Splits, then ByteLevel without regex and prefix space: " +
                    printable(simdjson::minify(step), 400));
    }
    if (byte_level)
      closed = true;
    else
      patterns.push_back(split_regex(json, step));
  }
  if (!closed) throw unknown_structure(json, "pre_tokenizer: unknown structure, no ByteLevel at its end");
  return patterns;
}

// Whether `row` allows the normalizer: none (or an empty Sequence), or NFC.
bool allows_normalizer(const Row& row, const JsonDocument& json) {
  const auto normalizer = json_find(json.root(), "normalizer");
  if (!normalizer) return true;
  const auto type = json_string(*normalizer, "type");
  simdjson::dom::array list;
  const auto steps = json_find(*normalizer, "normalizers");
  if (type == "Sequence" && steps && !steps->get_array().get(list)) return list.size() == 0;
  return type == "NFC" && row.nfc;
}

bool has_splits(const Row& row, const std::vector<std::string>& patterns) {
  size_t n = 0;
  while (n < row.splits.size() && !row.splits[n].empty()) ++n;
  return patterns.size() == n && std::equal(patterns.begin(), patterns.end(), row.splits.begin());
}

}  // namespace

std::string confirm_pre_tokenizer(const JsonDocument& json, const std::vector<std::string_view>& candidates) {
  const std::vector<std::string> patterns = split_patterns(json);
  for (const std::string_view candidate : candidates) {
    for (const Row& row : kRows) {
      if (row.name != candidate || !has_splits(row, patterns)) continue;
      if (allows_normalizer(row, json)) return std::string(candidate);
      throw unknown_structure(json, "normalizer: unknown for this family: " +
                                        printable(simdjson::minify(*json_find(json.root(), "normalizer")), 400));
    }
  }
  std::string shown, names;
  for (const std::string& pattern : patterns) shown += (shown.empty() ? "" : " then ") + printable(pattern, 400);
  for (const std::string_view candidate : candidates) names += (names.empty() ? "" : ", ") + std::string(candidate);
  throw unknown_structure(json,
                          "pre_tokenizer: split pattern unknown for this family (expected that of " + names + "): " + shown);
}

}  // namespace ggufmill
