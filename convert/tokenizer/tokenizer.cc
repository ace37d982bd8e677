// Assembles the tokenizer.* keys in the converter's order; see tokenizer.h.
#include "convert/tokenizer/tokenizer.h"

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

void add_tokenizer_metadata(const Checkpoint& checkpoint, const Config& config, const TokenizerRequest& request,
                            Metadata& metadata, std::vector<Finding>& findings) {
  const std::string prefix = "tokenizer.ggml.";
  if (!checkpoint.has_file("tokenizer.json")) {
    throw Error(Exit::kBadInput, checkpoint.file("tokenizer.json").string() + ": missing: the vocabulary is read from it");
  }
  const JsonDocument tokenizer = JsonDocument::load(checkpoint.file("tokenizer.json"), kMaxTokenizerJsonBytes);
  std::optional<JsonDocument> tokenizer_config;
  if (checkpoint.has_file("tokenizer_config.json")) {
    tokenizer_config = JsonDocument::load(checkpoint.file("tokenizer_config.json"), kMaxSmallFileBytes);
    simdjson::dom::object fields;
    if (tokenizer_config->root().get_object().get(fields)) throw bad_tokenizer(*tokenizer_config, "the root is not an object");
    if (fields.begin() == fields.end()) tokenizer_config.reset();  // {} counts as no file
  }
  metadata.set(prefix + "model", std::string("gpt2"));
  metadata.set(prefix + "pre", confirm_pre_tokenizer(tokenizer, request.pre_tokenizers));
  BpeVocabulary vocabulary = read_bpe_vocabulary(tokenizer, request.n_tokens);
  metadata.set(prefix + "tokens", std::move(vocabulary.tokens));
  metadata.set(prefix + "token_type", std::move(vocabulary.types));
  metadata.set(prefix + "merges", std::move(vocabulary.merges));
  const SpecialTokens special =
      read_special_tokens(tokenizer, tokenizer_config ? &*tokenizer_config : nullptr, config, request.n_tokens, findings);
  for (const auto& [kind, id] : special.ids) {
    if (const std::string_view key = id_key(kind); !key.empty()) metadata.set(prefix + std::string(key), id);
  }
  for (const auto& [kind, value] : special.add) {
    if (kind == "bos" || kind == "eos" || kind == "sep") metadata.set(prefix + "add_" + kind + "_token", value);
  }
  if (tokenizer_config) {
    add_chat_template(checkpoint, *tokenizer_config, metadata);
  } else {
    findings.push_back({Severity::kWarning, "tokenizer_config.json", "", "missing: no chat template is written"});
  }
  if (request.force_add_bos) metadata.set(prefix + "add_bos_token", true);
}

}  // namespace ggufmill
