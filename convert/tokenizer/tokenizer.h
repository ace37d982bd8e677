// Tokenizers as GGUF metadata: the `tokenizer.*` keys that llama.cpp's converter writes from tokenizer.json, tokenizer.model or
// tiktoken.model, tokenizer_config.json, config.json and the chat template files.
//
//   form           from                                             tokenizer.ggml.model  keys
//   byte-level     tokenizer.json, BPE on GPT-2's byte alphabet     gpt2                  tokens, token_type, merges
//   tiktoken       tiktoken.model, a token and its rank a line      gpt2                  tokens, token_type, merges
//   sentencepiece  tokenizer.model, a protobuf                      llama                 tokens, scores, token_type
//   Metaspace      tokenizer.json, sentencepiece's BPE (bytes as    llama                 tokens, scores, token_type
//                  tokens <0x00> to <0xFF>, U+2581 for a space)
//
// Source: llama.cpp b10573, conversion/base.py (get_vocab_base, _create_vocab_sentencepiece, _set_vocab_llama_hf),
// conversion/deepseek.py (Kimi) and gguf-py/gguf/vocab.py (SpecialVocab). Nothing is tokenized and no template is run: the
// pre-tokenizer is known by family and confirmed by the structure of tokenizer.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/error.h"
#include "formats/finding.h"
#include "formats/json.h"
#include "formats/metadata.h"

namespace ggufmill {

class Config;

// Eight times the largest vocabulary in use; a list of that length is some hundred MB.
inline constexpr uint64_t kMaxTokens = uint64_t{1} << 21;
// tokenizer.json of large vocabularies is 10 to 40 MB.
inline constexpr uint64_t kMaxTokenizerJsonBytes = uint64_t{256} << 20;
// tokenizer_config.json, chat templates: at most some hundred KB in practice.
inline constexpr uint64_t kMaxSmallFileBytes = uint64_t{16} << 20;

// Where an architecture's checkpoints have their vocabulary.
enum class TokenizerForm : uint8_t {
  kByteLevel,            // tokenizer.json
  kLlama,                // tokenizer.model, else tokenizer.json as Metaspace or byte-level BPE; tokenizer.ggml.add_space_prefix
  kSentencepiece,        // tokenizer.model
  kTiktoken,             // tiktoken.model
  kByteLevelOrTiktoken,  // tokenizer.json, else tiktoken.model
};

// What an architecture knows of its tokenizer.
struct TokenizerRequest {
  TokenizerForm form = TokenizerForm::kByteLevel;
  std::vector<std::string_view> pre_tokenizers = {};  // tokenizer.ggml.pre: the first whose structure tokenizer.json has
  std::string_view tiktoken_pre_tokenizer = "";       // the same for tiktoken.model, which does not show it
  uint64_t n_tokens = 0;                              // rows of the embedding; holes become [PAD<id>], more tokens are an error
  std::optional<bool> add_bos = {};                   // add_bos_token, whatever the files say
  bool expects_bos = false;                           // a finding where the files do not ask for it
  // Special tokens that the family names by text, in order: {"eot", "<|user|>"}. Ids that the files name win.
  std::vector<std::pair<std::string_view, std::string_view>> tokens_of_kinds = {};
  // Ids that the family fixes whatever the files say: {"pad", 0}.
  std::vector<std::pair<std::string_view, uint32_t>> ids_of_kinds = {};
  // A token whose presence tells names of one structure apart, and the name: {"<special>", "deepseek-r1-qwen"}.
  std::vector<std::pair<std::string_view, std::string_view>> pre_tokenizers_by_token = {};
  std::string given_chat_template = {};  // --chat-template: instead of the checkpoint's
  std::string given_pre_tokenizer = {};  // --pre: written as it is, and no structure is asked for
};

// Appends the tokenizer's keys. Throws kBadInput for a missing or inconsistent file or an unknown structure.
void add_tokenizer_metadata(const Checkpoint& checkpoint, const Config& config, const TokenizerRequest& request,
                            Metadata& metadata, std::vector<Finding>& findings);

// kBadInput "FILE: WHY".
Error bad_tokenizer(const JsonDocument& json, const std::string& why);

// token_type of GGUF.
enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// tokenizer.ggml.tokens and what belongs to each of them.
struct Vocabulary {
  std::vector<std::string> tokens;  // by id, n_tokens of them
  std::vector<int32_t> types;       // TokenType; 0 while a vocabulary is being read: no token yet
  std::vector<float> scores;        // sentencepiece and Metaspace: merges with high scores come first
  std::vector<std::string> merges;  // byte-level and tiktoken: "left right", in order of rank

  explicit Vocabulary(uint64_t n_tokens = 0) : tokens(n_tokens), types(n_tokens) {}
  void set(uint64_t id, std::string token, TokenType type) {
    tokens[id] = std::move(token);
    types[id] = static_cast<int32_t>(type);
  }
  bool has(uint64_t id) const { return types[id] != 0; }
  void fill_holes();  // [PAD<id>], unused
};

// tokenizer.json of byte-level BPE.
Vocabulary read_byte_level_vocabulary(const JsonDocument& tokenizer, uint64_t n_tokens);

// Whether tokenizer.json is sentencepiece's BPE: byte_fallback and a decoder of several steps.
bool is_metaspace(const JsonDocument& tokenizer);
// Its vocabulary; a token's score is minus the rank of the first merge that makes it.
Vocabulary read_metaspace_vocabulary(const JsonDocument& tokenizer, uint64_t n_tokens);
// Whether its first word is tokenized as if a space stood before it; kBadInput for an unknown normalizer or pre-tokenizer.
bool metaspace_adds_prefix(const JsonDocument& tokenizer);

// tokenizer.model; see sentencepiece_vocabulary.cc.
struct SentencepieceVocabulary {
  Vocabulary vocabulary;
  bool adds_prefix = true;  // normalizer_spec.add_dummy_prefix
};
SentencepieceVocabulary read_sentencepiece_vocabulary(const Checkpoint& checkpoint, const JsonDocument* tokenizer_config,
                                                      uint64_t n_tokens, std::vector<Finding>& findings);

// tiktoken.model; see tiktoken_vocabulary.cc.
Vocabulary read_tiktoken_vocabulary(const Checkpoint& checkpoint, const JsonDocument* tokenizer_config, uint64_t n_tokens);

// A token beside the vocabulary proper; the text lies in the document.
struct AddedToken {
  uint64_t id = 0;
  std::string_view content;
  bool special = false, normalized = false;
};
// added_tokens_decoder of tokenizer_config.json: {"ID": {"content": TEXT, "special": BOOL}, ...}.
std::vector<AddedToken> added_tokens_decoder(const JsonDocument& tokenizer_config);

// The type of an added token; one that is no control token has its U+2581 made spaces.
TokenType added_token_type(std::string& token, bool special);

// The candidate whose structure (normalizer, splits) `tokenizer` has; kBadInput showing the patterns where none fits.
std::string confirm_pre_tokenizer(const JsonDocument& tokenizer, const std::vector<std::string_view>& candidates);

// kUsage with the nearest name where llama.cpp knows no pre-tokenizer `name`.
void check_pre_tokenizer_name(std::string_view name);

// Special ids and add_*_token flags, in the order in which they are written. Kinds are bos, eos, unk, sep, pad, cls, mask, eot,
// eom.
struct SpecialTokens {
  std::vector<std::pair<std::string, uint32_t>> ids;
  std::vector<std::pair<std::string, bool>> add;
  bool has_id(std::string_view kind) const;
};
// The files may be null (no such file). Negative ids are findings and left out; so are ids from `n_tokens` on where
// `skip_beyond` is set, which else are kBadInput.
struct SpecialTokenSources {
  const JsonDocument *tokenizer = nullptr, *tokenizer_config = nullptr;
  uint64_t n_tokens = 0;
  bool skip_beyond = false;
};
SpecialTokens read_special_tokens(const SpecialTokenSources& sources, const Config& config, std::vector<Finding>& findings);

// The id of tokenizer.json's first added token of this text.
std::optional<uint32_t> added_token_id(const JsonDocument& tokenizer, std::string_view content);

// Adds tokenizer.chat_template (and the named templates) where the checkpoint has one; false where it has none.
bool add_chat_template(const Checkpoint& checkpoint, const JsonDocument& tokenizer_config, Metadata& metadata);
// A text file in UTF-8 with line ends as "\n"; kBadInput for another or a larger one than any template.
std::string read_chat_template(const std::filesystem::path& path);

// The text that tokenizers' byte-level decoder makes of one token: characters of GPT-2's byte alphabet become bytes, invalid
// UTF-8 becomes U+FFFD; a token with any other character stays as it is.
std::string byte_level_decoded(std::string_view token);
// The inverse: bytes as characters of the alphabet.
std::string byte_level_encoded(std::string_view bytes);

}  // namespace ggufmill
