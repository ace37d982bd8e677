// tokenizer.model of sentencepiece, a protobuf, and the tokens that two JSON files add to it.
//
//   ModelProto      1 pieces, one message each      2 trainer_spec      3 normalizer_spec
//   SentencePiece   1 piece, text                   2 score, f32        3 type: 1 normal (default), 2 unknown, 3 control,
//                                                                                4 user-defined, 5 unused, 6 byte
//   TrainerSpec     3 model_type: 1 Unigram (default), 2 BPE, 3 word, 4 character
//   NormalizerSpec  2 precompiled_charsmap          3 add_dummy_prefix (true)            4 remove_extra_whitespaces (true)
//
// A piece's id is its place. added_tokens.json ({"TEXT": ID}) and then added_tokens_decoder of tokenizer_config.json
// ({"ID": {"content": TEXT, "special": BOOL}}) replace pieces or fill holes; what lies beyond the embedding is left out. As
// llama.cpp's converter (b10573, conversion/base.py _create_vocab_sentencepiece) writes them, user-defined pieces are normal
// tokens. llama.cpp tokenizes by BPE on the text as it is, so that any other model type and normalization is a finding. Source of
// the format: google/sentencepiece, src/sentencepiece_model.proto.
#include <cmath>
#include <unordered_map>

#include "convert/tokenizer/protobuf.h"
#include "convert/tokenizer/tokenizer.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

using simdjson::dom::element;

constexpr uint64_t kMaxModelBytes = uint64_t{64} << 20;  // 256 000 pieces are 5 MB
constexpr float kAddedScore = -1000, kHoleScore = -10000;
constexpr const char* kFile = "tokenizer.model";

class SentencepieceReader {
 public:
  SentencepieceReader(std::string where, uint64_t n_tokens, std::vector<Finding>& findings)
      : where_(std::move(where)), findings_(findings) {
    out_.vocabulary = Vocabulary(n_tokens);
    out_.vocabulary.scores.assign(n_tokens, kHoleScore);
  }

  void read_model(std::string_view bytes) {
    ProtobufReader model(bytes, where_);
    while (model.next()) {
      if (model.field() == 1) read_piece(model.message());
      if (model.field() == 2) read_trainer(model.message());
      if (model.field() == 3) read_normalizer(model.message());
    }
    if (n_pieces_ == 0) throw Error(Exit::kBadInput, where_ + ": holds no pieces");
    if (model_type_ != kBpe) warn("is no BPE model: llama.cpp tokenizes it as one, which gives other tokens");
    if (charsmap_) warn("normalizes characters, which llama.cpp does not: some texts give other tokens");
    if (removes_spaces_) warn("removes repeated spaces, which llama.cpp does not: some texts give other tokens");
  }

  void read_added(const JsonDocument& json) {
    simdjson::dom::object tokens;
    if (json.root().get_object().get(tokens)) throw bad_tokenizer(json, "the root is not an object");
    for (const auto& [content, value] : tokens) {
      int64_t id = -1;
      if (value.get_int64().get(id) || id < 0)
        throw bad_tokenizer(json, "token \"" + printable(content, 60) + "\": id is not a number from 0 on");
      set_added(json, static_cast<uint64_t>(id), std::string(content), TokenType::kUserDefined);
    }
  }

  void read_added_decoder(const JsonDocument& json) {
    for (const AddedToken& token : added_tokens_decoder(json)) {
      std::string text(token.content);
      const TokenType type = added_token_type(text, token.special);
      set_added(json, token.id, std::move(text), type);
    }
  }

  SentencepieceVocabulary take() {
    out_.vocabulary.fill_holes();
    return std::move(out_);
  }

 private:
  static constexpr uint64_t kBpe = 2;

  void warn(const std::string& message) { findings_.push_back({Severity::kWarning, kFile, "", message}); }

  void read_piece(ProtobufReader piece) {
    std::string_view text;
    float score = 0;
    uint64_t type = static_cast<uint64_t>(TokenType::kNormal);
    while (piece.next()) {
      if (piece.field() == 1) text = piece.bytes();
      if (piece.field() == 2) score = piece.f32();
      if (piece.field() == 3) type = piece.varint();
    }
    const std::string name = where_ + ": piece " + std::to_string(n_pieces_);
    if (n_pieces_ == out_.vocabulary.tokens.size()) {
      throw Error(Exit::kBadInput, name + ", but the embedding has " + std::to_string(n_pieces_) + " rows (vocab_size)");
    }
    if (text.empty()) throw Error(Exit::kBadInput, name + ": has no text");
    if (!simdjson::validate_utf8(text.data(), text.size())) throw Error(Exit::kBadInput, name + ": not UTF-8");
    if (!std::isfinite(score)) throw Error(Exit::kBadInput, name + ": the score is not finite");
    if (type < 1 || type > 6) throw Error(Exit::kBadInput, name + ": type " + std::to_string(type) + ", expected 1 to 6");
    if (const auto [same, is_new] = ids_.emplace(text, n_pieces_); !is_new) {
      throw Error(Exit::kBadInput, name + ": \"" + printable(text, 60) + "\" is piece " + std::to_string(same->second) + " too");
    }
    const auto token_type = static_cast<TokenType>(type);
    out_.vocabulary.set(n_pieces_, std::string(text), token_type == TokenType::kUserDefined ? TokenType::kNormal : token_type);
    out_.vocabulary.scores[n_pieces_++] = score;
  }

  void read_trainer(ProtobufReader spec) {
    while (spec.next()) {
      if (spec.field() == 3) model_type_ = spec.varint();
    }
  }

  void read_normalizer(ProtobufReader spec) {
    while (spec.next()) {
      if (spec.field() == 2) charsmap_ = !spec.bytes().empty();
      if (spec.field() == 3) out_.adds_prefix = spec.varint() != 0;
      if (spec.field() == 4) removes_spaces_ = spec.varint() != 0;
    }
  }

  void set_added(const JsonDocument& json, uint64_t id, std::string text, TokenType type) {
    Vocabulary& v = out_.vocabulary;
    if (id >= v.tokens.size()) {
      findings_.push_back({Severity::kWarning, json.where(), "",
                           "token \"" + printable(text, 60) + "\" is left out: its id " + std::to_string(id) +
                               " is beyond the embedding's " + std::to_string(v.tokens.size()) + " rows"});
      return;
    }
    v.set(id, std::move(text), type);
    v.scores[id] = kAddedScore;
  }

  std::string where_;
  std::vector<Finding>& findings_;
  SentencepieceVocabulary out_;
  std::unordered_map<std::string_view, uint64_t> ids_;  // the texts lie in the file's bytes
  uint64_t n_pieces_ = 0;
  uint64_t model_type_ = 1;
  bool charsmap_ = false, removes_spaces_ = true;
};

}  // namespace

SentencepieceVocabulary read_sentencepiece_vocabulary(const Checkpoint& checkpoint, const JsonDocument* tokenizer_config,
                                                      uint64_t n_tokens, std::vector<Finding>& findings) {
  const std::filesystem::path path = checkpoint.file(kFile);
  if (!checkpoint.has_file(kFile)) throw Error(Exit::kBadInput, path.string() + ": missing: the vocabulary is read from it");
  const std::string bytes = InputFile(path).read_text(kMaxModelBytes);
  SentencepieceReader reader(path.string(), n_tokens, findings);
  reader.read_model(bytes);
  if (checkpoint.has_file("added_tokens.json"))
    reader.read_added(JsonDocument::load(checkpoint.file("added_tokens.json"), kMaxSmallFileBytes));
  if (tokenizer_config != nullptr) reader.read_added_decoder(*tokenizer_config);
  return reader.take();
}

}  // namespace ggufmill
