// Tokenizers as metadata: vocabulary, pre-tokenizer, special tokens, chat templates, and each error of theirs. What real
// files give is in model_golden_test.cc.
#include "convert/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include "convert/arch/config.h"
#include "tests/convert/nemotron_checkpoint.h"
#include "tests/convert/tokenizer_checkpoint.h"

namespace ggufmill {
namespace {

using nlohmann::json;
using Texts = std::vector<std::string>;
using Types = std::vector<int32_t>;

JsonDocument document(const json& value) { return JsonDocument(value.dump(), "tokenizer.json"); }

Vocabulary vocabulary(const json& tokenizer, uint64_t n_tokens = 8) {
  return read_byte_level_vocabulary(document(tokenizer), n_tokens);
}

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kBadInput);
    return error.message();
  }
  return "(no error)";
}

json plain() { return NemotronCheckpoint().tokenizer; }

TEST(Tokenizer, vocabulary_types_holes_and_merges) {
  json tokenizer = plain();
  tokenizer["added_tokens"].push_back({{"id", 6}, {"content", "<tool>"}, {"special", false}, {"normalized", true}});
  const Vocabulary found = vocabulary(tokenizer);
  EXPECT_EQ(found.tokens, (Texts{"<s>", "a", "b", "ab", "[PAD4]", "[PAD5]", "<tool>", "[PAD7]"}));
  EXPECT_EQ(found.types, (Types{3, 1, 1, 1, 5, 5, 4, 5}));
  EXPECT_EQ(found.merges, Texts{"a b"});
}

TEST(Tokenizer, added_tokens_that_look_special_are_control_tokens) {
  json tokenizer = plain();
  int id = 4;
  for (const char* content : {"<|x|>", "<\uFF5Cx\uFF5C>", "<unused7>", "<pad>"}) {
    tokenizer["added_tokens"].push_back({{"id", id++}, {"content", content}, {"special", false}, {"normalized", true}});
  }
  EXPECT_EQ(vocabulary(tokenizer).types, (Types{3, 1, 1, 1, 3, 3, 3, 3}));
}

TEST(Tokenizer, added_tokens_that_are_not_normalized_are_decoded) {
  json tokenizer = plain();
  const auto add = [&](int id, const char* content, bool normalized) {
    tokenizer["added_tokens"].push_back({{"id", id}, {"content", content}, {"special", false}, {"normalized", normalized}});
  };
  add(4, "a\u0120b", false);      // the byte alphabet's space
  add(5, "c\u0120d", true);       // normalized: as it is
  add(6, "x \u0120y", false);     // a real space is not in the alphabet: as it is
  add(7, "\u2581z\u2581", true);  // sentencepiece's space in a user-defined token
  const Vocabulary found = vocabulary(tokenizer);
  EXPECT_EQ(Texts(found.tokens.begin() + 4, found.tokens.end()), (Texts{"a b", "c\u0120d", "x \u0120y", " z "}));
}

TEST(Tokenizer, bytes_decode_and_invalid_utf8_is_replaced) {
  EXPECT_EQ(byte_level_decoded("\u00C3\u00A9"), "\u00E9");  // bytes C3 A9
  EXPECT_EQ(byte_level_decoded("\u010A"), "\n");
  EXPECT_EQ(byte_level_decoded("\u00E9"), "\uFFFD");                          // byte E9 alone
  EXPECT_EQ(byte_level_decoded("\u00E2\u0124a"), "\uFFFDa");                  // E2 82 61: one mark for the begun sequence
  EXPECT_EQ(byte_level_decoded("\u00ED\u0142\u0122"), "\uFFFD\uFFFD\uFFFD");  // ED A0 80, a surrogate: a mark per byte
  EXPECT_EQ(byte_level_decoded("\u4E2D"), "\u4E2D");                          // not of the alphabet
}

TEST(Tokenizer, merges_as_texts_and_spaces_inside_parts) {
  json tokenizer = plain();
  tokenizer["model"]["merges"] = {"a b", "ab c"};
  EXPECT_EQ(vocabulary(tokenizer).merges, (Texts{"a b", "ab c"}));
  tokenizer["model"]["merges"] = json::array({json::array({"a ", "b"})});
  EXPECT_EQ(vocabulary(tokenizer).merges, Texts{"a\u0120 b"});
}

TEST(Tokenizer, each_defect_of_the_vocabulary_is_named) {
  const std::vector<std::pair<std::string, json>> rows = {
      {"token \"zz\": id 8, but the embedding has 8 rows (vocab_size)", {{"/model/vocab/zz", 8}}},
      {"token \"zz\": id is not a number from 0 on", {{"/model/vocab/zz", -1}}},
      {"token \"zz\": id is not a number from 0 on", {{"/model/vocab/zz", "1"}}},
      {"token id 1 is both \"a\" and \"zz\"", {{"/model/vocab/zz", 1}}},
      {"token id 0 is both \"zz\" and \"<s>\"", {{"/model/vocab", {{"zz", 0}}}}},
      {"token \"<s>\" has two ids: 5 and 0", {{"/model/vocab/<s>", 5}}},
      {"added_tokens: not a list", {{"/added_tokens", 3}}},
      {"added_tokens: entry 0 lacks content or id", {{"/added_tokens", {{{"id", 1}}}}}},
      {"model.vocab: missing or not an object", {{"/model/vocab", 3}}},
      {"model.type: found \"Unigram\", expected BPE", {{"/model/type", "Unigram"}}},
      {"model.byte_fallback: found true", {{"/model/byte_fallback", true}}},
      {"model.end_of_word_suffix: not empty", {{"/model/end_of_word_suffix", "</w>"}}},
      {"decoder.type: expected ByteLevel", {{"/decoder/type", "Metaspace"}}},
      {"model.merges: missing or empty", {{"/model/merges", json::array()}}},
      {"model.merges: entry 0 is neither", {{"/model/merges", {"ab"}}}},
      {"model.merges: entry 1 is neither", {{"/model/merges", {"a b", json::array({"a", "b"})}}}},
      {"model: missing", {{"/model", nullptr}}},
  };
  for (const auto& [message, changes] : rows) {
    json tokenizer = plain();
    for (const auto& [path, value] : changes.items()) tokenizer[json::json_pointer(path)] = value;
    EXPECT_TRUE(says(error_of([&, t = tokenizer] { vocabulary(t); }), "tokenizer.json: " + message));
  }
}

TEST(Tokenizer, the_pre_tokenizer_is_confirmed_by_structure) {
  EXPECT_EQ(confirm_pre_tokenizer(document(plain()), {"pixtral"}), "pixtral");
  const std::vector<std::pair<std::string, json>> rows = {
      {"normalizer: unknown for this family: {\"type\":\"NFC\"}", {{"/normalizer", {{"type", "NFC"}}}}},
      {"pre_tokenizer: missing", {{"/pre_tokenizer", nullptr}}},
      {"expected a Sequence: {", {{"/pre_tokenizer/type", "ByteLevel"}}},
      {"pre_tokenizer: unknown form of Split", {{"/pre_tokenizer/pretokenizers/0/behavior", "Removed"}}},
      {"pre_tokenizer: unknown form of Split", {{"/pre_tokenizer/pretokenizers/0/invert", true}}},
      {"expected Splits, then ByteLevel", {{"/pre_tokenizer/pretokenizers/1/use_regex", true}}},
      {"expected Splits, then ByteLevel", {{"/pre_tokenizer/pretokenizers/0/type", "Digits"}}},
      {"split pattern unknown for this family (expected that of pixtral): \\p{N}",
       {{"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\p{N}"}}},
  };
  for (const auto& [message, changes] : rows) {
    json tokenizer = plain();
    for (const auto& [path, value] : changes.items()) tokenizer[json::json_pointer(path)] = value;
    EXPECT_TRUE(says(error_of([&, t = tokenizer] { confirm_pre_tokenizer(document(t), {"pixtral"}); }), message));
  }
  json open = plain();
  open["pre_tokenizer"]["pretokenizers"].erase(1);
  EXPECT_TRUE(says(error_of([&] { confirm_pre_tokenizer(document(open), {"pixtral"}); }), "no ByteLevel at its end"));
}

json split(const std::string& regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

TEST(Tokenizer, a_family_chooses_among_names_of_one_structure) {
  EXPECT_EQ(confirm_pre_tokenizer(document(plain()), {"llama-bpe", "tekken"}), "llama-bpe");
  EXPECT_EQ(confirm_pre_tokenizer(document(plain()), {"qwen2", "glm4"}), "glm4");
  json qwen = plain();
  qwen["pre_tokenizer"]["pretokenizers"][0] =
      split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  EXPECT_EQ(confirm_pre_tokenizer(document(qwen), {"qwen2"}), "qwen2");
  qwen["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(confirm_pre_tokenizer(document(qwen), {"qwen2"}), "qwen2");
  qwen["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array()}};
  EXPECT_EQ(confirm_pre_tokenizer(document(qwen), {"qwen2"}), "qwen2");
  qwen["normalizer"] = {{"type", "NFKC"}};
  EXPECT_TRUE(says(error_of([&] { confirm_pre_tokenizer(document(qwen), {"qwen2"}); }), "normalizer: unknown for this family"));
}

TEST(Tokenizer, line_ends_in_a_pattern_stand_as_themselves_or_as_escapes) {
  json tokenizer = plain();
  json& steps = tokenizer["pre_tokenizer"]["pretokenizers"];
  steps.erase(0);
  const std::string marks = R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^)", rest = R"(\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)",
                    symbols = R"( ?[\p{P}\p{S}]+[)", end = R"(]+|\s+(?!\S)|\s+)";
  for (const std::string line_end : {"\r\n", "\\r\\n"}) {
    json list = {split(R"(\p{N}{1,3})"), split("[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"),
                 split(marks + line_end + rest + symbols + line_end + R"(]*|\s*[)" + line_end + end)};
    list.push_back(steps[0]);
    json with = tokenizer;
    with["pre_tokenizer"]["pretokenizers"] = list;
    EXPECT_EQ(confirm_pre_tokenizer(document(with), {"deepseek-v3"}), "deepseek-v3");
  }
}

TEST(Tokenizer, pre_overrides_an_unknown_structure) {
  NemotronCheckpoint checkpoint;
  checkpoint.tokenizer["pre_tokenizer"]["pretokenizers"][0] = split("\\p{N}");
  EXPECT_TRUE(
      says(checkpoint.error(), "(expected that of pixtral): \\p{N} | --pre NAME gives llama.cpp's name of a pre-tokenizer"));
  const Model model = checkpoint.describe({.pre_tokenizer = "qwen2"});
  EXPECT_EQ(*model.metadata.find_string("tokenizer.ggml.pre"), "qwen2");
}

TEST(Tokenizer, names_that_llama_cpp_does_not_know_are_wrong_usage) {
  EXPECT_NO_THROW(check_pre_tokenizer_name("deepseek-v3"));
  try {
    check_pre_tokenizer_name("deepseek-v4");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUsage);
    EXPECT_EQ(error.message(), "--pre deepseek-v4: llama.cpp has no pre-tokenizer of this name");
    EXPECT_EQ(error.hint(), "did you mean deepseek-v3?");
  }
}

TEST(Tokenizer, bytes_encode_to_the_alphabet) {
  EXPECT_EQ(byte_level_encoded("a \n\xC3\xAD"), "a\u0120\u010A\u00C3\u0143");
  for (int byte = 0; byte < 128; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    EXPECT_EQ(byte_level_decoded(byte_level_encoded(text)), text);
  }
}

TEST(Tokenizer, special_tokens_that_the_family_names) {
  TokenizerCheckpoint checkpoint;
  checkpoint.files["tokenizer.json"] = plain().dump();
  TokenizerRequest request = {.pre_tokenizers = {"glm4"}, .n_tokens = 8, .tokens_of_kinds = {{"bos", "<s>"}, {"eot", "<s>"}}};
  checkpoint.files["config.json"] = R"({"bos_token_id": 3})";
  const Metadata metadata = checkpoint.write(request);
  EXPECT_EQ(metadata.find_uint("tokenizer.ggml.bos_token_id"), 3u);  // the files' ids win
  EXPECT_EQ(metadata.find_uint("tokenizer.ggml.eot_token_id"), 0u);
  request.tokens_of_kinds = {{"eot", "<|user|>"}};
  EXPECT_TRUE(says(checkpoint.error(request), "tokenizer.json: added_tokens: \"<|user|>\" is missing"));
}

TEST(Tokenizer, two_equal_tokens_are_refused) {
  TokenizerCheckpoint checkpoint;
  json tokenizer = plain();
  tokenizer["added_tokens"].push_back({{"id", 5}, {"content", "\u0061"}, {"normalized", true}});
  tokenizer["model"]["vocab"].erase("a");
  tokenizer["model"]["vocab"]["[PAD7]"] = 1;
  checkpoint.files["tokenizer.json"] = tokenizer.dump();
  EXPECT_TRUE(says(checkpoint.error({.pre_tokenizers = {"glm4"}, .n_tokens = 8}), "token \"[PAD7]\" has two ids: 1 and 7"));
}

// bos, eos ... of a tokenizer with the added tokens <s> 0, </s> 1, <sep> 2.
struct Special {
  json tokenizer = {
      {"added_tokens", {{{"id", 0}, {"content", "<s>"}}, {{"id", 1}, {"content", "</s>"}}, {{"id", 2}, {"content", "<sep>"}}}}};
  json tokenizer_config, config = {{"architectures", {"X"}}};
  bool skip_beyond = false;
  std::vector<Finding> findings;

  SpecialTokens read() {
    const JsonDocument t = document(tokenizer);
    const JsonDocument c(tokenizer_config.dump(), "tokenizer_config.json");
    const SpecialTokenSources sources = {&t, tokenizer_config.is_null() ? nullptr : &c, 10, skip_beyond};
    return read_special_tokens(sources, Config(JsonDocument(config.dump(), "config.json")), findings);
  }
};
using Ids = std::vector<std::pair<std::string, uint32_t>>;
using Flags = std::vector<std::pair<std::string, bool>>;

TEST(SpecialTokens, tokenizer_config_wins_over_config) {
  Special s;
  s.tokenizer_config = {
      {"eos_token", {{"content", "</s>"}}}, {"bos_token", "unknown"}, {"add_eos_token", false}, {"add_bos_token", nullptr}};
  s.config.update({{"bos_token_id", 7}, {"eos_token_id", 2}, {"pad_token_id", {1, 2}}});
  const SpecialTokens found = s.read();
  EXPECT_EQ(found.ids, (Ids{{"eos", 1}, {"bos", 7}}));
  EXPECT_EQ(found.add, (Flags{{"eos", false}}));
}

json piece(const char* special) { return {{"SpecialToken", {{"id", special}, {"type_id", 0}}}}; }
json sequence(const char* id) { return {{"Sequence", {{"id", id}, {"type_id", 0}}}}; }

TEST(SpecialTokens, templates_say_what_is_added) {
  Special s;
  s.tokenizer_config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  s.tokenizer["post_processor"] = {{"type", "Sequence"},
                                   {"processors",
                                    {{{"type", "ByteLevel"}},
                                     {{"type", "TemplateProcessing"},
                                      {"single", {piece("<s>"), sequence("A")}},
                                      {"pair", {piece("<s>"), sequence("A"), piece("<s>"), sequence("B")}}}}}};
  EXPECT_EQ(s.read().add, (Flags{{"bos", true}, {"sep", false}}));
}

TEST(SpecialTokens, another_last_token_makes_eos_the_end_of_a_turn) {
  Special s;
  s.tokenizer_config = {{"bos_token", "<s>"}, {"eos_token", "<sep>"}};
  s.tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"}, {"single", {sequence("A"), piece("</s>")}}, {"pair", json::array()}};
  const SpecialTokens found = s.read();
  EXPECT_EQ(found.ids, (Ids{{"bos", 0}, {"eos", 1}, {"eot", 2}}));
  EXPECT_EQ(found.add, (Flags{{"eos", true}}));
}

TEST(SpecialTokens, bad_ids_are_findings_or_errors) {
  Special s;
  s.config["pad_token_id"] = -1;
  EXPECT_TRUE(s.read().ids.empty());
  ASSERT_EQ(s.findings.size(), 1u);
  EXPECT_EQ(s.findings[0].message, "field \"pad_token_id\" is -1: ignored");
  s.config["pad_token_id"] = 10;
  EXPECT_TRUE(says(error_of([&] { s.read(); }), "the pad token's id 10 is beyond the 10 tokens"));
  s.config["pad_token_id"] = 4294967296;
  EXPECT_TRUE(says(error_of([&] { s.read(); }), "config.json: the pad token's id 4294967296 is beyond the 10 tokens"));
}

TEST(SpecialTokens, ids_beyond_the_tokens_may_be_left_out) {
  Special s;
  s.skip_beyond = true;
  s.config["pad_token_id"] = 10;
  EXPECT_TRUE(s.read().ids.empty());
  ASSERT_EQ(s.findings.size(), 1u);
  EXPECT_EQ(s.findings[0].message, "the pad token's id 10 is beyond the 10 tokens of the model: ignored");
}

TEST(SpecialTokens, unknown_post_processors_are_refused) {
  Special s;
  s.tokenizer["post_processor"] = {{"type", "RobertaProcessing"}};
  EXPECT_TRUE(
      says(error_of([&] { s.read(); }), "post_processor: found \"RobertaProcessing\", expected ByteLevel or TemplateProcessing"));
}

const std::string* chat_template(const Model& model) { return model.metadata.find_string("tokenizer.chat_template"); }

TEST(ChatTemplate, tokenizer_config_then_jinja_then_json) {
  NemotronCheckpoint checkpoint;
  EXPECT_EQ(chat_template(checkpoint.describe()), nullptr);
  checkpoint.files["chat_template.json"] = R"({"chat_template": "json"})";
  EXPECT_EQ(*chat_template(checkpoint.describe()), "json");
  checkpoint.files["chat_template.jinja"] = "jin\r\nja\r";
  EXPECT_EQ(*chat_template(checkpoint.describe()), "jin\nja\n");
  checkpoint.tokenizer_config["chat_template"] = "own";
  EXPECT_EQ(*chat_template(checkpoint.describe()), "own");
  checkpoint.tokenizer_config["chat_template"] = nullptr;  // an answer too
  EXPECT_EQ(chat_template(checkpoint.describe()), nullptr);
}

TEST(ChatTemplate, named_templates) {
  NemotronCheckpoint checkpoint;
  checkpoint.tokenizer_config["chat_template"] = {
      {{"name", "tool use"}, {"template", "t"}}, {{"name", "default"}, {"template", "d"}}, {{"name", "rag"}, {"template", "r"}}};
  const Model model = checkpoint.describe();
  EXPECT_EQ(*chat_template(model), "d");
  EXPECT_EQ(*model.metadata.find_string("tokenizer.chat_template.tool_use"), "t");
  EXPECT_EQ(std::get<Texts>(*model.metadata.find("tokenizer.chat_templates")), (Texts{"rag", "tool_use"}));
  checkpoint.tokenizer_config.erase("chat_template");
  checkpoint.files = {{"chat_template.jinja", "main"}, {"additional_chat_templates/x.jinja", "more"}};
  EXPECT_EQ(*checkpoint.describe().metadata.find_string("tokenizer.chat_template.x"), "more");
}

TEST(ChatTemplate, must_be_utf8) {
  NemotronCheckpoint checkpoint;
  checkpoint.files["chat_template.jinja"] = "\xFF";
  EXPECT_TRUE(says(checkpoint.error(), "chat_template.jinja: not UTF-8"));
}

TEST(Tokenizer, missing_files) {
  NemotronCheckpoint checkpoint;
  checkpoint.tokenizer_config = nullptr;
  const std::vector<Finding> warnings = warnings_of(checkpoint.describe().findings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].message, "missing: no chat template is written");
  checkpoint.tokenizer = nullptr;
  EXPECT_TRUE(says(checkpoint.error(), "tokenizer.json: missing: the vocabulary is read from it"));
}

}  // namespace
}  // namespace ggufmill
