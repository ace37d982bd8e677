// Tokenizers as GGUF metadata: the `tokenizer.*` keys that llama.cpp's converter writes from tokenizer.json,
// tokenizer_config.json, config.json and the chat template files.
//
// Source: llama.cpp b10573, conversion/base.py (get_vocab_base) and gguf-py/gguf/vocab.py (SpecialVocab). Nothing is tokenized
// and no template is run: the pre-tokenizer is known by family and confirmed by the structure of tokenizer.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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

// What an architecture knows of its tokenizer.
struct TokenizerRequest {
  std::vector<std::string_view> pre_tokenizers;  // tokenizer.ggml.pre: the first whose structure tokenizer.json has
  uint64_t n_tokens = 0;                         // rows of the embedding; holes become [PAD<id>], more tokens are an error
  bool force_add_bos = false;                    // write add_bos_token true whatever the files say
};

// Appends the tokenizer's keys. Throws kBadInput for a missing or inconsistent file or an unknown structure.
void add_tokenizer_metadata(const Checkpoint& checkpoint, const Config& config, const TokenizerRequest& request,
                            Metadata& metadata, std::vector<Finding>& findings);

// kBadInput "FILE: WHY".
Error bad_tokenizer(const JsonDocument& json, const std::string& why);

// token_type of GGUF.
enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Byte-level BPE of tokenizer.json.
struct BpeVocabulary {
  std::vector<std::string> tokens;  // by id, n_tokens of them
  std::vector<int32_t> types;       // TokenType
  std::vector<std::string> merges;  // "left right", in order of rank
};
BpeVocabulary read_bpe_vocabulary(const JsonDocument& tokenizer, uint64_t n_tokens);

// The candidate whose structure (normalizer, splits) `tokenizer` has; kBadInput showing the patterns where none fits.
std::string confirm_pre_tokenizer(const JsonDocument& tokenizer, const std::vector<std::string_view>& candidates);

// Special ids and add_*_token flags, in the order in which they are written. Kinds are bos, eos, unk, sep, pad, cls, mask, eot,
// eom.
struct SpecialTokens {
  std::vector<std::pair<std::string, uint32_t>> ids;
  std::vector<std::pair<std::string, bool>> add;
};
// `tokenizer_config` may be null (no such file). Negative ids are findings; ids from `n_tokens` on are kBadInput.
SpecialTokens read_special_tokens(const JsonDocument& tokenizer, const JsonDocument* tokenizer_config, const Config& config,
                                  uint64_t n_tokens, std::vector<Finding>& findings);

// Adds tokenizer.chat_template (and the named templates) where the checkpoint has one.
void add_chat_template(const Checkpoint& checkpoint, const JsonDocument& tokenizer_config, Metadata& metadata);

// The text that tokenizers' byte-level decoder makes of one token: characters of GPT-2's byte alphabet become bytes, invalid
// UTF-8 becomes U+FFFD; a token with any other character stays as it is.
std::string byte_level_decoded(std::string_view token);

}  // namespace ggufmill
