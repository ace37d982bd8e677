#include "cmd/job.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

const fs::path kMini = fs::path(GGUFMILL_TEST_DATA) / "mini-nemotron3";

JobOptions options_for(const std::string& out = "") {
  JobOptions options;
  options.source = kMini.string();
  options.recipe = "Q8_0";
  options.out = out;
  return options;
}

TEST(Job, OpensAndPlansASource) {
  const TempFolder folder;
  JobOptions options = options_for((folder / "x.gguf").string());
  options.tensor_types = {"attn_q=F16"};
  options.split_max_tensors = 10;
  options.metadata = {"general.name=str:Mine"};
  options.memory = "64MiB";
  options.threads = 3;
  const Job job = open_job(options, true);
  EXPECT_EQ(job.place.folder, folder.path());
  EXPECT_EQ(job.plan.stem, "x");
  EXPECT_GT(job.plan.files.size(), 1u);
  EXPECT_EQ(job.memory_bytes, 64u << 20);
  EXPECT_EQ(job.threads, 3u);
  for (const PlannedTensor& t : job.plan.tensors) {
    EXPECT_EQ(t.name.find("attn_q.") != std::string::npos, t.type == GgmlType::F16) << t.name;
  }
}

TEST(Job, WithoutOutFilesAreNamedAfterModelAndRecipe) {
  const Job job = open_job(options_for(), false);
  EXPECT_EQ(job.plan.files[0].name, "mini-nemotron3-Q8_0.gguf");
  EXPECT_EQ(job.threads, usable_cores());
}

TEST(Job, OptionsThatExcludeEachOther) {
  JobOptions options = options_for();
  options.no_mtp = options.mtp_only = true;
  expect_error(Exit::kUsage, "--no-mtp and --mtp-only exclude each other", [&] { open_job(options, false); });
  options = options_for();
  options.no_split = true;
  options.split_max_size = "1G";
  expect_error(Exit::kUsage, "--split-max-size, --split-max-tensors and --no-split exclude each other",
               [&] { open_job(options, false); });
  options.no_split = false;
  options.split_max_size = "0";
  expect_error(Exit::kUsage, "--split-max-size: must be larger than 0", [&] { open_job(options, false); });
}

TEST(Job, PlanMakesNoFolder) {
  const TempFolder folder;
  open_job(options_for((folder / "new/").string() + "/"), false);
  EXPECT_FALSE(fs::exists(folder / "new"));
  open_job(options_for((folder / "new/").string() + "/"), true);
  EXPECT_TRUE(fs::is_directory(folder / "new"));
}

// ---- OUT

TEST(OutputPlaceOf, FileFolderAndFolderToBe) {
  const TempFolder folder;
  EXPECT_EQ(resolve_output((folder / "a.b.gguf").string(), true).stem, "a.b");
  EXPECT_EQ(resolve_output((folder / "a.gguf").string(), true).folder, folder.path());
  EXPECT_EQ(resolve_output("a.gguf", true).folder, ".");
  EXPECT_EQ(resolve_output(folder.path().string(), true).stem, "");
  EXPECT_EQ(resolve_output((folder / "x/y").string() + "/", true).stem, "");
  EXPECT_TRUE(fs::is_directory(folder / "x/y"));
}

TEST(OutputPlaceOf, WhatIsNeither) {
  const TempFolder folder;
  for (const std::string out : {"model", "model.bin", ".gguf", "dir/.gguf"}) {
    expect_error(Exit::kUsage,
                 "-o " + out + ": expected a path that ends in .gguf, or a folder (an existing one, or ending in '/')",
                 [&] { resolve_output(out, true); });
  }
  const std::string no = (folder / "no").string();
  expect_error(Exit::kCannotCreate, no + ": no such folder", [&] { resolve_output(no + "/x.gguf", true); });
  EXPECT_EQ(error_of([&] { resolve_output(no + "/x.gguf", true); }).hint(), "mkdir -p " + no);
  EXPECT_NO_THROW(resolve_output(no + "/x.gguf", false)) << "plan only says what would be";
  folder.write("file", "");
  const Error not_a_folder = error_of([&] { resolve_output((folder / "file").string() + "/", true); });
  EXPECT_EQ(not_a_folder.code(), Exit::kCannotCreate);
  EXPECT_TRUE(not_a_folder.message().starts_with((folder / "file").string() + "/: cannot create: ")) << not_a_folder.message();
  EXPECT_EQ(error_of([] { resolve_output(std::string(5000, 'x') + ".gguf", true); }).code(), Exit::kOk)
      << "its length is the file system's matter";
}

TEST(OutputPlaceOf, NamesThatAManifestCannotHold) {
  expect_error(Exit::kUsage, "output name a\\x0ab: control characters or broken UTF-8",
               [] { open_job(options_for("/tmp/a\nb.gguf"), false); });
}

TEST(Job, OutIsNeverAFileThatIsRead) {
  const TempFolder folder;
  folder.link("x.gguf", kMini / "model-00001-of-00004.safetensors");
  expect_error(Exit::kCannotCreate, (folder / "x.gguf").string() + ": is the source file model-00001-of-00004.safetensors",
               [&] { open_job(options_for((folder / "x.gguf").string()), true); });
  // The importance matrix is read too: --force would remove it.
  fs::copy(fs::path(GGUFMILL_TEST_DATA) / "mini-eval/imatrix.gguf", folder / "imatrix.gguf");
  JobOptions options = options_for((folder / "imatrix.gguf").string());
  options.imatrix = (folder / "imatrix.gguf").string();
  expect_error(Exit::kCannotCreate, (folder / "imatrix.gguf").string() + ": is the source file imatrix.gguf",
               [&] { open_job(options, true); });
}

TEST(Job, OutMayStandInTheSourcesFolder) {
  const TempFolder folder;
  fs::copy(kMini, folder / "m");
  JobOptions options = options_for((folder / "m").string());
  options.source = (folder / "m").string();
  EXPECT_EQ(open_job(options, true).plan.files[0].name, "m-Q8_0.gguf");
}

// ---- the environment

class Environment {
 public:
  Environment() {
    for (const char* name : kNames) {
      const char* value = std::getenv(name);
      if (value != nullptr) saved_.emplace_back(name, value);
      unsetenv(name);
    }
  }
  ~Environment() {
    for (const char* name : kNames) unsetenv(name);
    for (const auto& [name, value] : saved_) setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  static constexpr const char* kNames[] = {"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"};
  std::vector<std::pair<std::string, std::string>> saved_;
};

TEST(HubCache, AsHuggingfaceHubFindsIt) {
  const Environment restored;
  setenv("HOME", "/h", 1);
  EXPECT_EQ(hub_cache(), "/h/.cache/huggingface/hub");
  setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(hub_cache(), "/x/huggingface/hub");
  setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(hub_cache(), "/hf/hub");
  setenv("HF_HUB_CACHE", "/c", 1);
  EXPECT_EQ(hub_cache(), "/c");
}

TEST(UsableCores, AreAtLeastOneAndNotMoreThanThereAre) {
  EXPECT_GE(usable_cores(), 1u);
  EXPECT_LE(usable_cores(), static_cast<unsigned>(sysconf(_SC_NPROCESSORS_CONF)));
}

}  // namespace
}  // namespace ggufmill
