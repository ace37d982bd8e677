// Ids of special tokens (BOS, EOS, ...) and whether BOS, EOS and SEP are added to a prompt.
//
// Ids: the text of `<kind>_token` in tokenizer_config.json, looked up in tokenizer.json's added_tokens; where that fails,
// `<kind>_token_id` of config.json or its text_config, integers only. The first hit wins. So an instruct model's EOS is the end
// of a turn, although config.json names the end of text. Flags: `add_<kind>_token` of tokenizer_config.json; else what the
// TemplateProcessing of tokenizer.json puts around a text. The reading of templates is llama.cpp's (b10573,
// gguf-py/gguf/vocab.py, _try_load_from_tokenizer_json), with its oddities: a token given as an object there ({"content": ...})
// equals no token of the template, and another last token than EOS renames EOS to EOT.
#include <algorithm>
#include <map>

#include "convert/arch/config.h"
#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {
namespace {

using simdjson::dom::element;

// A token as tokenizer_config.json gives it: text, or an object with the text as content.
struct TokenEntry {
  std::string content;
  bool is_object = false;
  bool given() const { return is_object || !content.empty(); }
  bool is(std::string_view text) const { return !is_object && !content.empty() && content == text; }
};

class SpecialTokenReader {
 public:
  explicit SpecialTokenReader(const SpecialTokenSources& sources)
      : sources_(sources), tokenizer_(sources.tokenizer), config_(sources.tokenizer_config) {
    if (config_ == nullptr) return;
    for (const std::string& kind : kinds_) read_entry(kind);
  }

  SpecialTokens read(const Config& model, std::vector<Finding>& findings) {
    if (tokenizer_ != nullptr) {
      if (!entries_["bos"].given() && entries_["cls"].given()) entries_["bos"] = entries_["cls"];
      if (!entries_["eos"].given() && entries_["sep"].given()) entries_["eos"] = entries_["sep"];
      if (const auto post = json_find(tokenizer_->root(), "post_processor")) read_post_processor(*post);
    }
    if (config_ != nullptr) read_tokenizer_config(findings);
    read_model_config(model, findings);
    return std::move(out_);
  }

 private:
  void read_entry(const std::string& kind) {
    const auto value = json_find(config_->root(), kind + "_token");
    if (!value) return;
    std::string_view text;
    TokenEntry entry;
    if (value->is_object()) {
      entry = {std::string(json_string(*value, "content").value_or("")), true};
    } else if (!value->get_string().get(text)) {
      entry.content = text;
    }
    entries_[kind] = std::move(entry);
  }

  void set_flag(const std::string& kind, bool value) {
    for (auto& [k, v] : out_.add) {
      if (k == kind) {
        v = value;
        return;
      }
    }
    out_.add.emplace_back(kind, value);
  }

  // The first id of a kind that lies among the tokens counts.
  void set_id(const std::string& where, const std::string& kind, uint64_t id, std::vector<Finding>& findings) {
    if (out_.has_id(kind)) return;
    if (id < sources_.n_tokens) {
      out_.ids.emplace_back(kind, static_cast<uint32_t>(id));
      return;
    }
    const std::string why = "the " + kind + " token's id " + std::to_string(id) + " is beyond the " +
                            std::to_string(sources_.n_tokens) + " tokens of the model";
    if (!sources_.skip_beyond) throw Error(Exit::kBadInput, where + ": " + why);
    findings.push_back({Severity::kWarning, where, "", why + ": ignored"});
  }

  void read_post_processor(element post) {
    simdjson::dom::array list;
    const auto processors = json_find(post, "processors");
    if (!processors || processors->get_array().get(list)) return read_processor(post);
    for (const element processor : list) read_processor(processor);
  }

  void read_processor(element processor) {
    const std::string_view type = json_string(processor, "type").value_or("");
    if (type == "TemplateProcessing") return read_template(processor);
    if (type != "ByteLevel") {
      throw bad_tokenizer(*tokenizer_,
                          "post_processor: found \"" + printable(type) + "\", expected ByteLevel or TemplateProcessing");
    }
  }

  // Pieces of a template: {"SpecialToken": {"id": "<s>"}} or {"Sequence": {"id": "A"}}.
  struct TemplatePiece {
    std::string_view special, sequence;
  };
  static std::vector<TemplatePiece> template_pieces(element processor, std::string_view form) {
    std::vector<TemplatePiece> pieces;
    simdjson::dom::array list;
    const auto found = json_find(processor, form);
    if (!found || found->get_array().get(list)) return pieces;
    for (const element item : list) {
      TemplatePiece piece;
      if (const auto special = json_find(item, "SpecialToken")) piece.special = json_string(*special, "id").value_or("");
      if (const auto sequence = json_find(item, "Sequence")) piece.sequence = json_string(*sequence, "id").value_or("");
      pieces.push_back(piece);
    }
    return pieces;
  }

  void read_template(element processor) {
    const std::vector<TemplatePiece> single = template_pieces(processor, "single");
    std::string_view first, last;
    if (single.size() > 1) {
      first = single.front().special;
      last = single.back().special;
      if (!first.empty()) read_first(first);
      if (!last.empty()) read_last(last);
    }
    read_pair(template_pieces(processor, "pair"), first, last);
  }

  void read_first(std::string_view first) {
    TokenEntry &bos = entries_["bos"], &cls = entries_["cls"];
    if (config_ == nullptr) {
      bos.content = first;
    } else if (!bos.is(first) && !cls.is(first)) {
      if (!bos.given()) bos.content = first;
      if (!cls.given()) cls.content = first;
    }
    set_flag("bos", bos.is(first) || cls.is(first));
  }

  void read_last(std::string_view last) {
    TokenEntry& eos = entries_["eos"];
    if (config_ != nullptr && !eos.is(last)) {
      for (const char* kind : {"eot", "eom"}) {
        if (std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end()) continue;
        kinds_.push_back(kind);
        entries_[kind] = eos;
        break;
      }
    }
    if (!eos.is(last)) eos = {std::string(last), false};
    set_flag("eos", true);
  }

  // A [first middle] [second middle] B, without the single form's first and last: says whether SEP is added.
  void read_pair(std::vector<TemplatePiece> pair, std::string_view first, std::string_view last) {
    if (!pair.empty() && !first.empty() && pair.front().special == first) pair.erase(pair.begin());
    if (!pair.empty() && !last.empty() && pair.back().special == last) pair.pop_back();
    if (pair.size() < 3 || pair.front().sequence != "A" || pair.back().sequence != "B") return;
    const auto is_separator = [&](std::string_view text) {
      return !text.empty() && (entries_["sep"].is(text) || entries_["eos"].is(text));
    };
    bool add = is_separator(pair[1].special) && last.empty();
    if (pair.size() == 4 && is_separator(pair[2].special)) add = true;
    set_flag("sep", add);
    if (add && !entries_["sep"].given() && config_ != nullptr) entries_["sep"] = entries_["eos"];
  }

  void read_tokenizer_config(std::vector<Finding>& findings) {
    for (const std::string& kind : kinds_) {
      if (const auto flag = json_bool(config_->root(), "add_" + kind + "_token")) set_flag(kind, *flag);
      if (tokenizer_ == nullptr || entries_[kind].content.empty()) continue;
      if (const auto id = added_token_id(*tokenizer_, entries_[kind].content)) set_id(tokenizer_->where(), kind, *id, findings);
    }
  }

  void read_model_config(const Config& model, std::vector<Finding>& findings) {
    for (const std::string& kind : kinds_) {
      const std::string field = kind + "_token_id";
      const auto text_config = json_find(model.root(), "text_config");
      const bool nested = text_config && !json_find(model.root(), field);
      const auto id = json_int(nested ? *text_config : model.root(), field);  // lists of ids are ignored
      if (!id || out_.has_id(kind)) continue;
      if (*id < 0) {
        findings.push_back(
            {Severity::kWarning, "config.json", "", "field \"" + field + "\" is " + std::to_string(*id) + ": ignored"});
        continue;
      }
      set_id(model.where(), kind, static_cast<uint64_t>(*id), findings);
    }
  }

  SpecialTokenSources sources_;
  const JsonDocument *tokenizer_, *config_;
  std::vector<std::string> kinds_ = {"bos", "eos", "unk", "sep", "pad", "cls", "mask"};
  std::map<std::string, TokenEntry> entries_;  // by kind
  SpecialTokens out_;
};

}  // namespace

bool SpecialTokens::has_id(std::string_view kind) const {
  return std::any_of(ids.begin(), ids.end(), [&](const auto& entry) { return entry.first == kind; });
}

std::optional<uint32_t> added_token_id(const JsonDocument& tokenizer, std::string_view content) {
  simdjson::dom::array list;
  const auto found = json_find(tokenizer.root(), "added_tokens");
  if (!found || found->get_array().get(list)) return std::nullopt;
  for (const element entry : list) {
    const auto id = json_int(entry, "id");
    if (id && *id >= 0 && *id <= UINT32_MAX && json_string(entry, "content") == content) return static_cast<uint32_t>(*id);
  }
  return std::nullopt;
}

SpecialTokens read_special_tokens(const SpecialTokenSources& sources, const Config& config, std::vector<Finding>& findings) {
  return SpecialTokenReader(sources).read(config, findings);
}

}  // namespace ggufmill
