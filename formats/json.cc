#include "formats/json.h"

#include <limits>
#include <utility>

#include "formats/error.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// A bare word and the text of the same length that stands for it. The quoted part begins with DEL (0x7f), a byte that JSON
// allows in strings and no real value has.
struct NonfiniteWord {
  std::string_view bare;
  std::string_view quoted;
  double value;
  std::string_view content() const { return quoted.substr(1, quoted.size() - 2); }
};

constexpr NonfiniteWord kNonfiniteWords[] = {
    {"Infinity", "\"\x7fInfin\"", std::numeric_limits<double>::infinity()},
    {"-Infinity", "\"\x7f-Infin\"", -std::numeric_limits<double>::infinity()},
    {"NaN", "\"\x7f\"", std::numeric_limits<double>::quiet_NaN()},
};
static_assert(
    [] {
      for (const NonfiniteWord& word : kNonfiniteWords) {
        if (word.bare.size() != word.quoted.size()) return false;
      }
      return true;
    }(),
    "the pass does not change the text's length");

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Position after the string that opens at text[open]; the text's size if it is not closed.
size_t after_string(std::string_view text, size_t open) {
  for (size_t i = open + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return text.size();
}

// Does text[begin, end) stand where a whole JSON value may: after '[', ',', ':' or nothing, before ',', ']', '}' or nothing?
bool is_whole_value(std::string_view text, size_t begin, size_t end) {
  while (begin > 0 && is_space(text[begin - 1])) --begin;
  while (end < text.size() && is_space(text[end])) ++end;
  const bool opens = begin == 0 || std::string_view("[,:").find(text[begin - 1]) != std::string_view::npos;
  const bool closes = end == text.size() || std::string_view(",]}").find(text[end]) != std::string_view::npos;
  return opens && closes;
}

const NonfiniteWord* nonfinite_word_at(std::string_view text, size_t position) {
  for (const NonfiniteWord& word : kNonfiniteWords) {
    if (text.substr(position, word.bare.size()) == word.bare && is_whole_value(text, position, position + word.bare.size())) {
      return &word;
    }
  }
  return nullptr;
}

// Is this run of digits an integer that neither int64 nor uint64 holds?
bool is_beyond_64_bits(std::string_view digits, bool negative) {
  const std::string_view largest = negative ? "9223372036854775808" : "18446744073709551615";
  return digits.size() != largest.size() ? digits.size() > largest.size() : digits > largest;
}

std::string reason_of(simdjson::error_code error) {
  std::string reason = simdjson::error_message(error);
  while (!reason.empty() && (reason.back() == '.' || reason.back() == ' ')) reason.pop_back();
  return reason;
}

}  // namespace

JsonDocument::JsonDocument(std::string text, std::string where)
    : parser_(std::make_unique<simdjson::dom::parser>()), where_(std::move(where)) {
  quote_bare_nonfinite(text);
  round_long_integers(text);
  root_ = parse_json(*parser_, text, where_);
}

JsonDocument JsonDocument::load(const std::filesystem::path& path, uint64_t max_bytes) {
  return JsonDocument(InputFile(path).read_text(max_bytes), path.native());
}

simdjson::dom::element parse_json(simdjson::dom::parser& parser, std::string& text, std::string_view where) {
  const auto fail = [&](Exit code, std::string_view reason) {
    return Error(code, printable(where, 4096) + ": not valid JSON: " + std::string(reason));
  };
  if (text.starts_with(kByteOrderMark)) throw fail(Exit::kBadInput, "the text starts with a byte order mark");
  const size_t bytes = text.size();
  text.resize(bytes + simdjson::SIMDJSON_PADDING);
  simdjson::dom::element root;
  simdjson::error_code error = parser.allocate(bytes, kMaxJsonDepth);
  if (!error) error = parser.parse(text.data(), bytes, /*realloc_if_needed=*/false).get(root);
  text.resize(bytes);
  if (error == simdjson::MEMALLOC) throw fail(Exit::kSystem, "out of memory for " + std::to_string(bytes) + " bytes");
  if (error == simdjson::DEPTH_ERROR) {
    throw fail(Exit::kBadInput, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
  }
  if (error) throw fail(Exit::kBadInput, reason_of(error));
  return root;
}

std::optional<simdjson::dom::element> json_find(simdjson::dom::element object, std::string_view key) {
  simdjson::dom::object fields;
  if (object.get(fields)) return std::nullopt;
  std::optional<simdjson::dom::element> found;
  for (const auto field : fields) {
    if (field.key == key) found = field.value;
  }
  return found && !found->is_null() ? found : std::nullopt;
}

std::optional<int64_t> json_int(simdjson::dom::element object, std::string_view key) {
  const auto value = json_find(object, key);
  int64_t number;
  return value && !value->get(number) ? std::optional(number) : std::nullopt;
}

std::optional<double> json_double(simdjson::dom::element object, std::string_view key) {
  const auto value = json_find(object, key);
  return value ? json_double(*value) : std::nullopt;
}

std::optional<bool> json_bool(simdjson::dom::element object, std::string_view key) {
  const auto value = json_find(object, key);
  bool flag;
  return value && !value->get(flag) ? std::optional(flag) : std::nullopt;
}

std::optional<std::string_view> json_string(simdjson::dom::element object, std::string_view key) {
  const auto value = json_find(object, key);
  std::string_view text;
  return value && !value->get(text) ? std::optional(text) : std::nullopt;
}

std::optional<double> json_double(simdjson::dom::element value) {
  double number;
  if (!value.get(number)) return number;  // simdjson converts integers too
  std::string_view text;
  if (value.get(text)) return std::nullopt;
  for (const NonfiniteWord& word : kNonfiniteWords) {
    if (text == word.content()) return word.value;
  }
  return std::nullopt;
}

void quote_bare_nonfinite(std::string& text) {
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '"') {
      i = after_string(text, i);
      continue;
    }
    const bool may_start = text[i] == 'I' || text[i] == 'N' || text[i] == '-';
    const NonfiniteWord* word = may_start ? nonfinite_word_at(text, i) : nullptr;
    if (word != nullptr) text.replace(i, word->bare.size(), word->quoted);
    i += word != nullptr ? word->bare.size() : 1;
  }
}

void round_long_integers(std::string& text) {
  constexpr std::string_view kThousands = "e03";
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '"') {
      i = after_string(text, i);
      continue;
    }
    if (!is_digit(text[i])) {
      ++i;
      continue;
    }
    const bool negative = i > 0 && text[i - 1] == '-';
    const size_t digits = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    if (is_beyond_64_bits(std::string_view(text).substr(digits, i - digits), negative) &&
        is_whole_value(text, negative ? digits - 1 : digits, i)) {
      text.replace(i - kThousands.size(), kThousands.size(), kThousands);
    }
  }
}

}  // namespace ggufmill
