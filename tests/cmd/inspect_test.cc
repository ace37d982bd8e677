#include "cmd/inspect.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cmd/inspection.h"
#include "tests/formats/expect_error.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/verify/small_set.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const InspectOptions& options) {
  std::ostringstream out;
  EXPECT_EQ(run_inspect(options, out), 0);
  return out.str();
}
Json json_of(const std::filesystem::path& path) { return Json::parse(text_of({.path = path, .json = true})); }

TEST(InspectCommand, AGgufSplitAsText) {
  const SmallSet set;
  for (const char* path : {"m.gguf", "m-00002-of-00002.gguf", ""}) {
    EXPECT_EQ(text_of({.path = set.folder().path() / path}),
              "GGUF version 3, x: 2 files, 736 B, 3 tensors, 261 parameters, 8.95 bits per weight\n"
              "\n"
              "key                   type  value\n"
              "general.architecture  str   \"x\"\n"
              "split.no              u16   0\n"
              "split.count           u16   2\n"
              "split.tensors.count   i32   3\n"
              "\n"
              "file   size  name\n"
              "   1  352 B  m-00001-of-00002.gguf\n"
              "   2  384 B  m-00002-of-00002.gguf\n"
              "\n"
              "type  tensors  parameters   size    share  bits/weight\n"
              "Q8_0        2         256  272 B   93.2 %         8.50\n"
              "F32         1           5   20 B    6.8 %        32.00\n"
              "----  -------  ----------  -----  -------  -----------\n"
              "all         3         261  292 B  100.0 %         8.95\n"
              "\n"
              "tensor  type  shape       bytes  file\n"
              "a       F32   5              20     1\n"
              "b       Q8_0  32 x 2         68     1\n"
              "c       Q8_0  32 x 2 x 3    204     2\n");
  }
}

TEST(InspectCommand, AGgufSplitAsJson) {
  const SmallSet set;
  const Json j = json_of(set.folder().path() / "m.gguf");
  EXPECT_EQ(j["format"], "gguf");
  EXPECT_EQ(j["metadata"],
            (Json{{"general.architecture", "x"}, {"split.no", 0}, {"split.count", 2}, {"split.tensors.count", 3}}));
  EXPECT_EQ(j["tensors"][2],
            (Json{{"name", "c"}, {"type", "Q8_0"}, {"shape", {32, 2, 3}}, {"bytes", 204}, {"file", "m-00002-of-00002.gguf"}}));
  EXPECT_EQ(j["types"][0], (Json{{"type", "F32"}, {"tensors", 1}, {"parameters", 5}, {"bytes", 20}}));
}

TEST(InspectCommand, MetadataValuesInJson) {
  TempFolder folder;
  Metadata m;
  m.set("general.architecture", std::string("x"));
  m.set("f", 0.1f);
  m.set("nan", std::nanf(""));
  m.set("inf", -std::numeric_limits<double>::infinity());
  m.set("u64", ~uint64_t{0});
  m.set("flags", std::vector<bool>{true, false});
  m.set("bytes", std::vector<uint8_t>{65});
  m.set("short", std::vector<std::string>{"a"});
  m.set("long", std::vector<int32_t>(65, 7));
  folder.write("m.gguf", bytes_text(gguf_header_bytes(m, {})));
  const Json j = json_of(folder / "m.gguf")["metadata"];
  EXPECT_EQ(j["f"].dump(), "0.1");
  EXPECT_EQ(j["nan"], "NaN");
  EXPECT_EQ(j["inf"], "-Infinity");
  EXPECT_EQ(j["u64"], ~uint64_t{0});
  EXPECT_EQ(j["flags"], (Json{true, false}));
  EXPECT_EQ(j["bytes"], Json::array({65}));
  EXPECT_EQ(j["short"], Json::array({"a"}));
  EXPECT_EQ(j["long"], (Json{{"type", "arr[i32]"}, {"length", 65}}));
}

TEST(InspectCommand, ACheckpoint) {
  const Json j = json_of(GGUFMILL_TEST_DATA "/mini-nemotron3");
  EXPECT_EQ(j["format"], "safetensors");
  EXPECT_EQ(j["metadata"]["hidden_size"], 256);
  EXPECT_EQ(j["files"].size(), 4u);
  EXPECT_EQ(j["types"][0]["type"], "BF16");
  EXPECT_EQ(j["tensors"].size(), 141u);
  for (const Json& t : j["tensors"]) EXPECT_EQ(t.size(), 5u);
  const std::string text = text_of({.path = GGUFMILL_TEST_DATA "/mini-nemotron3"});
  EXPECT_TRUE(text.starts_with("checkpoint mini-nemotron3: 4 shards, 27.6 MB, 141 tensors, 13.8 M parameters, "))
      << text.substr(0, 200);
  EXPECT_TRUE(text.ends_with("... and 81 more tensors (-v shows all)\n"));
}

TEST(InspectCommand, AnImportanceMatrix) {
  TempFolder folder;
  GgufBytes b;
  b.start(2, 4).kv_str("general.type", "imatrix").str("imatrix.datasets").u32(9).u32(8).u64(1).str("calib.txt");
  b.kv_u32("imatrix.chunk_count", 5).kv_u32("imatrix.chunk_size", 512);
  b.tensor("w.in_sum2", {2, 3}, 0, 0).tensor("w.counts", {1, 3}, 0, 32).pad().f32(1).pad().f32(4).f32(0).f32(9).pad();
  folder.write("i.gguf", b.bytes);
  const Json j = json_of(folder / "i.gguf");
  EXPECT_EQ(j["format"], "imatrix");
  EXPECT_EQ(j["metadata"]["imatrix.datasets"], Json::array({"calib.txt"}));
  EXPECT_EQ(j["tensors"][0]["name"], "w");
  EXPECT_EQ(j["tensors"][0]["shape"], (Json{2, 3}));
  EXPECT_EQ(j["tensors"][0]["tokens"], (Json{{"least", 0.0}, {"most", 9.0}, {"never_seen", 1}}));
  EXPECT_EQ(j["findings"][0]["message"], "1 expert of 3 never seen");
  const std::string text = text_of({.path = folder / "i.gguf"});
  EXPECT_TRUE(text.starts_with("importance matrix: 1 tensor, 5 chunks, 1 dataset, experts never seen: 1, ")) << text;
  EXPECT_NE(text.find("warning: tensor \"w\": 1 expert of 3 never seen\n"), std::string::npos) << text;
  EXPECT_NE(text.find("w       F32   2 x 3     24  0 to 9\n"), std::string::npos) << text;
}

TEST(InspectCommand, OtherPathsAreBadInput) {
  TempFolder folder;
  EXPECT_EQ(error_of([&] { text_of({.path = folder.path()}); }).code(), Exit::kBadInput);
  EXPECT_EQ(error_of([&] { text_of({.path = folder / "gone.gguf"}); }).code(), Exit::kBadInput);
  folder.write("x.manifest.json", "");
  expect_error(Exit::kBadInput, (folder / "x.gguf").string() + ": the files of this set are missing",
               [&] { text_of({.path = folder / "x.gguf"}); });
  folder.write("x.gguf", "text");
  expect_error(Exit::kBadInput, "x.gguf: not a GGUF file: it starts with \"text\"",
               [&] { text_of({.path = folder / "x.gguf"}); });
  folder.write("y.gguf", "text");
  EXPECT_EQ(error_of([&] { text_of({.path = folder.path()}); }).code(), Exit::kUsage);
}

TEST(InspectCommand, NamesCannotReachTheTerminal) {
  TempFolder folder;
  Metadata m;
  m.set("general.architecture", std::string("x\x1b[2J"));
  folder.write("m.gguf", bytes_text(gguf_header_bytes(m, {})));
  EXPECT_EQ(text_of({.path = folder / "m.gguf"}).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace ggufmill
