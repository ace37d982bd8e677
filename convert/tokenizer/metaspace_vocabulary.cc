// tokenizer.json of sentencepiece's BPE, for checkpoints without the tokenizer.model that it was made from.
//
//   {"model": {"type": "BPE", "byte_fallback": true, "vocab": {"<unk>": 0, "<0x00>": 3, "\u2581the": 278, ...}, "merges": ...},
//    "normalizer": {"type": "Sequence", "normalizers": [Prepend "\u2581", Replace " " by "\u2581"]}, "pre_tokenizer": null}
// or without a normalizer: "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split":
// false}
//
// llama.cpp merges by a token's score, Hugging Face's library by a pair's rank. The merges were made from the scores of
// tokenizer.model, best first, all pairs of a token together: so minus the rank of a token's first merge restores their order.
// llama.cpp's converter (b10573, gguf-py/gguf/vocab.py LlamaHfVocab) writes -1000 for every score, with which llama.cpp tokenizes
// otherwise than the source; and it makes added tokens that lie inside the vocabulary normal ones.
#include <unordered_map>

#include "convert/tokenizer/bpe_vocabulary.h"

namespace ggufmill {
namespace {

using simdjson::dom::element;

constexpr std::string_view kSpace = "\u2581";
constexpr float kHoleScore = -10000;  // as of sentencepiece's holes

bool is_byte_token(std::string_view token) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f'); };
  return token.size() == 6 && token.starts_with("<0x") && hex(token[3]) && hex(token[4]) && token[5] == '>';
}

std::vector<float> scores_by_merges(const Vocabulary& vocabulary, const std::vector<std::string>& merges) {
  // What no merge makes comes last.
  std::vector<float> scores(vocabulary.tokens.size(), -static_cast<float>(merges.size()));
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const auto type = static_cast<TokenType>(vocabulary.types[id]);
    if (type == TokenType::kNormal) ids.emplace(vocabulary.tokens[id], id);
    if (type == TokenType::kByte || type == TokenType::kControl) scores[id] = 0;
    if (type == TokenType::kUnused) scores[id] = kHoleScore;
  }
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    std::string token = merges[rank];
    token.erase(token.find(' ', 1), 1);
    if (const auto found = ids.find(token); found != ids.end()) {
      scores[found->second] = -static_cast<float>(rank);
      ids.erase(found);  // the first merge counts
    }
  }
  return scores;
}

Error unknown_structure(const JsonDocument& json, const std::string& field, element found) {
  return Error(
      Exit::kBadInput,
      json.where() + ": " + field + ": unknown for a vocabulary with byte_fallback: " + printable(simdjson::minify(found), 400),
      "--pre default takes it as sentencepiece's BPE with a space before the first word");
}

bool is_prepend(element step) { return json_string(step, "type") == "Prepend" && json_string(step, "prepend") == kSpace; }

bool is_replace(element step) {
  const auto pattern = json_find(step, "pattern");
  return json_string(step, "type") == "Replace" && pattern && json_string(*pattern, "String") == " " &&
         json_string(step, "content") == kSpace;
}

}  // namespace

bool is_metaspace(const JsonDocument& json) {
  const auto model = json_find(json.root(), "model"), decoder = json_find(json.root(), "decoder");
  return model && decoder && json_bool(*model, "byte_fallback").value_or(false) && json_string(*decoder, "type") == "Sequence";
}

Vocabulary read_metaspace_vocabulary(const JsonDocument& json, uint64_t n_tokens) {
  Vocabulary out = read_bpe_tokens(json, n_tokens, [](std::string_view token) { return std::string(token); });
  for (size_t id = 0; id < out.tokens.size(); ++id) {
    if (out.types[id] == static_cast<int32_t>(TokenType::kNormal) && is_byte_token(out.tokens[id]))
      out.types[id] = static_cast<int32_t>(TokenType::kByte);
  }
  out.scores = scores_by_merges(out, read_bpe_merges(json));
  return out;
}

bool metaspace_adds_prefix(const JsonDocument& json) {
  bool prefix = false, spaces = false;
  if (const auto normalizer = json_find(json.root(), "normalizer")) {
    simdjson::dom::array steps;
    const auto list = json_find(*normalizer, "normalizers");
    if (list && list->get_array().get(steps)) throw unknown_structure(json, "normalizer", *normalizer);
    if (!list) {
      if (!is_replace(*normalizer)) throw unknown_structure(json, "normalizer", *normalizer);
      spaces = true;
    } else {
      for (const element step : steps) {
        const bool prepend = is_prepend(step) && !spaces;
        if (!prepend && !is_replace(step)) throw unknown_structure(json, "normalizer", *normalizer);
        prefix |= prepend;
        spaces |= !prepend;
      }
    }
  }
  const auto pre = json_find(json.root(), "pre_tokenizer");
  if (!pre && !spaces) throw bad_tokenizer(json, "pre_tokenizer: missing, and no normalizer writes U+2581 for a space");
  if (!pre) return prefix;
  const std::string_view scheme = json_string(*pre, "prepend_scheme").value_or("");
  if (spaces || json_string(*pre, "type") != "Metaspace" || json_string(*pre, "replacement") != kSpace ||
      json_bool(*pre, "split").value_or(true) || (scheme != "first" && scheme != "always" && scheme != "never")) {
    throw unknown_structure(json, "pre_tokenizer", *pre);
  }
  return scheme != "never";
}

}  // namespace ggufmill
