// What all forms of vocabularies share: holes and added tokens.
#include <charconv>

#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {
namespace {

// Texts that mean a control token where a model's files forgot to say so.
bool looks_special(std::string_view token) {
  if (token == "<pad>" || token == "<mask>" || token == "<2mass>" || token == "[@BOS@]") return true;
  return (token.starts_with("<|") && token.ends_with("|>")) || (token.starts_with("<\uFF5C") && token.ends_with("\uFF5C>")) ||
         (token.starts_with("<unused") && token.ends_with(">"));
}

// U+2581, which sentencepiece writes for a space, becomes a space.
void put_spaces(std::string& token) {
  constexpr std::string_view kMark = "\u2581";
  for (size_t at = token.find(kMark); at != std::string::npos; at = token.find(kMark, at + 1))
    token.replace(at, kMark.size(), 1, ' ');
}

}  // namespace

TokenType added_token_type(std::string& token, bool special) {
  if (special || looks_special(token)) return TokenType::kControl;
  put_spaces(token);
  return TokenType::kUserDefined;
}

std::vector<AddedToken> added_tokens_decoder(const JsonDocument& json) {
  std::vector<AddedToken> added;
  const auto decoder = json_find(json.root(), "added_tokens_decoder");
  if (!decoder) return added;
  simdjson::dom::object tokens;
  if (decoder->get_object().get(tokens)) throw bad_tokenizer(json, "added_tokens_decoder: not an object");
  for (const auto& [key, value] : tokens) {
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    const auto content = json_string(value, "content");
    if (error != std::errc() || end != key.data() + key.size() || !content)
      throw bad_tokenizer(json, "added_tokens_decoder: entry \"" + printable(key, 60) + "\": expected an id with a content");
    token.content = *content;
    token.special = json_bool(value, "special").value_or(false);
    added.push_back(token);
  }
  return added;
}

void Vocabulary::fill_holes() {
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!has(id)) set(id, "[PAD" + std::to_string(id) + "]", TokenType::kUnused);
  }
}

}  // namespace ggufmill
