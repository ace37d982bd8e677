// Assembles the tokenizer.* keys in the converter's order; see tokenizer.h.
#include "convert/tokenizer/tokenizer.h"

#include <cassert>
#include <unordered_map>

#include "convert/arch/config.h"

namespace ggufmill {
namespace {

// The GGUF key of a special token's id; "" for kinds that GGUF has no key for.
std::string_view id_key(std::string_view kind) {
  struct Row {
    std::string_view kind, key;
  };
  static constexpr Row kRows[] = {{"bos", "bos_token_id"},       {"eos", "eos_token_id"},     {"unk", "unknown_token_id"},
                                  {"sep", "seperator_token_id"}, {"pad", "padding_token_id"}, {"mask", "mask_token_id"},
                                  {"eot", "eot_token_id"},       {"eom", "eom_token_id"}};
  for (const Row& row : kRows) {
    if (row.kind == kind) return row.key;
  }
  return "";
}

}  // namespace

Error bad_tokenizer(const JsonDocument& json, const std::string& why) {
  return Error(Exit::kBadInput, json.where() + ": " + why);
}

namespace {

// Adds one checkpoint's keys in the converter's order.
class TokenizerWriter {
 public:
  TokenizerWriter(const Checkpoint& checkpoint, const Config& config, const TokenizerRequest& request, Metadata& metadata,
                  std::vector<Finding>& findings)
      : checkpoint_(checkpoint), config_(config), request_(request), metadata_(metadata), findings_(findings) {
    if (checkpoint.has_file("tokenizer.json"))
      tokenizer_ = JsonDocument::load(checkpoint.file("tokenizer.json"), kMaxTokenizerJsonBytes);
    if (!checkpoint.has_file("tokenizer_config.json")) return;
    tokenizer_config_ = JsonDocument::load(checkpoint.file("tokenizer_config.json"), kMaxSmallFileBytes);
    simdjson::dom::object fields;
    if (tokenizer_config_->root().get_object().get(fields)) throw bad_tokenizer(*tokenizer_config_, "the root is not an object");
    if (fields.begin() == fields.end()) tokenizer_config_.reset();  // {} counts as no file
  }

  void write() {
    switch (request_.form) {
      case TokenizerForm::kByteLevel:
        write_byte_level();
        break;
      case TokenizerForm::kLlama:
        write_llama();
        break;
      case TokenizerForm::kSentencepiece:
        write_sentencepiece();
        break;
      case TokenizerForm::kTiktoken:
        write_tiktoken();
        break;
      case TokenizerForm::kByteLevelOrTiktoken:
        if (!tokenizer_ && checkpoint_.has_file("tiktoken.model"))
          write_tiktoken();
        else
          write_byte_level();
        break;
    }
    write_special_tokens();
    write_chat_template();
    for (const auto& [kind, id] : request_.ids_of_kinds) set(std::string(id_key(kind)), id);
    if (request_.add_bos) set("add_bos_token", *request_.add_bos);
    check_bos();
  }

 private:
  void set(const std::string& key, MetadataValue value) { metadata_.set("tokenizer.ggml." + key, std::move(value)); }
  const JsonDocument* tokenizer_config() const { return tokenizer_config_ ? &*tokenizer_config_ : nullptr; }

  const JsonDocument& tokenizer() const {
    if (tokenizer_) return *tokenizer_;
    const bool or_tiktoken = request_.form == TokenizerForm::kByteLevelOrTiktoken;
    throw Error(Exit::kBadInput, checkpoint_.file("tokenizer.json").string() + ": missing" +
                                     (or_tiktoken ? ", and so is tiktoken.model" : "") + ": the vocabulary is read from it");
  }

  // `pre`: what the files say, unless the user names another one.
  void write_names(const char* model, const std::string& pre) {
    set("model", std::string(model));
    set("pre", request_.given_pre_tokenizer.empty() ? pre : request_.given_pre_tokenizer);
  }

  // llama.cpp refuses to load a vocabulary with two equal tokens, or with a NUL in one.
  void check_unique(const Vocabulary& vocabulary) const {
    std::unordered_map<std::string_view, size_t> ids;
    for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      if (vocabulary.tokens[id].find('\0') != std::string::npos) {
        throw Error(Exit::kBadInput, checkpoint_.folder().string() + ": token " + std::to_string(id) +
                                         " holds a NUL byte, which llama.cpp cannot load");
      }
      const auto [same, is_new] = ids.emplace(vocabulary.tokens[id], id);
      if (is_new) continue;
      throw Error(Exit::kBadInput, checkpoint_.folder().string() + ": token \"" + printable(vocabulary.tokens[id], 60) +
                                       "\" has two ids: " + std::to_string(same->second) + " and " + std::to_string(id));
    }
  }

  void write_vocabulary(Vocabulary vocabulary) {
    check_unique(vocabulary);
    set("tokens", std::move(vocabulary.tokens));
    if (!vocabulary.scores.empty()) set("scores", std::move(vocabulary.scores));
    set("token_type", std::move(vocabulary.types));
    if (!vocabulary.merges.empty()) set("merges", std::move(vocabulary.merges));
  }

  // Names that the structure has to confirm.
  std::vector<std::string_view> candidates() const {
    for (const auto& [token, name] : request_.pre_tokenizers_by_token) {
      if (added_token_id(tokenizer(), token)) return {name};
    }
    return request_.pre_tokenizers;
  }

  void write_byte_level() {
    const bool given = !request_.given_pre_tokenizer.empty();
    write_names("gpt2", given ? "" : confirm_pre_tokenizer(tokenizer(), candidates()));
    write_vocabulary(read_byte_level_vocabulary(tokenizer(), request_.n_tokens));
  }

  void write_tiktoken() {
    assert(!request_.tiktoken_pre_tokenizer.empty() && "tiktoken.model says nothing of its pre-tokenizer: the family names it");
    write_names("gpt2", std::string(request_.tiktoken_pre_tokenizer));
    write_vocabulary(read_tiktoken_vocabulary(checkpoint_, tokenizer_config(), request_.n_tokens));
  }

  void write_sentencepiece() {
    SentencepieceVocabulary read = read_sentencepiece_vocabulary(checkpoint_, tokenizer_config(), request_.n_tokens, findings_);
    write_prefix(read.adds_prefix);
    write_names("llama", "default");
    write_vocabulary(std::move(read.vocabulary));
  }

  void write_llama() {
    if (tokenizer_config_) {
      if (const auto prefix = json_bool(tokenizer_config_->root(), "add_prefix_space")) set("add_space_prefix", *prefix);
    }
    if (checkpoint_.has_file("tokenizer.model")) return write_sentencepiece();
    if (!is_metaspace(tokenizer())) return write_byte_level();
    if (request_.given_pre_tokenizer.empty()) write_prefix(metaspace_adds_prefix(tokenizer()));
    write_names("llama", "default");
    write_vocabulary(read_metaspace_vocabulary(tokenizer(), request_.n_tokens));
  }

  // llama.cpp's default is a space before the first word.
  void write_prefix(bool adds_prefix) {
    if (!adds_prefix && metadata_.find("tokenizer.ggml.add_space_prefix") == nullptr) set("add_space_prefix", false);
  }

  void check_bos() {
    const MetadataValue* adds = metadata_.find("tokenizer.ggml.add_bos_token");
    if (!request_.expects_bos || (adds != nullptr && *adds == MetadataValue(true))) return;
    findings_.push_back({Severity::kWarning, "tokenizer_config.json", "",
                         "add_bos_token is not true: this family's texts begin with BOS, and llama.cpp will not put it there"});
  }

  void write_chat_template() {
    if (!request_.given_chat_template.empty()) {
      metadata_.set("tokenizer.chat_template", request_.given_chat_template);
    } else if (!tokenizer_config_) {
      findings_.push_back({Severity::kWarning, "tokenizer_config.json", "", "missing: no chat template is written"});
    } else if (!add_chat_template(checkpoint_, *tokenizer_config_, metadata_)) {
      findings_.push_back({Severity::kInfo, "tokenizer_config.json", "",
                           "no chat template (base models have none): --chat-template FILE writes one"});
    }
  }

  void write_special_tokens() {
    const SpecialTokenSources sources = {.tokenizer = tokenizer_ ? &*tokenizer_ : nullptr,
                                         .tokenizer_config = tokenizer_config(),
                                         .n_tokens = request_.n_tokens,
                                         .skip_beyond = metadata_.find("tokenizer.ggml.scores") != nullptr};
    SpecialTokens special = read_special_tokens(sources, config_, findings_);
    for (const auto& [kind, text] : request_.tokens_of_kinds) {
      const auto id = added_token_id(tokenizer(), text);
      if (!id) throw bad_tokenizer(tokenizer(), "added_tokens: \"" + std::string(text) + "\" is missing");
      if (!special.has_id(kind)) special.ids.emplace_back(kind, *id);
    }
    for (const auto& [kind, id] : special.ids) {
      if (const std::string_view key = id_key(kind); !key.empty()) set(std::string(key), id);
    }
    for (const auto& [kind, value] : special.add) {
      if (kind == "bos" || kind == "eos" || kind == "sep") set("add_" + kind + "_token", value);
    }
  }

  const Checkpoint& checkpoint_;
  const Config& config_;
  const TokenizerRequest& request_;
  Metadata& metadata_;
  std::vector<Finding>& findings_;
  std::optional<JsonDocument> tokenizer_, tokenizer_config_;
};

}  // namespace

void add_tokenizer_metadata(const Checkpoint& checkpoint, const Config& config, const TokenizerRequest& request,
                            Metadata& metadata, std::vector<Finding>& findings) {
  TokenizerWriter(checkpoint, config, request, metadata, findings).write();
}

}  // namespace ggufmill
