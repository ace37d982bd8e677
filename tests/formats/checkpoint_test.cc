#include "formats/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/formats/expect_error.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

std::string index_text(const std::map<std::string, std::string>& weight_map) {
  std::string text;
  for (const auto& [tensor, shard] : weight_map) text += (text.empty() ? "\"" : ",\"") + tensor + "\":\"" + shard + "\"";
  return "{\"metadata\":{\"total_size\":99},\"weight_map\":{" + text + "}}";
}

const std::string kOne = "model-00001-of-00002.safetensors";
const std::string kTwo = "model-00002-of-00002.safetensors";

// Tensors a, b in the first shard, c in the second, with or without an index.
class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("config.json", "{}");
    folder_.write(kOne, shard_bytes({"a", "b"}));
    folder_.write(kTwo, shard_bytes({"c"}));
  }
  void write_index(const std::map<std::string, std::string>& weight_map) {
    folder_.write("model.safetensors.index.json", index_text(weight_map));
  }
  void write_index() { write_index({{"a", kOne}, {"b", kOne}, {"c", kTwo}}); }
  void expect_refused(const std::string& reason) const {
    expect_error(Exit::kBadInput, folder_.path().native() + ": " + reason, [&] { Checkpoint checkpoint(folder_.path()); });
  }
  TempFolder folder_;
};

TEST_F(CheckpointTest, OpensAFolderWithOrWithoutIndex) {
  for (const bool with_index : {false, true}) {
    if (with_index) write_index();
    const Checkpoint checkpoint(folder_.path());
    EXPECT_EQ(checkpoint.folder(), folder_.path());
    EXPECT_EQ(checkpoint.model_name(), folder_.path().filename().native());
    ASSERT_EQ(checkpoint.shards().size(), 2u);
    EXPECT_EQ(checkpoint.shards()[1].name, kTwo);
    EXPECT_EQ(checkpoint.shards()[1].id, InputFile(folder_ / kTwo).id());
    EXPECT_EQ(checkpoint.source_bytes(), fs::file_size(folder_ / kOne) + fs::file_size(folder_ / kTwo));
    ASSERT_EQ(checkpoint.tensors().size(), 3u);
    const SourceTensor* c = checkpoint.find("c");
    ASSERT_NE(c, nullptr);
    EXPECT_EQ(c->shard, 1u);
    EXPECT_EQ(c->dtype, DType::F32);
    EXPECT_EQ(c->elems(), 2u);
    EXPECT_EQ(c->extent, (Extent{checkpoint.shards()[1].data_offset, 8}));
    EXPECT_EQ(checkpoint.find("d"), nullptr);
    EXPECT_TRUE(checkpoint.has_file("config.json"));
    EXPECT_FALSE(checkpoint.has_file("tokenizer.json"));
    EXPECT_EQ(checkpoint.file("config.json"), folder_ / "config.json");
  }
}

TEST_F(CheckpointTest, IndexSaysWhichFilesBelong) {
  write_index();
  folder_.write("model-extra.safetensors", "not looked at");
  EXPECT_EQ(Checkpoint(folder_.path()).shards().size(), 2u);
}

TEST_F(CheckpointTest, OpensOneFileWithConfigBeside) {
  const Checkpoint checkpoint(folder_ / kTwo);
  EXPECT_EQ(checkpoint.folder(), folder_.path());
  EXPECT_EQ(checkpoint.model_name(), folder_.path().filename().native());
  EXPECT_EQ(checkpoint.tensors().size(), 1u);
  const fs::path old = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_EQ(Checkpoint(kTwo).model_name(), folder_.path().filename().native());
  EXPECT_EQ(Checkpoint(".").model_name(), folder_.path().filename().native());
  fs::current_path(old);
}

TEST(Checkpoint, OpensAHubSnapshot) {
  const TempFolder folder;
  const std::string repository = "hub/models--org--Mini-3/";
  const std::string snapshot = repository + "snapshots/" + std::string(40, 'c') + "/";
  const std::string bytes = shard_bytes({"a"});
  const std::string etag = sha256(as_bytes(bytes)).hex();
  folder.write(repository + "blobs/" + etag, bytes);
  folder.write(repository + "blobs/config", "{}");
  folder.write(repository + "refs/main", std::string(40, 'c'));
  folder.link(snapshot + "model.safetensors", "../../blobs/" + etag);
  folder.link(snapshot + "config.json", "../../blobs/config");
  const Checkpoint checkpoint(resolve_source("org/Mini-3", folder / "hub"));
  EXPECT_EQ(checkpoint.model_name(), "Mini-3");
  EXPECT_EQ(checkpoint.shards()[0].expected_sha256, sha256(as_bytes(bytes)));
}

TEST(Checkpoint, OpensTheMiniNemotron3) {
  const Checkpoint checkpoint(fs::path(GGUFMILL_TEST_DATA) / "mini-nemotron3");
  EXPECT_EQ(checkpoint.model_name(), "mini-nemotron3");
  EXPECT_EQ(checkpoint.shards().size(), 4u);
  uint64_t parameters = 0;
  for (const SourceTensor& tensor : checkpoint.tensors()) parameters += tensor.elems();
  EXPECT_EQ(parameters, 13'799'296u);
  EXPECT_TRUE(std::ranges::is_sorted(checkpoint.tensors(), {}, &SourceTensor::name));
}

TEST(Checkpoint, OpensEveryGoldenSource) {
  size_t opened = 0;
  for (const auto& file : fs::recursive_directory_iterator(fs::path(GGUFMILL_TEST_DATA) / "goldens")) {
    if (file.path().filename() != "model.safetensors.index.json") continue;
    const Checkpoint checkpoint(file.path().parent_path());
    EXPECT_GT(checkpoint.tensors().size(), 10u) << file.path();
    EXPECT_EQ(checkpoint.model_name(), file.path().parent_path().filename());
    ++opened;
  }
  EXPECT_GE(opened, 3u);
}

TEST(Checkpoint, NoSuchPath) {
  const TempFolder folder;
  expect_error(Exit::kBadInput, (folder / "none").native() + ": no such file or folder", [&] { Checkpoint c(folder / "none"); });
}

TEST(Checkpoint, NeitherFolderNorSafetensors) {
  expect_error(Exit::kBadInput, "/dev/zero: neither a folder nor a .safetensors file", [] { Checkpoint c("/dev/zero"); });
}

TEST(Checkpoint, NoConfig) {
  const TempFolder folder;
  folder.write("model.safetensors", shard_bytes({"a"}));
  const std::string message =
      folder.path().native() + ": no config.json (a model folder holds config.json beside its safetensors)";
  expect_error(Exit::kBadInput, message, [&] { Checkpoint c(folder.path()); });
  expect_error(Exit::kBadInput, message, [&] { Checkpoint c(folder / "model.safetensors"); });
  fs::create_directory(folder / "config.json");
  expect_error(Exit::kBadInput, message, [&] { Checkpoint c(folder.path()); });
}

TEST(Checkpoint, NoShards) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  const std::string message = folder.path().native() + ": no model*.safetensors and no model.safetensors.index.json";
  expect_error(Exit::kBadInput, message, [&] { Checkpoint c(folder.path()); });
  folder.write("pytorch_model.bin", "");
  EXPECT_EQ(error_of([&] { Checkpoint c(folder.path()); }).hint(),
            "only safetensors are read: convert the model's .bin files first");
}

TEST_F(CheckpointTest, ShardsMissingFromTheIndexedSet) {
  write_index();
  fs::remove(folder_ / kOne);
  fs::remove(folder_ / kTwo);
  expect_refused("2 of 2 shards cannot be used: " + kOne + ": missing; " + kTwo + ": missing");
}

TEST_F(CheckpointTest, ShardsMissingFromTheCountedSet) {
  fs::remove(folder_ / kOne);
  expect_refused("1 of 2 shards cannot be used: " + kOne + ": missing");
}

TEST_F(CheckpointTest, EverythingWrongWithTheShardsInOneLine) {
  write_index(
      {{"a", kOne}, {"c", kTwo}, {"d", "model-3.safetensors"}, {"e", "model-4.safetensors"}, {"f", "model-5.safetensors"}});
  fs::resize_file(folder_ / kOne, fs::file_size(folder_ / kOne) - 1);
  folder_.write("model-3.safetensors", "version https://git-lfs.github.com/spec/v1\n");
  folder_.write("model-4.safetensors", "");
  folder_.write("model-5.safetensors.incomplete", "");
  const std::string bytes = std::to_string(shard_bytes({"a", "b"}).size());
  const std::string less = std::to_string(shard_bytes({"a", "b"}).size() - 1);
  expect_refused("4 of 5 shards cannot be used: " + kOne + ": tensor \"b\": data ends at " + bytes + ", file has " + less +
                 " bytes (truncated download?); model-3.safetensors: LFS pointer, run git lfs pull; "
                 "model-4.safetensors: empty file (unfinished download?); model-5.safetensors: missing; "
                 "unfinished downloads: model-5.safetensors.incomplete");
}

TEST_F(CheckpointTest, LongListsAreCut) {
  folder_.write("model-00001-of-00100.safetensors", shard_bytes({"z"}));
  const std::string message = error_of([&] { Checkpoint c(folder_.path()); }).message();
  EXPECT_NE(message.find("99 of 102 shards cannot be used: model-00002-of-00100.safetensors: missing; "), std::string::npos)
      << message;
  EXPECT_TRUE(message.ends_with("model-00009-of-00100.safetensors: missing and 91 more")) << message;
}

TEST_F(CheckpointTest, OneBadFileIsNamedAlone) {
  folder_.write("only.safetensors", "");
  expect_error(Exit::kBadInput, folder_.path().native() + ": only.safetensors: empty file (unfinished download?)",
               [&] { Checkpoint c(folder_ / "only.safetensors"); });
}

TEST_F(CheckpointTest, OddFilesInPlaceOfAShardNeverHang) {
  const fs::path shard = folder_ / kTwo;
  const auto refused_as = [&](const std::string& reason) {
    expect_refused("1 of 2 shards cannot be used: " + shard.native() + ": " + reason);
    fs::remove_all(shard);
  };
  fs::remove(shard);
  ASSERT_EQ(mkfifo(shard.c_str(), 0600), 0);
  refused_as("is a FIFO, not a regular file");
  fs::create_directory(shard);
  refused_as("is a folder, not a regular file");
  folder_.link(kTwo, "/dev/zero");
  refused_as("is a device, not a regular file");
  folder_.link(kTwo, kTwo);
  refused_as("cannot open: Too many levels of symbolic links");
  folder_.link(kTwo, "../blobs/gone");
  refused_as("symbolic link to ../blobs/gone, which does not exist");
}

TEST_F(CheckpointTest, HintFetchesWhatIsMissing) {
  fs::remove(folder_ / kOne);
  fs::create_directories(folder_ / ".cache/huggingface/download");
  folder_.write(".cache/huggingface/download/x.incomplete", "");
  const Error error = error_of([&] { Checkpoint c(folder_.path()); });
  EXPECT_TRUE(error.message().ends_with("missing; unfinished downloads: x.incomplete")) << error.message();
  EXPECT_EQ(error.hint(), "run the same `hf download ... --local-dir " + folder_.path().native() + "` again");
}

TEST_F(CheckpointTest, IndexWithBadShardNameIsRefusedBeforeAnythingIsOpened) {
  write_index({{"a", "../../etc/passwd"}});
  EXPECT_EQ(error_of([&] { Checkpoint c(folder_.path()); }).message(),
            (folder_ / "model.safetensors.index.json").native() +
                ": tensor \"a\": shard name \"../../etc/passwd\" holds a path separator");
}

TEST_F(CheckpointTest, DanglingIndexIsNotIgnored) {
  folder_.link("model.safetensors.index.json", "gone");
  EXPECT_EQ(error_of([&] { Checkpoint c(folder_.path()); }).message(),
            (folder_ / "model.safetensors.index.json").native() + ": symbolic link to gone, which does not exist");
}

TEST_F(CheckpointTest, TensorInTwoShards) {
  folder_.write(kTwo, shard_bytes({"c", "a"}));
  expect_refused("1 tensor in two shards: a (" + kOne + ", " + kTwo + ")");
}

TEST_F(CheckpointTest, IndexAndShardsDisagreeInEveryWay) {
  write_index({{"a", kTwo}, {"aa", kOne}, {"c", kTwo}, {"zz", kTwo}});
  expect_refused("2 tensors in the index but not in their shard: aa (" + kOne + "), zz (" + kTwo +
                 "); 1 tensor not in the shard that the index names: a (index: " + kTwo + ", found in " + kOne +
                 "); 1 tensor in a shard but not in the index: b (" + kOne + ")");
}

TEST_F(CheckpointTest, LastTensorsMissingInTheIndex) {
  write_index({{"a", kOne}, {"b", kTwo}});
  fs::remove(folder_ / kTwo);
  folder_.write(kTwo, shard_bytes({"b", "y", "z"}));
  folder_.write(kOne, shard_bytes({"a"}));
  expect_refused("2 tensors in a shard but not in the index: y (" + kTwo + "), z (" + kTwo + ")");
}

}  // namespace
}  // namespace ggufmill
