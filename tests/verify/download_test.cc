#include "verify/download.h"

#include <gtest/gtest.h>

#include "tests/formats/temp_folder.h"
#include "tests/verify/small_set.h"

namespace ggufmill {
namespace {

using Lines = std::vector<std::string>;

// One BF16 tensor of 4 bytes.
std::string shard_bytes(char fill = 'a') {
  const std::string header = R"({"t":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  return bytes + header + std::string(4, fill);
}

Lines lines_for(const std::filesystem::path& path) {
  Report report;
  check_download(path, 2, report);
  return lines_of(report);
}

constexpr const char* kSnapshot = "models--org--Name/snapshots/0123456789abcdef0123456789abcdef01234567/";

class HubSnapshot : public testing::Test {
 protected:
  // A file of the snapshot, linked into blobs under `blob`.
  void add(const std::string& name, const std::string& bytes, const std::string& blob) {
    folder_.write("models--org--Name/blobs/" + blob, bytes);
    folder_.link(kSnapshot + name, "../../blobs/" + blob);
  }
  void add_all() {
    add("model.safetensors", shard_bytes(), sha256(as_bytes(shard_bytes())).hex());
    add("config.json", "{}", git_blob_sha1(as_bytes("{}")));
    add("tokenizer.json", "large", sha256(as_bytes("large")).hex());
  }
  std::filesystem::path snapshot() { return folder_ / kSnapshot; }
  TempFolder folder_;
};

TEST_F(HubSnapshot, EveryFileIsKnown) {
  add_all();
  EXPECT_EQ(lines_for(snapshot()), Lines());
}

TEST_F(HubSnapshot, DifferingFilesAreNamed) {
  add_all();
  const std::string shard = sha256(as_bytes(shard_bytes())).hex(), tokenizer = sha256(as_bytes("large")).hex();
  folder_.write("models--org--Name/blobs/" + shard, shard_bytes('b'));
  folder_.write("models--org--Name/blobs/" + tokenizer, "Large");
  folder_.write("models--org--Name/blobs/" + git_blob_sha1(as_bytes("{}")), "{ }");
  EXPECT_EQ(
      lines_for(snapshot()),
      (Lines{"error model.safetensors [] SHA-256 is " + sha256(as_bytes(shard_bytes('b'))).hex() + ", the hub says " + shard,
             "error config.json [] git SHA-1 is " + git_blob_sha1(as_bytes("{ }")) + ", the hub says " +
                 git_blob_sha1(as_bytes("{}")),
             "error tokenizer.json [] SHA-256 is " + sha256(as_bytes("Large")).hex() + ", the hub says " + tokenizer}));
}

TEST_F(HubSnapshot, ALinkThatLeadsNowhere) {
  add_all();
  std::filesystem::remove(folder_ / ("models--org--Name/blobs/" + sha256(as_bytes("large")).hex()));
  const Lines lines = lines_for(snapshot());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("error tokenizer.json [] ")) << lines[0];
  std::filesystem::remove(folder_ / ("models--org--Name/blobs/" + sha256(as_bytes(shard_bytes())).hex()));
  const Lines broken = lines_for(snapshot());
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_NE(broken[0].find("model.safetensors"), std::string::npos) << broken[0];
}

TEST(Download, FilesWithoutAKnownHashAreNamed) {
  TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", shard_bytes());
  EXPECT_EQ(lines_for(folder.path()), (Lines{"warning  [] 2 of 2 files have no known hash, so only their structure is checked: "
                                             "model.safetensors, config.json"}));
  for (int k = 0; k < 9; ++k) folder.write("note" + std::to_string(k), "");
  folder.write(".gitattributes", "");
  EXPECT_EQ(lines_for(folder.path()),
            (Lines{"warning  [] 11 of 11 files have no known hash, so only their structure is checked: "
                   "model.safetensors, config.json, note0, note1, note2, note3, note4, note5 and 3 more"}));
  EXPECT_EQ(lines_for(folder / "model.safetensors"),
            (Lines{"warning  [] 1 of 1 files have no known hash, so only their structure is "
                   "checked: model.safetensors"}));
}

TEST(Download, LocalDirMetadata) {
  TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", shard_bytes('b'));
  folder.write(".cache/huggingface/download/model.safetensors.metadata",
               std::string(40, '1') + "\n" + sha256(as_bytes(shard_bytes())).hex() + "\n99999999999.0\n");
  EXPECT_EQ(lines_for(folder.path()),
            (Lines{"error model.safetensors [] SHA-256 is " + sha256(as_bytes(shard_bytes('b'))).hex() + ", the hub says " +
                       sha256(as_bytes(shard_bytes())).hex(),
                   "info  [] 1 of 2 files have no known hash, so only their structure is checked: config.json"}));
}

TEST(Download, StructureIsOneFinding) {
  TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", shard_bytes().substr(0, 60));
  const Lines lines = lines_for(folder.path());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("error ")) << lines[0];
  EXPECT_NE(lines[0].find("model.safetensors"), std::string::npos) << lines[0];
}

}  // namespace
}  // namespace ggufmill
