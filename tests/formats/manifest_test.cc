#include "formats/manifest.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

Sha256 sha(std::string_view text) { return sha256(as_bytes(text)); }
Xxh128 xxh(std::string_view text) { return xxh128(as_bytes(text)); }

Manifest example() {
  Manifest m;
  m.program_version = "0.1.0";
  m.encoding_version = 3;
  m.architecture = "nemotron_h_moe";
  m.recipe_name = "nemotron3-3bit";
  m.recipe_sha256 = sha("recipe");
  m.imatrix = ManifestImatrix{"imatrix.gguf", sha("imatrix")};
  m.source = {{"model-00001-of-00002.safetensors", 1000, sha("s1")}, {"model-00002-of-00002.safetensors", 2000, std::nullopt}};
  m.files = {{"m-00001-of-00002.gguf", 4096, sha("f1"), 96, xxh("h1")},
             {"m-00002-of-00002.gguf", 8192, sha("f2"), 64, xxh("h2")}};
  m.tensors = {{"output_norm.weight",
                GgmlType::F32,
                {8},
                "m-00001-of-00002.gguf",
                {96, 32},
                xxh("t1"),
                0.0,
                std::nullopt,
                0,
                0,
                0,
                "",
                ""},
               {"blk.1.ffn_up_exps.weight",
                GgmlType::IQ3_S,
                {256, 2, 3},
                "m-00002-of-00002.gguf",
                {64, 660},
                xxh("t2"),
                0.1 / 3,
                WorstBlock{5, 0, 0.7},
                2,
                1,
                4,
                "max",
                "importance"},
               {"blk.2.x",
                GgmlType::Q8_0,
                {32},
                "m-00002-of-00002.gguf",
                {736, 34},
                xxh("t3"),
                std::nullopt,
                std::nullopt,
                0,
                0,
                0,
                "fast",
                "importance"}};
  return m;
}

// The text with `from` replaced by `to` once and the content hash made right again.
std::string edited(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  const size_t line = text.rfind("\n \"content_xxh3_128\"");
  return text.substr(0, line) + "\n \"content_xxh3_128\": \"" + xxh(text.substr(0, line)).hex() + "\"\n}\n";
}

std::string message_of(const std::string& text) {
  return error_of([&] { parse_manifest(text, "m.manifest.json"); }).message();
}
std::string message_of_edit(std::string_view from, std::string_view to) {
  return message_of(edited(manifest_text(example()), from, to));
}

TEST(Manifest, RoundTrip) {
  const Manifest m = example();
  const std::string text = manifest_text(m);
  EXPECT_EQ(parse_manifest(text, "m.manifest.json"), m);
  EXPECT_EQ(manifest_text(parse_manifest(text, "m")), text);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_TRUE(text.ends_with("\"\n}\n"));
}

TEST(Manifest, LoadReadsAFile) {
  TempFolder folder;
  EXPECT_EQ(load_manifest(folder.write("m.manifest.json", manifest_text(example()))), example());
  EXPECT_EQ(error_of([&] { load_manifest(folder.path() / "absent.manifest.json"); }).code(), Exit::kBadInput);
}

TEST(Manifest, InfinityIsWrittenAsNull) {
  Manifest m = example();
  m.tensors[0].relative_rmse = std::numeric_limits<double>::infinity();
  m.tensors[1].worst_block->relative_error = std::numeric_limits<double>::infinity();
  const Manifest read = parse_manifest(manifest_text(m), "m");
  EXPECT_EQ(read.tensors[0].relative_rmse, std::nullopt);
  EXPECT_EQ(read.tensors[1].worst_block, m.tensors[1].worst_block);
}

TEST(Manifest, TextIsThis) {
  Manifest m;
  m.program_version = "0.1.0";
  m.files = {{"a.gguf", 64, sha("x"), 32, xxh("y")}};
  const std::string text = manifest_text(m);
  EXPECT_TRUE(
      text.starts_with("{\n \"manifest_version\": 1,\n \"program\": {\n  \"name\": \"ggufmill\",\n  \"version\": \"0.1.0\",\n  "
                       "\"encoding_version\": 0\n },\n"
                       " \"architecture\": \"\",\n \"recipe\": {\n  \"name\": \"\",\n  \"sha256\": \"0000"))
      << text;
  EXPECT_NE(text.find(" \"imatrix\": null,\n \"source\": [],\n \"files\": [\n  {\n   \"name\": \"a.gguf\",\n   \"bytes\": 64,\n"),
            std::string::npos);
  EXPECT_EQ(parse_manifest(text, "m"), m);
}

TEST(Manifest, Sha256sumsAreReadableBySha256sum) {
  TempFolder folder;
  Manifest m = example();
  for (size_t i = 0; i < m.files.size(); ++i) {
    folder.write(m.files[i].name, "content " + std::to_string(i));
    m.files[i].sha256 = sha("content " + std::to_string(i));
  }
  const std::string text = manifest_text(m);
  folder.write("m.manifest.json", text);
  folder.write("m.SHA256SUMS", sha256sums_text(m, "m.manifest.json", sha(text)));
  EXPECT_EQ(folder.read("m.SHA256SUMS"), m.files[0].sha256.hex() + "  m-00001-of-00002.gguf\n" + m.files[1].sha256.hex() +
                                             "  m-00002-of-00002.gguf\n" + sha(text).hex() + "  m.manifest.json\n");
  const std::string command = "cd " + folder.path().string() + " && sha256sum --strict --quiet -c m.SHA256SUMS";
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(manifest_file_name("m"), "m.manifest.json");
  EXPECT_EQ(sha256sums_file_name("m"), "m.SHA256SUMS");
}

TEST(Manifest, EveryFlippedBitIsFound) {
  const std::string text = manifest_text(example());
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THROW(parse_manifest(flipped, "m"), Error) << "bit " << bit;
  }
}

TEST(Manifest, EveryTruncationIsFound) {
  const std::string text = manifest_text(example());
  for (size_t n = 0; n < text.size(); ++n) EXPECT_THROW(parse_manifest(text.substr(0, n), "m"), Error) << n;
  EXPECT_THROW(parse_manifest(text + " ", "m"), Error);
}

TEST(Manifest, UnknownKeysArePassedOver) {
  EXPECT_EQ(
      parse_manifest(edited(manifest_text(example()), "\"architecture\"", "\"later\": [1, {\"x\": 2}],\n \"architecture\""), "m"),
      example());
}

TEST(Manifest, DamageIsNamed) {
  std::string text = manifest_text(example());
  text[text.find("nemotron3-3bit")] = 'N';
  EXPECT_NE(message_of(text).find("m.manifest.json: content hash is "), std::string::npos);
  EXPECT_NE(message_of(text).find("(damaged or edited)"), std::string::npos);
  EXPECT_EQ(message_of("{}"), "m.manifest.json: content_xxh3_128 is missing");
  EXPECT_EQ(message_of(""), "m.manifest.json: content_xxh3_128 is missing");
}

TEST(Manifest, EveryFieldIsChecked) {
  struct Case {
    std::string_view from, to, message;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"\"manifest_version\": 1", "\"manifest_version\": 2", "manifest_version is 2, this program reads 1"},
           {"\"manifest_version\": 1", "\"manifest_version\": \"1\"", "manifest_version is not an unsigned integer"},
           {"\"name\": \"ggufmill\"", "\"name\": \"other\"", "program.name is \"other\", not ggufmill"},
           {"\"version\": \"0.1.0\"", "\"version\": 1", "program.version is not a string"},
           {"\"encoding_version\": 3", "\"encoding_version\": 4294967296", "program.encoding_version is too large"},
           {"\"architecture\": \"nemotron_h_moe\"", "\"arch\": 1", "architecture is missing"},
           {"\"architecture\"", "\"architecture\": \"a\",\n \"architecture\"", "architecture is there twice"},
           {"\"recipe\": {", "\"recipe\": 1, \"r\": {", "recipe is not an object"},
           {"\"name\": \"imatrix.gguf\"", "\"name\": \"a/imatrix.gguf\"",
            "imatrix.name is not a plain file name: \"a/imatrix.gguf\""},
           {"\"bytes\": 2000", "\"bytes\": -1", "source[1].bytes is not an unsigned integer"},
           {"\"bytes\": 2000", "\"bytes\": 1.5", "source[1].bytes is not an unsigned integer"},
           {"\"name\": \"m-00002-of-00002.gguf\"", "\"name\": \"..\"", "files[1].name is not a plain file name: \"..\""},
           {"\"name\": \"m-00002-of-00002.gguf\"", "\"name\": \"m-00001-of-00002.gguf\"",
            "files has \"m-00001-of-00002.gguf\" twice"},
           {"\"header_bytes\": 64", "\"x\": 64", "files[1].header_bytes is missing"},
           {"\"tensors\": [", "\"tensors\": 1, \"t\": [", "tensors is not an array"},
           {"\"type\": \"IQ3_S\"", "\"type\": \"IQ9\"", "tensors[1].type is not a ggml type: \"IQ9\""},
           {"\"file\": \"m-00001-of-00002.gguf\"", "\"file\": \"o.gguf\"",
            "tensors has tensor \"output_norm.weight\" in \"o.gguf\", which is not in files"},
           {"\"name\": \"blk.2.x\"", "\"name\": \"output_norm.weight\"", "tensors has tensor \"output_norm.weight\" twice"},
           {"\"offset\": 736", "\"offset\": 18446744073709551615", "tensors[2].bytes is too large"},
           {"\"relative_rmse\": 0.0", "\"relative_rmse\": -1", "tensors[0].relative_rmse is not a number >= 0"},
           {"\"row\": 5", "\"row\": true", "tensors[1].worst_block.row is not an unsigned integer"},
           {"\"nan_count\": 2", "\"nan\": 2", "tensors[1].nan_count is missing"},
           {"\"inf_count\": 1", "\"inf_count\": null", "tensors[1].inf_count is not an unsigned integer"},
       }) {
    EXPECT_EQ(message_of_edit(c.from, c.to), "m.manifest.json: " + std::string(c.message)) << c.from << " -> " << c.to;
  }
  EXPECT_EQ(message_of_edit(sha("f1").hex(), "ABC"), "m.manifest.json: files[0].sha256 is not a hash in lower-case hex: \"ABC\"");
}

}  // namespace
}  // namespace ggufmill
