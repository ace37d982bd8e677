// The vocabulary of tokenizer.json's BPE: tokens by id, their types, merges.
//
//   {"model": {"type": "BPE", "vocab": {"TOKEN": ID, ...}, "merges": [["A", "B"], ...] or ["A B", ...]},
//    "added_tokens": [{"id": 0, "content": "<unk>", "special": true, "normalized": false, ...}, ...], "decoder": ...}
//
// Byte-level: token texts stay in GPT-2's byte alphabet, but those of added tokens with "normalized": false are what
// decode(encode(text)) gives. Holes become [PAD<id>]. Ids are taken as they are written (Hugging Face's library renumbers added
// tokens behind a gap). Source: llama.cpp b10573, conversion/base.py get_vocab_base, gguf-py/gguf/vocab.py; tokenizers 0.22
// decoders/byte_level.
#include "convert/tokenizer/bpe_vocabulary.h"

#include <string>
#include <unordered_map>

namespace ggufmill {
namespace {

using simdjson::dom::element;

uint64_t checked_id(const JsonDocument& json, element value, std::string_view content, uint64_t n_tokens) {
  int64_t id = -1;
  if (value.get_int64().get(id) || id < 0) {
    throw bad_tokenizer(json, "token \"" + printable(content, 60) + "\": id is not a number from 0 on");
  }
  if (static_cast<uint64_t>(id) >= n_tokens) {
    throw bad_tokenizer(json, "token \"" + printable(content, 60) + "\": id " + std::to_string(id) + ", but the embedding has " +
                                  std::to_string(n_tokens) + " rows (vocab_size)");
  }
  return static_cast<uint64_t>(id);
}

std::vector<AddedToken> read_added_tokens(const JsonDocument& json, uint64_t n_tokens) {
  std::vector<AddedToken> added;
  const auto list = json_find(json.root(), "added_tokens");
  if (!list) return added;
  simdjson::dom::array entries;
  if (list->get_array().get(entries)) throw bad_tokenizer(json, "added_tokens: not a list");
  for (const element entry : entries) {
    const auto content = json_string(entry, "content");
    const auto id = json_find(entry, "id");
    if (!content || !id)
      throw bad_tokenizer(json, "added_tokens: entry " + std::to_string(added.size()) + " lacks content or id");
    added.push_back({checked_id(json, *id, *content, n_tokens), *content, json_bool(entry, "special").value_or(false),
                     json_bool(entry, "normalized").value_or(true)});
  }
  return added;
}

void place_added(const JsonDocument& json, const AddedToken& added, std::string (*unnormalized)(std::string_view),
                 Vocabulary& out) {
  const std::string& token = out.tokens[added.id];
  const bool same = out.types[added.id] == static_cast<int32_t>(TokenType::kNormal) && token == added.content;
  if (out.has(added.id) && !same) {
    throw bad_tokenizer(json, "token id " + std::to_string(added.id) + " is both \"" + printable(token, 60) + "\" and \"" +
                                  printable(added.content, 60) + "\"");
  }
  std::string text = added.normalized ? std::string(added.content) : unnormalized(added.content);
  const TokenType type = added_token_type(text, added.special);
  out.set(added.id, std::move(text), type);
}

void place_vocabulary(const JsonDocument& json, element model, const std::vector<AddedToken>& added, Vocabulary& out) {
  std::unordered_map<std::string_view, uint64_t> added_ids;
  for (const AddedToken& token : added) added_ids.emplace(token.content, token.id);
  simdjson::dom::object vocab;
  const auto found = json_find(model, "vocab");
  if (!found || found->get_object().get(vocab)) throw bad_tokenizer(json, "model.vocab: missing or not an object");
  for (const auto& [content, value] : vocab) {
    const uint64_t id = checked_id(json, value, content, out.tokens.size());
    if (out.has(id)) {
      throw bad_tokenizer(json, "token id " + std::to_string(id) + " is both \"" + printable(out.tokens[id], 60) + "\" and \"" +
                                    printable(content, 60) + "\"");
    }
    if (const auto same = added_ids.find(content); same != added_ids.end() && same->second != id) {
      throw bad_tokenizer(json, "token \"" + printable(content, 60) + "\" has two ids: " + std::to_string(id) + " and " +
                                    std::to_string(same->second));
    }
    out.set(id, std::string(content), TokenType::kNormal);
  }
}

// A space inside a part is written as its character of the byte alphabet.
void append_part(std::string& merge, std::string_view part) {
  for (const char c : part) {
    if (c == ' ')
      merge += "\u0120";
    else
      merge += c;
  }
}

}  // namespace

element bpe_model(const JsonDocument& json) {
  const auto model = json_find(json.root(), "model");
  if (!model) throw bad_tokenizer(json, "model: missing");
  const auto type = json_string(*model, "type");
  if (!type || *type != "BPE")
    throw bad_tokenizer(json, "model.type: found \"" + printable(type.value_or("")) + "\", expected BPE");
  for (const std::string_view field : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!json_string(*model, field).value_or("").empty())
      throw bad_tokenizer(json, "model." + std::string(field) + ": not empty, which GGUF cannot hold");
  }
  return *model;
}

Vocabulary read_bpe_tokens(const JsonDocument& json, uint64_t n_tokens, std::string (*unnormalized)(std::string_view)) {
  Vocabulary out(n_tokens);
  const std::vector<AddedToken> added = read_added_tokens(json, n_tokens);
  place_vocabulary(json, bpe_model(json), added, out);
  for (const AddedToken& token : added) place_added(json, token, unnormalized, out);
  out.fill_holes();
  return out;
}

std::vector<std::string> read_bpe_merges(const JsonDocument& json) {
  simdjson::dom::array list;
  const auto found = json_find(bpe_model(json), "merges");
  if (!found || found->get_array().get(list) || list.begin() == list.end())
    throw bad_tokenizer(json, "model.merges: missing or empty");
  std::vector<std::string> merges;
  merges.reserve(list.size());
  const bool pairs = list.at(0).is_array();
  for (const element entry : list) {
    std::string merge;
    std::string_view whole, left, right;
    simdjson::dom::array parts;
    if (!pairs && !entry.get_string().get(whole) && whole.find(' ', 1) != std::string_view::npos) {
      merge = whole;
    } else if (pairs && !entry.get_array().get(parts) && parts.size() == 2 && !parts.at(0).get_string().get(left) &&
               !parts.at(1).get_string().get(right)) {
      merge.reserve(left.size() + 1 + right.size());
      append_part(merge, left);
      merge += ' ';
      append_part(merge, right);
    } else {
      throw bad_tokenizer(
          json, "model.merges: entry " + std::to_string(merges.size()) + " is neither \"A B\" nor [\"A\", \"B\"] like the first");
    }
    merges.push_back(std::move(merge));
  }
  return merges;
}

Vocabulary read_byte_level_vocabulary(const JsonDocument& json, uint64_t n_tokens) {
  if (json_bool(bpe_model(json), "byte_fallback").value_or(false))
    throw bad_tokenizer(json, "model.byte_fallback: found true, expected byte-level BPE");
  const auto decoder = json_find(json.root(), "decoder");
  if (!decoder || json_string(*decoder, "type") != "ByteLevel") throw bad_tokenizer(json, "decoder.type: expected ByteLevel");
  Vocabulary out = read_bpe_tokens(json, n_tokens, byte_level_decoded);
  out.merges = read_bpe_merges(json);
  return out;
}

}  // namespace ggufmill
