#include "cmd/verify.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/formats/expect_error.h"
#include "tests/verify/small_set.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;

struct Printed {
  int code;
  std::string text;
};

Printed run(const VerifyOptions& options) {
  std::ostringstream out;
  const int code = run_verify(options, out);
  return {code, out.str()};
}

TEST(VerifyCommand, TextOfASoundSet) {
  const SmallSet set;
  const std::string path = (set.folder().path() / "m.gguf").string();
  const Printed r = run({.out = path, .source = [&](const auto&) { return set.source(); }, .full = true});
  EXPECT_EQ(r.code, 0);
  EXPECT_TRUE(r.text.starts_with("OK  " + path +
                                 ": 2 files, 3 tensors, 736 B; checked: structure, hashes, values of 9 rows\n\n"
                                 "class    type  tensors  rows  rel. RMSE    worst    cosine  max error  worst tensor\n"
                                 "experts  Q8_0        1     6"))
      << r.text;
  EXPECT_NE(r.text.find("\nother    F32         1     1      exact           1.000000          0\n"), std::string::npos)
      << r.text;
  EXPECT_EQ(r.text.find("worst block"), std::string::npos);
  const Printed verbose = run({.out = path, .source = [&](const auto&) { return set.source(); }, .full = true, .verbose = true});
  EXPECT_NE(verbose.text.find("\ntensor  class    type  rows  rel. RMSE    cosine  max error  worst block\n"), std::string::npos)
      << verbose.text;
}

TEST(VerifyCommand, TextOfADamagedSet) {
  const SmallSet set;
  std::string bytes = set.files()[1].bytes;
  bytes[bytes.size() - 60] ^= 1;
  set.folder().write(set.files()[1].name, bytes);
  const Printed r = run({.out = set.folder().path()});
  EXPECT_EQ(r.code, 1);
  EXPECT_EQ(r.text, "FAILED  " + set.folder().path().string() +
                        ": 1 error, 2 files, 3 tensors, 736 B; checked: structure, hashes\n" +
                        "error: m-00002-of-00002.gguf: tensor \"c\": data differs from what m.manifest.json recorded\n");
}

TEST(VerifyCommand, LongListsAreCut) {
  TempFolder folder;
  std::vector<SmallTensor> tensors;
  for (int k = 0; k < 60; ++k) tensors.push_back({"t" + std::to_string(k), GgmlType::F32, {1}, {1}});
  Metadata metadata;
  metadata.set("general.architecture", std::string("x"));
  folder.write("m.gguf", small_file("m.gguf", metadata, tensors).bytes);
  const auto none = [](const auto&) { return RowSource(); };
  const Printed r = run({.out = folder / "m.gguf", .source = none});
  EXPECT_TRUE(r.text.ends_with("... and 21 more findings (-v shows all)\n")) << r.text;  // 60 tensors and "no checksums"
  EXPECT_NE(run({.out = folder / "m.gguf", .source = none, .verbose = true}).text.find("tensor \"t59\""), std::string::npos);
}

TEST(VerifyCommand, JsonHasTheContractsKeys) {
  const SmallSet set;
  const Printed r = run({.out = set.folder().path(), .source = [&](const auto&) { return set.source(); }, .json = true});
  const Json j = Json::parse(r.text);
  EXPECT_EQ(j["ok"], true);
  EXPECT_EQ(j["findings"], Json::array());
  ASSERT_EQ(j["tensors"].size(), 3u);
  const Json& c = j["tensors"][2];
  EXPECT_EQ(c["name"], "c");
  EXPECT_EQ(c["type"], "Q8_0");
  EXPECT_EQ(c["rows_compared"], 3);
  for (const char* key : {"relative_rmse", "cosine", "max_error"}) EXPECT_TRUE(c[key].is_number()) << key;
  set.folder().write("m.SHA256SUMS", "\xff");
  const Json damaged = Json::parse(run({.out = set.folder().path(), .json = true}).text);
  EXPECT_EQ(damaged["ok"], false);
  EXPECT_EQ(damaged["findings"][0]["severity"], "error");
  EXPECT_EQ(damaged["findings"][0]["file"], "m.SHA256SUMS");
  EXPECT_EQ(damaged["findings"][0]["tensor"], "");
  EXPECT_TRUE(damaged["findings"][0]["message"].get<std::string>().starts_with("line 1 is \"\\xff\""));
}

TEST(VerifyCommand, WrongOptionsAreErrors) {
  const SmallSet set;
  expect_error(Exit::kUsage, "--max-error: no tensor is of class \"expert\"; there are experts, other", [&] {
    run({.out = set.folder().path(), .source = [&](const auto&) { return set.source(); }, .max_error = {{"expert", 0.1}}});
  });
}

}  // namespace
}  // namespace ggufmill
