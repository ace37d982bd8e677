#include "formats/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(JsonDocument, ReadsAConfig) {
  const JsonDocument config(R"({"hidden_size": 8192, "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "model_type": "mini",
                                "rope": null, "time_step_limit": [0.0, Infinity], "low": -Infinity, "none": NaN})",
                            "config.json");
  EXPECT_EQ(json_int(config.root(), "hidden_size"), 8192);
  EXPECT_EQ(json_double(config.root(), "hidden_size"), 8192.0);
  EXPECT_EQ(json_double(config.root(), "rms_norm_eps"), 1e-05);
  EXPECT_EQ(json_bool(config.root(), "tie_word_embeddings"), false);
  EXPECT_EQ(json_string(config.root(), "model_type"), "mini");
  EXPECT_EQ(json_double(config.root(), "low"), -kInf);
  EXPECT_TRUE(std::isnan(json_double(config.root(), "none").value()));
  const simdjson::dom::array limit = json_find(config.root(), "time_step_limit")->get_array();
  EXPECT_EQ(json_double(limit.at(0)), 0.0);
  EXPECT_EQ(json_double(limit.at(1)), kInf);
}

TEST(JsonDocument, ElementsSurviveAMove) {
  JsonDocument first(R"({"a": "text"})", "x");
  const JsonDocument second = std::move(first);
  EXPECT_EQ(json_string(second.root(), "a"), "text");
  EXPECT_EQ(second.where(), "x");
}

TEST(JsonDocument, LoadsAFile) {
  const TempFolder folder;
  const JsonDocument document = JsonDocument::load(folder.write("a.json", R"({"a": 1})"), 100);
  EXPECT_EQ(json_int(document.root(), "a"), 1);
  EXPECT_EQ(document.where(), (folder / "a.json").native());
  expect_error(Exit::kBadInput, (folder / "a.json").native() + ": 8 bytes, expected at most 7",
               [&] { JsonDocument::load(folder / "a.json", 7); });
}

TEST(JsonFind, AnswersNulloptForOtherTypes) {
  const JsonDocument d(R"({"int": 1, "float": 1.5, "text": "1", "null": null, "array": [1], "big": 18446744073709551615})", "x");
  EXPECT_FALSE(json_find(d.root(), "absent"));
  EXPECT_FALSE(json_find(d.root(), "null"));
  EXPECT_FALSE(json_find(*json_find(d.root(), "array"), "int"));
  EXPECT_FALSE(json_int(d.root(), "float"));
  EXPECT_FALSE(json_int(d.root(), "text"));
  EXPECT_FALSE(json_int(d.root(), "big")) << "beyond int64";
  EXPECT_FALSE(json_double(d.root(), "text"));
  EXPECT_FALSE(json_double(d.root(), "array"));
  EXPECT_FALSE(json_bool(d.root(), "int"));
  EXPECT_FALSE(json_string(d.root(), "int"));
}

TEST(JsonFind, LastOfTwoEqualKeysCounts) {
  const JsonDocument d(R"({"a": 1, "a": 2})", "x");
  EXPECT_EQ(json_int(d.root(), "a"), 2);
}

TEST(JsonFind, StringsAreNotTakenForQuotedNonfinites) {
  const JsonDocument d(R"({"a": "NaN", "b": "Infinity", "c": "N", "d": "Infin"})", "x");
  for (const char* key : {"a", "b", "c", "d"}) EXPECT_FALSE(json_double(d.root(), key)) << key;
  EXPECT_EQ(json_string(d.root(), "b"), "Infinity");
}

std::string quoted(std::string text) {
  const size_t bytes = text.size();
  quote_bare_nonfinite(text);
  EXPECT_EQ(text.size(), bytes) << text;
  return text;
}

TEST(QuoteBareNonfinite, KeepsTheLength) {
  EXPECT_EQ(quoted("[Infinity]"), "[\"\x7fInfin\"]");
  EXPECT_EQ(quoted("[-Infinity]"), "[\"\x7f-Infin\"]");
  EXPECT_EQ(quoted("{\"a\":NaN}"), "{\"a\":\"\x7f\"}");
  EXPECT_EQ(quoted("[ NaN ,\n\tNaN\r]"), "[ \"\x7f\" ,\n\t\"\x7f\"\r]");
  EXPECT_EQ(quoted("NaN"), "\"\x7f\"");
}

TEST(QuoteBareNonfinite, LeavesStringsAndBrokenTextAlone) {
  for (const char* text : {R"(["Infinity", "a, NaN, b", "\"NaN,", "\\"])", "[NaNs]", "[1NaN]", "[-NaN]", "[+Infinity]",
                           "[--Infinity]", "{NaN: 1}", "[inf]", "[Infinit", "[-", "\"open NaN", "[\"a\\", ""}) {
    EXPECT_EQ(quoted(text), text);
  }
}

std::string rounded(std::string text) {
  const size_t bytes = text.size();
  round_long_integers(text);
  EXPECT_EQ(text.size(), bytes) << text;
  return text;
}

// transformers writes int(1e30) where a tokenizer has no limit.
TEST(RoundLongIntegers, MakesAModelMaxLengthReadable) {
  const JsonDocument d(R"({"model_max_length": 1000000000000000019884624838656})", "tokenizer_config.json");
  EXPECT_EQ(json_double(d.root(), "model_max_length"), 1e30);
  EXPECT_FALSE(json_int(d.root(), "model_max_length"));
}

TEST(RoundLongIntegers, TouchesOnlyWhat64BitsCannotHold) {
  EXPECT_EQ(rounded("[18446744073709551615]"), "[18446744073709551615]");
  EXPECT_EQ(rounded("[18446744073709551616]"), "[18446744073709551e03]");
  EXPECT_EQ(rounded("[-9223372036854775808, -9223372036854775809]"), "[-9223372036854775808, -9223372036854775e03]");
  for (const char* text :
       {R"(["1000000000000000019884624838656"])", "[1.000000000000000019884624838656]", "[1e1000000000000000019884624838656]",
        "[1000000000000000019884624838656.0]", "[1000000000000000019884624838656e2]", "{1000000000000000019884624838656:1}"}) {
    EXPECT_EQ(rounded(text), text);
  }
}

void expect_refused(std::string text, const std::string& reason) {
  expect_error(Exit::kBadInput, "dir/x.json: not valid JSON: " + reason, [&] { JsonDocument(text, "dir/x.json"); });
}

TEST(JsonDocument, RefusesByteOrderMark) { expect_refused("\xEF\xBB\xBF{}", "the text starts with a byte order mark"); }

TEST(JsonDocument, LimitsTheDepth) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(JsonDocument(nested(kMaxJsonDepth - 1), "x"));
  expect_refused(nested(kMaxJsonDepth + 1), "nested deeper than 64 levels");
  expect_refused(nested(200'000), "nested deeper than 64 levels");
}

TEST(JsonDocument, RefusesBrokenText) {
  const auto refused = [](const std::string& text) {
    const Error error = error_of([&] { JsonDocument(text, "x.json"); });
    EXPECT_TRUE(error.message().starts_with("x.json: not valid JSON: ")) << text << " -> " << error.message();
    EXPECT_EQ(error.message().find('\n'), std::string::npos);
    EXPECT_EQ(error.code(), Exit::kBadInput);
  };
  for (const char* text :
       {"", " ", "{", "{\"a\"}", "{} x", "[1,]", "{'a': 1}", "[01]", "[1e309]", "[nan]", "// c\n{}", "\"\\ud800\"", "\"\xff\"",
        "\"\xed\xa0\x80\"", "\"a", "[\"\n\"]", "{NaN: 1}", "[-NaN]", "[123456789012345678901234567890x]"}) {
    refused(text);
  }
  refused(std::string("{\"a\": 1\0}", 9));
}

}  // namespace
}  // namespace ggufmill
