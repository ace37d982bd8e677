#include "verify/target.h"

#include <gtest/gtest.h>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

using Names = std::vector<std::string>;

TEST(FindTarget, AFileIsItsOwnSet) {
  TempFolder folder;
  const VerifyTarget target = find_target(folder.write("model-Q4.gguf", ""));
  EXPECT_FALSE(target.is_checkpoint);
  EXPECT_EQ(target.folder, folder.path());
  EXPECT_EQ(target.stem, "model-Q4");
  EXPECT_EQ(target.files, (Names{"model-Q4.gguf"}));
  EXPECT_EQ(find_target(folder.write("imatrix.dat", "")).stem, "imatrix.dat");
}

TEST(FindTarget, AMemberAndTheStemAreTheWholeSplit) {
  TempFolder folder;
  folder.write("m-00002-of-00003.gguf", "");
  for (const char* out : {"m-00002-of-00003.gguf", "m-00001-of-00003.gguf", "m.gguf", "m"}) {
    const VerifyTarget target = find_target(folder / out);
    EXPECT_EQ(target.stem, "m") << out;
    EXPECT_EQ(target.files, (Names{"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"})) << out;
  }
}

TEST(FindTarget, AFolderHoldsACheckpointOrOneSet) {
  TempFolder folder;
  folder.write("one/x.gguf", "");
  folder.write("one/x.SHA256SUMS", "");
  folder.write("one/x.manifest.json", "");
  folder.write("one/x.ggufmill/x.gguf", "");
  EXPECT_EQ(find_target(folder / "one").stem, "x");
  EXPECT_EQ(find_target(folder / "one/").files, (Names{"x.gguf"}));
  folder.write("gone/x.manifest.json", "");
  EXPECT_EQ(find_target(folder / "gone").stem, "x");
  EXPECT_TRUE(find_target(folder / "gone/x.gguf").files.empty());
  folder.write("hf/config.json", "{}");
  folder.write("hf/model.safetensors", "");
  folder.write("hf/x.gguf", "");
  EXPECT_TRUE(find_target(folder / "hf").is_checkpoint);
  EXPECT_TRUE(find_target(folder / "hf/model.safetensors").is_checkpoint);
  EXPECT_FALSE(find_target(folder / "hf/x.gguf").is_checkpoint);
  folder.write("partial/config.json", "{}");
  folder.write("partial/model.safetensors.index.json", "{}");
  EXPECT_TRUE(find_target(folder / "partial").is_checkpoint);
}

TEST(FindTarget, Ambiguous) {
  TempFolder folder;
  folder.write("m-00001-of-00002.gguf", "");
  folder.write("m-00001-of-00003.gguf", "");
  folder.write("b.manifest.json", "");
  const std::string two = "m.gguf (split in 2), m.gguf (split in 3)";
  expect_error(Exit::kUsage, (folder / "m.gguf").string() + ": holds 2 GGUF sets: " + two,
               [&] { find_target(folder / "m.gguf"); });
  expect_error(Exit::kUsage, folder.path().string() + ": holds 3 GGUF sets: b.gguf (missing), " + two,
               [&] { find_target(folder.path()); });
  EXPECT_EQ(find_target(folder / "m-00001-of-00002.gguf").files.size(), 2u);
}

TEST(FindTarget, NothingThere) {
  TempFolder folder;
  folder.write("config.json", "{}");
  expect_error(Exit::kDifference,
               folder.path().string() + ": holds neither GGUF files nor a checkpoint (config.json and *.safetensors)",
               [&] { find_target(folder.path()); });
  expect_error(Exit::kDifference, (folder / "no/x.gguf").string() + ": no such file or folder, and no split of that name",
               [&] { find_target(folder / "no/x.gguf"); });
  expect_error(Exit::kDifference, "nowhere.gguf: no such file or folder, and no split of that name",
               [] { find_target("nowhere.gguf"); });
}

}  // namespace
}  // namespace ggufmill
