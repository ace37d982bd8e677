// tiktoken.model: a token's bytes in base64 and its rank a line, and the special tokens that come behind.
//
//   "AA== 0\n" "AQ== 1\n" ... "IHRoZQ== 290\n"
// A rank is an id. The 256 ids behind the last one are special tokens: added_tokens_decoder of tokenizer_config.json
// ({"ID": {"content": TEXT}}) names some of them, the rest are <|reserved_token_ID|>. Tokens get GPT-2's byte alphabet. llama.cpp
// wants merges: the two parts into which BPE splits a token when only the ranks below its own may merge, in order of rank. A
// token that no two parts make has no merge. Source: openai/tiktoken, load.py; tokenization_kimi.py of Kimi K2; llama.cpp b10573,
// conversion/deepseek.py and conversion/qwen.py (bpe).
#include <algorithm>
#include <charconv>
#include <limits>
#include <unordered_map>

#include "convert/tokenizer/tokenizer.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

constexpr const char* kFile = "tiktoken.model";
constexpr uint64_t kMaxModelBytes = uint64_t{64} << 20;  // 163 584 tokens are 3 MB
// The longest known is 128 spaces; splitting a token costs the square of its length.
constexpr size_t kMaxTokenBytes = 512;
constexpr uint64_t kSpecialTokens = 256;
constexpr uint64_t kNoRank = std::numeric_limits<uint64_t>::max();

// Strict: whole groups of four characters, padding where it belongs, unused bits zero. nullopt for anything else.
std::optional<std::string> base64_decoded(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes;
  uint32_t bits = 0;
  unsigned n_bits = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xFFFF;
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    bytes += static_cast<char>(bits >> n_bits & 0xFF);
  }
  if ((bits & ((1u << n_bits) - 1)) != 0) return std::nullopt;
  return bytes;
}

class TiktokenReader {
 public:
  TiktokenReader(std::string where, uint64_t n_tokens) : where_(std::move(where)), tokens_(n_tokens) {}

  void read_lines(std::string_view text) {
    for (size_t line = 1; !text.empty(); ++line) {
      const size_t end = std::min(text.find('\n'), text.size());
      if (end > 0) read_line(text.substr(0, end), line);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (ranks_.empty()) throw Error(Exit::kBadInput, where_ + ": holds no tokens");
  }

  Vocabulary vocabulary() const {
    Vocabulary out(tokens_.size());
    for (uint64_t rank = 0; rank < tokens_.size(); ++rank) {
      const std::string& token = tokens_[rank];
      if (token.empty()) continue;
      out.set(rank, byte_level_encoded(token), TokenType::kNormal);
      if (const size_t at = split(token, rank); at != 0)
        out.merges.push_back(byte_level_encoded(token.substr(0, at)) + " " + byte_level_encoded(token.substr(at)));
    }
    return out;
  }
  uint64_t n_base() const { return ranks_.size(); }

 private:
  void read_line(std::string_view line, size_t number) {
    const std::string name = where_ + ": line " + std::to_string(number);
    const size_t space = line.find(' ');
    std::optional<std::string> bytes;
    if (space != std::string_view::npos) bytes = base64_decoded(line.substr(0, space));
    if (!bytes)
      throw Error(Exit::kBadInput, name + ": expected base64, a space and a rank, found \"" + printable(line, 60) + "\"");
    uint64_t rank = 0;
    const auto [end, error] = std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
    if (error != std::errc() || end != line.data() + line.size())
      throw Error(Exit::kBadInput, name + ": the rank is not a number: \"" + printable(line.substr(space + 1), 60) + "\"");
    if (bytes->size() > kMaxTokenBytes)
      throw Error(Exit::kBadInput, name + ": a token of " + std::to_string(bytes->size()) + " bytes, expected at most " +
                                       std::to_string(kMaxTokenBytes));
    if (rank >= tokens_.size()) {
      throw Error(Exit::kBadInput, name + ": rank " + std::to_string(rank) + ", but the embedding has " +
                                       std::to_string(tokens_.size()) + " rows (vocab_size)");
    }
    if (!tokens_[rank].empty()) throw Error(Exit::kBadInput, name + ": rank " + std::to_string(rank) + " stands there twice");
    tokens_[rank] = std::move(*bytes);
    if (const auto [same, is_new] = ranks_.emplace(tokens_[rank], rank); !is_new) {
      throw Error(Exit::kBadInput,
                  name + ": the token of rank " + std::to_string(rank) + " has rank " + std::to_string(same->second) + " too");
    }
  }

  uint64_t rank_of(std::string_view bytes) const {
    const auto found = ranks_.find(bytes);
    return found == ranks_.end() ? kNoRank : found->second;
  }

  // Where the last merge of `token` joins its two parts; 0 for one byte and where BPE leaves more than two parts.
  size_t split(std::string_view token, uint64_t rank) const {
    std::vector<size_t> ends;    // of the parts
    std::vector<uint64_t> pair;  // pair[i]: the rank of parts i and i+1 joined
    for (size_t i = 1; i <= token.size(); ++i) ends.push_back(i);
    const auto rank_of_pair = [&](size_t i) {
      const size_t begin = i == 0 ? 0 : ends[i - 1];
      return rank_of(token.substr(begin, ends[i + 1] - begin));
    };
    for (size_t i = 0; i + 1 < ends.size(); ++i) pair.push_back(rank_of_pair(i));
    while (ends.size() > 2) {
      const auto best = std::min_element(pair.begin(), pair.end());  // the leftmost of equals
      if (*best >= rank) break;
      const auto at = static_cast<size_t>(best - pair.begin());
      ends.erase(ends.begin() + static_cast<std::ptrdiff_t>(at));
      pair.erase(best);
      if (at < pair.size()) pair[at] = rank_of_pair(at);
      if (at > 0) pair[at - 1] = rank_of_pair(at - 1);
    }
    return ends.size() == 2 ? ends[0] : 0;
  }

  std::string where_;
  std::vector<std::string> tokens_;  // bytes by rank; never resized, so that ranks_ may look into it
  std::unordered_map<std::string_view, uint64_t> ranks_;
};

// The texts of added_tokens_decoder by id, all of which must lie in [first, end).
std::unordered_map<uint64_t, std::string_view> special_texts(const JsonDocument& json, uint64_t first, uint64_t end) {
  std::unordered_map<uint64_t, std::string_view> texts;
  for (const AddedToken& token : added_tokens_decoder(json)) {
    if (token.id < first || token.id >= end) {
      throw bad_tokenizer(json, "added_tokens_decoder: id " + std::to_string(token.id) + ", expected one of the " +
                                    std::to_string(end - first) + " from " + std::to_string(first) + " on, behind those of " +
                                    kFile);
    }
    texts[token.id] = token.content;
  }
  return texts;
}

}  // namespace

Vocabulary read_tiktoken_vocabulary(const Checkpoint& checkpoint, const JsonDocument* tokenizer_config, uint64_t n_tokens) {
  const std::filesystem::path path = checkpoint.file(kFile);
  if (!checkpoint.has_file(kFile)) throw Error(Exit::kBadInput, path.string() + ": missing: the vocabulary is read from it");
  TiktokenReader reader(path.string(), n_tokens);
  reader.read_lines(InputFile(path).read_text(kMaxModelBytes));
  Vocabulary out = reader.vocabulary();
  const uint64_t first = reader.n_base(), end = std::min(n_tokens, first + kSpecialTokens);
  std::unordered_map<uint64_t, std::string_view> texts;
  if (tokenizer_config != nullptr) texts = special_texts(*tokenizer_config, first, end);
  for (uint64_t id = first; id < end; ++id) {
    if (out.has(id)) throw Error(Exit::kBadInput, path.string() + ": the ranks have a hole: one is " + std::to_string(id));
    const auto text = texts.find(id);
    out.set(id, text != texts.end() ? std::string(text->second) : "<|reserved_token_" + std::to_string(id) + "|>",
            TokenType::kControl);
  }
  out.fill_holes();
  return out;
}

}  // namespace ggufmill
