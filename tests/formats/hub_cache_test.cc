#include "formats/hub_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

const std::string kCommitA(40, 'a');
const std::string kCommitB = "ab" + std::string(38, 'b');
const std::string kEtag(64, '7');

TEST(ModelName, IsTheRepositorysInACache) {
  const TempFolder folder;
  const fs::path snapshot = folder / ("hub/models--nvidia--NVIDIA-Mini-3/snapshots/" + kCommitA);
  fs::create_directories(snapshot / "sub");
  EXPECT_EQ(model_name_of(snapshot), "NVIDIA-Mini-3");
  EXPECT_EQ(model_name_of(snapshot / ""), "NVIDIA-Mini-3");
  EXPECT_EQ(model_name_of(snapshot / "sub"), "NVIDIA-Mini-3");
  EXPECT_EQ(model_name_of(folder.link("short", snapshot)), "NVIDIA-Mini-3");
  EXPECT_EQ(model_name_of(folder / ("models--gpt2/snapshots/" + kCommitA)), "gpt2");
  EXPECT_EQ(model_name_of(folder / ("Mini/snapshots/" + kCommitA)), "Mini") << "never the hash";
}

TEST(ModelName, IsElseTheFolders) {
  const TempFolder folder;
  fs::create_directories(folder / "My-Model");
  EXPECT_EQ(model_name_of(folder / "My-Model"), "My-Model");
  EXPECT_EQ(model_name_of(folder / "My-Model///"), "My-Model");
  EXPECT_EQ(model_name_of(folder / "My-Model/."), "My-Model");
  EXPECT_EQ(model_name_of("/"), "model");
  const fs::path old = fs::current_path();
  fs::current_path(folder / "My-Model");
  EXPECT_EQ(model_name_of("."), "My-Model");
  EXPECT_EQ(model_name_of(".."), folder.path().filename().native());
  fs::current_path(old);
}

TEST(PublishedSha256, IsTheBlobsName) {
  const TempFolder folder;
  folder.write("blobs/" + kEtag, "data");
  folder.write("blobs/" + kCommitA, "small");
  folder.link("snapshots/x/model.safetensors", "../../blobs/" + kEtag);
  folder.link("snapshots/x/config.json", "../../blobs/" + kCommitA);
  folder.link("snapshots/x/again.safetensors", "model.safetensors");
  folder.write("snapshots/x/plain", "data");
  const fs::path snapshot = folder / "snapshots/x";
  EXPECT_EQ(published_sha256(snapshot, "model.safetensors", {}), Sha256::from_hex(kEtag));
  EXPECT_EQ(published_sha256(snapshot, "again.safetensors", {}), Sha256::from_hex(kEtag)) << "through two links";
  EXPECT_EQ(published_sha256(snapshot, "config.json", {}), std::nullopt) << "a git hash of 40 digits";
  EXPECT_EQ(published_sha256(snapshot, "plain", {}), std::nullopt);
}

TEST(PublishedSha256, IsTheEtagOfALocalDirUnlessTheFileChangedLater) {
  const TempFolder folder;
  const std::string metadata = ".cache/huggingface/download/model.safetensors.metadata";
  const auto published = [&](double mtime_s) {
    return published_sha256(folder.path(), "model.safetensors", {.mtime_ns = static_cast<int64_t>(mtime_s * 1e9)});
  };
  EXPECT_EQ(published(0), std::nullopt);
  folder.write(metadata, kCommitA + "\n" + kEtag + "\n1700000000.25\n");
  EXPECT_EQ(published(1700000000), Sha256::from_hex(kEtag));
  EXPECT_EQ(published(1700000001), Sha256::from_hex(kEtag)) << "a second of tolerance";
  EXPECT_EQ(published(1700000002), std::nullopt) << "changed after the download";
  for (const std::string& text : {kCommitA + "\n" + kCommitA + "\n1700000000\n", kCommitA + "\n\"" + kEtag + "\"\n1700000000\n",
                                  kCommitA + "\n" + kEtag + "\n", kCommitA + "\n" + kEtag + "\nsoon\n",
                                  kEtag + "\n" + kEtag + "\n1700000000\n", std::string(), std::string(5000, 'x')}) {
    folder.write(metadata, text);
    EXPECT_EQ(published(0), std::nullopt) << text;
  }
}

TEST(UnfinishedDownloads, AreFoundInAllThreePlaces) {
  const TempFolder folder;
  const std::string repository = "models--o--n/";
  const std::string snapshot = repository + "snapshots/" + kCommitA + "/";
  folder.write(repository + "blobs/" + kEtag + ".1234abcd.incomplete", "");
  folder.write(repository + "blobs/" + kEtag, "");
  folder.write(snapshot + "model-00002-of-00002.safetensors.incomplete", "");
  folder.write(snapshot + ".cache/huggingface/download/x.incomplete", "");
  EXPECT_EQ(unfinished_downloads(folder / snapshot), (std::vector<std::string>{"model-00002-of-00002.safetensors.incomplete",
                                                                               "x.incomplete", kEtag + ".1234abcd.incomplete"}));
  EXPECT_TRUE(unfinished_downloads(folder / "none").empty());
}

TEST(DownloadHint, IsTheCommandWhereTheRepositoryIsKnown) {
  const TempFolder folder;
  fs::create_directories(folder / ("models--o--n/snapshots/" + kCommitA));
  EXPECT_EQ(download_hint(folder / ("models--o--n/snapshots/" + kCommitA)), "hf download o/n --revision " + kCommitA);
  EXPECT_EQ(download_hint(folder.path()), "download the model again (`hf download`): finished files are kept");
  fs::create_directories(folder / ".cache/huggingface");
  EXPECT_EQ(download_hint(folder.path()), "run the same `hf download ... --local-dir " + folder.path().native() + "` again");
}

// A cache with o/n, whose snapshots are these.
class ResolveSource : public testing::Test {
 protected:
  void add_snapshot(const std::string& commit) { fs::create_directories(folder_ / ("models--o--n/snapshots/" + commit)); }
  fs::path snapshot(const std::string& commit) const { return folder_ / ("models--o--n/snapshots/" + commit); }
  fs::path resolve(std::string_view source) const { return resolve_source(source, folder_.path()); }
  TempFolder folder_;
};

TEST_F(ResolveSource, ExistingPathWins) {
  add_snapshot(kCommitA);
  const fs::path old = fs::current_path();
  fs::current_path(folder_.path());
  fs::create_directories("o/n");
  folder_.link("o/loop", "loop");
  EXPECT_EQ(resolve("o/n"), "o/n");
  EXPECT_EQ(resolve("o/loop"), "o/loop") << "whoever opens it says what is wrong";
  fs::current_path(old);
  EXPECT_EQ(resolve(folder_.path().native()), folder_.path());
}

TEST_F(ResolveSource, MainWinsOverOtherSnapshots) {
  add_snapshot(kCommitA);
  add_snapshot(kCommitB);
  folder_.write("models--o--n/refs/main", kCommitB + "\n");
  EXPECT_EQ(resolve("o/n"), snapshot(kCommitB));
}

TEST_F(ResolveSource, OnlySnapshotWithoutMain) {
  add_snapshot(kCommitA);
  EXPECT_EQ(resolve("o/n"), snapshot(kCommitA));
  folder_.write("models--o--n/refs/main", kCommitB);
  EXPECT_EQ(resolve("o/n"), snapshot(kCommitA)) << "main's own snapshot is not there";
}

TEST_F(ResolveSource, RevisionSelectsARefOrACommit) {
  add_snapshot(kCommitA);
  add_snapshot(kCommitB);
  folder_.write("models--o--n/refs/main", kCommitA);
  folder_.write("models--o--n/refs/v1.0", kCommitB);
  folder_.write("models--o--n/refs/refs/pr/3", kCommitB);
  EXPECT_EQ(resolve("o/n@main"), snapshot(kCommitA));
  EXPECT_EQ(resolve("o/n@v1.0"), snapshot(kCommitB));
  EXPECT_EQ(resolve("o/n@refs/pr/3"), snapshot(kCommitB));
  EXPECT_EQ(resolve("o/n@ab"), snapshot(kCommitB));
  EXPECT_EQ(resolve("o/n@" + kCommitA), snapshot(kCommitA));
}

TEST_F(ResolveSource, NeitherPathNorRepository) {
  for (const std::string source :
       {"o/other", "nothing", "", "../x", "o/../n", "o/n/x", "/o/n", "o/n@", "o/n@../../../x", "o/n@/x", "o/..", "a b/c"}) {
    expect_error(Exit::kBadInput, source + ": no such file or folder, and not in the hub cache", [&] { resolve(source); });
  }
  EXPECT_EQ(error_of([&] { resolve("o/other@v1"); }).hint(), "hf download o/other");
  EXPECT_EQ(error_of([&] { resolve("nothing"); }).hint(), "");
  expect_error(Exit::kBadInput, "o/n: no such file or folder, and not in the hub cache", [&] { resolve_source("o/n", ""); });
}

TEST_F(ResolveSource, NoSnapshot) {
  fs::create_directories(folder_ / "models--o--n/snapshots/not-a-commit");
  expect_error(Exit::kBadInput, "o/n: the hub cache has no snapshot of it (unfinished download?)", [&] { resolve("o/n"); });
}

TEST_F(ResolveSource, SeveralSnapshotsWithoutMain) {
  add_snapshot(kCommitA);
  add_snapshot(kCommitB);
  const std::string have = "; the hub cache has " + kCommitA + ", " + kCommitB;
  expect_error(Exit::kBadInput, "o/n: no refs/main and several snapshots" + have, [&] { resolve("o/n"); });
  expect_error(Exit::kBadInput, "o/n: revision \"a\" selects several snapshots" + have, [&] { resolve("o/n@a"); });
  expect_error(Exit::kBadInput, "o/n: revision \"v2\" selects no snapshot" + have, [&] { resolve("o/n@v2"); });
  EXPECT_EQ(error_of([&] { resolve("o/n"); }).hint(), "choose one: o/n@COMMIT");
}

TEST_F(ResolveSource, RefWithoutItsSnapshot) {
  add_snapshot(kCommitA);
  folder_.write("models--o--n/refs/v2", kCommitB);
  expect_error(Exit::kBadInput,
               "o/n: revision v2 is commit " + kCommitB + ", whose snapshot is missing; the hub cache has " + kCommitA,
               [&] { resolve("o/n@v2"); });
}

TEST_F(ResolveSource, RefThatIsNoCommit) {
  add_snapshot(kCommitA);
  const fs::path ref = folder_.write("models--o--n/refs/main", "../../../../etc");
  expect_error(Exit::kBadInput, ref.native() + ": \"../../../../etc\" is not a commit hash of 40 hex digits",
               [&] { resolve("o/n"); });
}

}  // namespace
}  // namespace ggufmill
