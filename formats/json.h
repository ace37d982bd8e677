// All JSON in: simdjson's DOM, which copies what it keeps, so that a document does not hold its text.
//
// Model files hold numbers that JSON or simdjson refuses. Two passes over the text, outside strings and without a change of
// its length, make them readable; both touch only what stands where a value may stand, so broken JSON stays broken.
//   Infinity, -Infinity, NaN (Super's time_step_limit)       -> "\x7fInfin", "\x7f-Infin", "\x7f": quoted, with a DEL in front
//                                                               that no real value has; json_double() reads them back
//   integers beyond 64 bits (1000000000000000019884624838656,   the last three digits become e03: a double that differs by
//   which transformers writes as model_max_length)              less than 1e-15 of its value
// Not accepted: a byte order mark, comments, trailing commas, lone surrogates.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ggufmill {

// Configs, tokenizers and safetensors headers nest less than 16 deep. The limit lets callers walk a document by recursion.
constexpr size_t kMaxJsonDepth = 64;

// A parsed document; its elements stay valid as long as it lives, also when it is moved.
class JsonDocument {
 public:
  // `where` names the file in errors. Throws kBadInput "WHERE: not valid JSON: REASON". Depth is limited to kMaxJsonDepth.
  JsonDocument(std::string text, std::string where);
  // Throws kBadInput also where the file is missing, not regular, or larger than max_bytes.
  static JsonDocument load(const std::filesystem::path& path, uint64_t max_bytes);
  simdjson::dom::element root() const { return root_; }
  const std::string& where() const { return where_; }

 private:
  std::unique_ptr<simdjson::dom::parser> parser_;
  simdjson::dom::element root_;
  std::string where_;
};

// Look-ups that answer nullopt where `object` is not an object, or the key is missing, null or of another type. Of a key that
// stands there twice the last value counts, as in Python, whose reading of configs is the reference.
std::optional<simdjson::dom::element> json_find(simdjson::dom::element object, std::string_view key);
std::optional<int64_t> json_int(simdjson::dom::element object, std::string_view key);    // integers only
std::optional<double> json_double(simdjson::dom::element object, std::string_view key);  // ints, floats, quoted Infinity/NaN
std::optional<bool> json_bool(simdjson::dom::element object, std::string_view key);
std::optional<std::string_view> json_string(simdjson::dom::element object, std::string_view key);

// The same reading of a number for an element at hand, such as one of an array.
std::optional<double> json_double(simdjson::dom::element value);

// The two passes, in place; see the top of this file.
void quote_bare_nonfinite(std::string& text);
void round_long_integers(std::string& text);

// simdjson's parse into `parser`, which owns the result: for readers that keep one parser for many small documents.
// `text` gets padding appended for the parse. Throws like JsonDocument.
simdjson::dom::element parse_json(simdjson::dom::parser& parser, std::string& text, std::string_view where);

}  // namespace ggufmill
