#include "cmd/inspect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cmd/inspection.h"
#include "tests/convert/quantized_files.h"
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

const std::filesystem::path kUltra =
    GGUFMILL_TEST_DATA "/goldens/d2-ultra-nvfp4-modelopt/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4";

const Json* find(const Json& list, const std::string& key, const std::string& value) {
  const auto at = std::ranges::find_if(list, [&](const Json& entry) { return entry[key] == value; });
  EXPECT_NE(at, list.end()) << value;
  return at == list.end() ? nullptr : &*at;
}

TEST(InspectCommand, AQuantizedCheckpoint) {
  const Json j = json_of(kUltra);
  EXPECT_EQ(j["parameters"], 2204958) << "values, not bytes; as plan counts them";
  const std::string expert = "backbone.layers.1.mixer.experts.0.down_proj";
  const Json& codes = *find(j["tensors"], "name", expert + ".weight");
  EXPECT_EQ(codes["type"], "U8");
  EXPECT_EQ(codes["shape"], (Json{256, 128}));
  EXPECT_EQ(codes["weight"], expert + ".weight");
  EXPECT_EQ(codes["scheme"], "NVFP4, groups of 16");
  EXPECT_EQ(codes["values"], (Json{256, 256}));
  EXPECT_EQ(codes["scale_range"], (Json{22.0, 448.0}));
  EXPECT_NEAR(codes["tensor_scale"].get<double>(), 0.0001301, 1e-7);
  EXPECT_EQ((*find(j["tensors"], "name", expert + ".weight_scale_2"))["scale_of"], expert + ".weight");
  const Json& fp8 = *find(j["tensors"], "name", "backbone.layers.0.mixer.in_proj.weight");
  EXPECT_EQ(fp8["scheme"], "FP8, one scale");
  EXPECT_FALSE(fp8.contains("scale_range"));
  EXPECT_FALSE(find(j["tensors"], "name", "lm_head.weight")->contains("scheme"));
  const Json& nvfp4 = *find(j["types"], "type", "NVFP4");
  EXPECT_EQ(nvfp4["tensors"], 12);
  EXPECT_EQ(nvfp4["parameters"], 786432);
  EXPECT_NEAR(nvfp4["bytes"].get<double>() * 8 / 786432, 4.5, 0.002);
  EXPECT_TRUE(j["findings"].empty()) << j["findings"];
  const std::string text = text_of({.path = kUltra, .verbose = true});
  EXPECT_NE(text.find("NVFP4, groups of 16  22 to 448, of all 0.0001301\n"), std::string::npos) << text.substr(0, 3000);
  EXPECT_NE(text.find("FP8, one scale       0.001107\n"), std::string::npos);
}

TEST(InspectCommand, StacksShowTheRangeOfTheirScales) {
  QuantizedFiles files;
  files.add("e.up", DType::U8, {2, 4, 16}).add("e.up_weight_scale", DType::F8_E4M3, {2, 4, 2});
  files.add_f32("e.up_weight_scale_2", {0.5f, 0.1f}, {2}).open();
  const Json j = json_of(files.folder.path());
  EXPECT_EQ((*find(j["tensors"], "name", "e.up"))["tensor_scale"].dump(), "[0.1,0.5]");
  EXPECT_EQ((*find(j["tensors"], "name", "e.up"))["values"], (Json{2, 4, 32}));
}

// inspect is what one looks at a broken download with.
TEST(InspectCommand, BrokenScalesAreFindings) {
  QuantizedFiles files;
  files.config["quantization_config"] = {{"quant_algo", "MXFP8"}, {"weight_block_size", "x"}};
  files.add("a.weight", DType::U8, {4, 16});
  files.add("b.weight", DType::U8, {4, 16}).add("b.weight_scale", DType::F8_E4M3, {4, 2}, std::string(8, '\x7f'));
  files.add_f32("b.weight_scale_2", {0}).open();
  const Json j = json_of(files.folder.path());
  std::vector<std::string> texts;
  for (const Json& f : j["findings"]) texts.push_back(f["tensor"].get<std::string>() + ": " + f["message"].get<std::string>());
  EXPECT_EQ(texts,
            (std::vector<std::string>{
                ": config.json: field \"weight_block_size\": expected two numbers from 1 to 65536",
                "a.weight: is U8, and the scales of a quantized weight are missing (*.weight_scale, *.scale, of a known dtype)",
                "b.weight_scale_2: is 0, expected a finite number above zero", "b.weight_scale: scale 0 of row 0 is NaN"}));
  EXPECT_FALSE(find(j["tensors"], "name", "a.weight")->contains("scheme"));
}

TEST(InspectCommand, ConfigThatContradictsIsAFinding) {
  QuantizedFiles files;
  files.config["quantization_config"] = {{"quant_algo", "MXFP8"}};
  files.add("a.weight", DType::U8, {4, 32}).add("a.weight_scale", DType::U8, {4, 2}).open();
  const Json j = json_of(files.folder.path());
  EXPECT_EQ(j["findings"][0]["message"], "config.json: says that the weights are MXFP8, but no tensor is");
  EXPECT_EQ((*find(j["tensors"], "name", "a.weight"))["scheme"], "MXFP4, groups of 32");
}

TEST(InspectCommand, ThousandsOfEqualFindingsAreCounted) {
  QuantizedFiles files;
  for (int i = 0; i < 30; ++i) files.add("e." + std::to_string(i) + ".weight", DType::F8_E4M3, {4, 16});
  files.open();
  const Json j = json_of(files.folder.path());
  ASSERT_EQ(j["findings"].size(), 21u);
  EXPECT_EQ(j["findings"][20]["message"], "and 10 more of this kind");
}

// A sparse file: nobody reads its 1.1 GB of scales.
TEST(InspectCommand, VeryManyScalesAreReadOnRequest) {
  TempFolder folder;
  folder.write("config.json", "{}");
  const uint64_t rows = 1'100'000, codes = rows * 16'000, scales = rows * 1000;
  const Json header = {{"a.weight", {{"dtype", "U8"}, {"shape", {rows, 16'000}}, {"data_offsets", {0, codes}}}},
                       {"a.weight_scale", {{"dtype", "U8"}, {"shape", {rows, 1000}}, {"data_offsets", {codes, codes + scales}}}}};
  const auto file = folder.write("model.safetensors", safetensors_bytes(header.dump(), ""));
  std::filesystem::resize_file(file, std::filesystem::file_size(file) + codes + scales);
  const Json j = json_of(folder.path());
  EXPECT_EQ(j["findings"][1]["message"], "the scales of blocks are 1.1 GB and were not read (--scales reads all)");
  EXPECT_FALSE(find(j["tensors"], "name", "a.weight")->contains("scale_range"));
  EXPECT_EQ((*find(j["tensors"], "name", "a.weight"))["scheme"], "MXFP4, groups of 32");
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
