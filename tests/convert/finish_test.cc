#include "convert/finish.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>

#include "convert/executor.h"
#include "tests/convert/event_log.h"
#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

const std::atomic<bool> kGoOn{false};

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    out[entry.path().filename()] = entry.is_directory() ? "(folder)" : std::string(std::istreambuf_iterator<char>(in), {});
  }
  return out;
}

RunOptions options_for(const fs::path& folder, bool force = false) {
  RunOptions options;
  options.folder = folder;
  options.force = force;
  options.program_version = "1";
  return options;
}

// A conversion that is complete but for the renames: FINISH stands in the journal, everything under its part name.
class BeforeRenames {
 public:
  explicit BeforeRenames(bool replace) {
    fs::create_directory(out());
    EventLog events;
    run_plan(small.plan, options_for(out()), events, kGoOn);
    want = contents(out());
    // Back to the moment before the renames.
    WorkFolder work(path(), false);
    FinishRecord finish;
    for (const PlannedFile& f : small.plan.files) finish.files.push_back(file(f.name));
    finish.files.push_back(file("out.SHA256SUMS"));
    finish.files.push_back(file("out.manifest.json"));
    finish.replace = replace;
    for (const auto& f : finish.files) fs::rename(out() / f.name, work.part(f.name));
    Journal journal(work.journal());
    journal.append(PlanRecord{kJournalVersion, small.plan.digest, small.plan.digest_parts});
    journal.append(finish);
    journal.sync();
    record = finish;
  }
  fs::path out() const { return folder / "out"; }
  fs::path path() const { return work_folder_path(small.plan, out()); }
  void add_old_set() const {
    folder.write("out/out-00001-of-00003.gguf", "old 1 of 3");
    folder.write("out/out-00002-of-00002.gguf", "old 2 of 2");
    folder.write("out/out.manifest.json", "old manifest");
  }
  static std::map<std::string, std::string> old_set() {
    return {{"out-00001-of-00003.gguf", "old 1 of 3"},
            {"out-00002-of-00002.gguf", "old 2 of 2"},
            {"out.manifest.json", "old manifest"}};
  }
  Outcome resume(bool force = false) const {
    EventLog events;
    return run_plan(small.plan, options_for(out(), force), events, kGoOn);
  }

  SmallPlan small;
  TempFolder folder;
  std::map<std::string, std::string> want;
  FinishRecord record;

 private:
  FinishRecord::File file(const std::string& name) const { return {name, want.at(name).size(), sha256(as_bytes(want.at(name)))}; }
};

TEST(Finish, RenamesEverythingAndRemovesTheWorkFolder) {
  const BeforeRenames run(false);
  EXPECT_EQ(run.want.size(), 4u);
  WorkFolder work(run.path(), false);
  rename_into_place(run.record, run.out(), "out", work);
  EXPECT_EQ(contents(run.out()), run.want);
}

TEST(Finish, GoesOnAfterAnInterruptionAtEveryRename) {
  for (size_t done = 0; done <= 4; ++done) {
    const BeforeRenames run(false);
    for (size_t i = 0; i < done; ++i)
      fs::rename(run.path() / (run.record.files[i].name + ".part"), run.out() / run.record.files[i].name);
    EXPECT_EQ(run.resume(), Outcome::kFinished);
    EXPECT_EQ(contents(run.out()), run.want) << done;
  }
}

TEST(Finish, GoesOnWhereAnInterruptionLeftBothNames) {
  // A file system without RENAME_NOREPLACE: link and unlink.
  const BeforeRenames run(false);
  fs::create_hard_link(run.path() / (run.record.files[0].name + ".part"), run.out() / run.record.files[0].name);
  EXPECT_EQ(run.resume(), Outcome::kFinished);
  EXPECT_EQ(contents(run.out()), run.want);
}

TEST(Finish, ReplacesAnOldSetOfAnotherSplit) {
  for (size_t done = 0; done <= 4; ++done) {  // renames before the interruption
    const BeforeRenames run(true);
    if (done == 0) {
      run.add_old_set();
    } else {  // it had moved the old set away
      for (const auto& [name, text] : BeforeRenames::old_set()) run.folder.write("out/out.ggufmill/old/" + name, text);
    }
    for (size_t i = 0; i < done; ++i)
      fs::rename(run.path() / (run.record.files[i].name + ".part"), run.out() / run.record.files[i].name);
    EXPECT_EQ(run.resume(), Outcome::kFinished);
    EXPECT_EQ(contents(run.out()), run.want) << done;
  }
}

TEST(Finish, ForceOfALaterRunIsEnough) {
  const BeforeRenames run(false);
  run.folder.write("out/" + run.record.files[0].name, "in the way");
  EXPECT_EQ(error_of([&] { run.resume(); }).code(), Exit::kCannotCreate);
  EXPECT_EQ(run.resume(true), Outcome::kFinished);
  EXPECT_EQ(contents(run.out()), run.want);
}

TEST(Finish, OldFolderThatIsALinkIsNotFollowed) {
  const BeforeRenames run(true);
  run.add_old_set();
  fs::create_directory(run.folder / "elsewhere");
  fs::create_symlink(run.folder / "elsewhere", run.path() / "old");
  expect_error(Exit::kCannotCreate, (run.path() / "old").string() + ": exists and is not a folder", [&] { run.resume(); });
  EXPECT_TRUE(fs::is_empty(run.folder / "elsewhere"));
  EXPECT_EQ(contents(run.out()).count("out-00001-of-00003.gguf"), 1u);
}

TEST(Finish, FileThatVanishedIsNamed) {
  const BeforeRenames run(false);
  fs::remove(run.path() / (run.record.files[1].name + ".part"));
  expect_error(Exit::kSystem,
               (run.out() / run.record.files[1].name).string() + ": vanished or changed while the conversion finished",
               [&] { run.resume(); });
}

TEST(Finish, RestartTakesBackWhatWasRenamedAndLosesNoOldFile) {
  // With --force, interrupted after the first rename; then --restart without --force: refused, and the old set stands as it did.
  const BeforeRenames run(true);
  for (const auto& [name, text] : BeforeRenames::old_set()) run.folder.write("out/out.ggufmill/old/" + name, text);
  fs::rename(run.path() / (run.record.files[0].name + ".part"), run.out() / run.record.files[0].name);
  RunOptions options = options_for(run.out());
  options.restart = true;
  EventLog events;
  EXPECT_EQ(error_of([&] { run_plan(run.small.plan, options, events, kGoOn); }).code(), Exit::kCannotCreate);
  auto found = contents(run.out());
  found.erase("out.ggufmill");
  EXPECT_EQ(found, BeforeRenames::old_set());
  EXPECT_EQ(run.resume(true), Outcome::kFinished) << "the finished work was not lost either";
  EXPECT_EQ(contents(run.out()), run.want);
}

TEST(Finish, RestartAfterInterruptedRenamesConvertsAnew) {
  const BeforeRenames run(false);
  fs::rename(run.path() / (run.record.files[0].name + ".part"), run.out() / run.record.files[0].name);
  RunOptions options = options_for(run.out());
  options.restart = true;
  EventLog events;
  EXPECT_EQ(run_plan(run.small.plan, options, events, kGoOn), Outcome::kFinished);
  EXPECT_FALSE(events.bytes_kept.has_value());
  EXPECT_EQ(contents(run.out()), run.want);
}

TEST(Finish, OldFileWhoseNameIsTakenIsNotLost) {
  const TempFolder folder;
  const WorkFolder work(folder / "out.ggufmill", false);
  folder.write("out.ggufmill/old/out.gguf", "old");
  folder.write("out.gguf", "new");
  EXPECT_EQ(error_of([&] { undo_renames(folder.path(), work); }).code(), Exit::kCannotCreate);
  EXPECT_EQ(folder.read("out.gguf"), "new");
  EXPECT_EQ(folder.read("out.ggufmill/old/out.gguf"), "old");
}

TEST(ExistingOutputs, AreTheNamesOfTheStemOnly) {
  const TempFolder folder;
  for (const char* name : {"m.gguf", "m.SHA256SUMS", "m.manifest.json", "m-00001-of-00002.gguf", "m-00009-of-00009.gguf",
                           "mm.gguf", "m.gguf.bak", "m-1-of-2.gguf", "m2-00001-of-00002.gguf", "README.md"}) {
    folder.write(name, "");
  }
  std::vector<std::string> names;
  for (const fs::path& path : existing_outputs(folder.path(), "m")) names.push_back(path.filename());
  EXPECT_EQ(names, (std::vector<std::string>{"m-00001-of-00002.gguf", "m-00009-of-00009.gguf", "m.SHA256SUMS", "m.gguf",
                                             "m.manifest.json"}));
}

TEST(ExistingOutputs, FolderThatIsNotThere) {
  const TempFolder folder;
  expect_error(Exit::kCannotCreate, (folder / "no").string() + ": cannot list the folder: No such file or directory",
               [&] { existing_outputs(folder / "no", "m"); });
}

TEST(Manifest, OfACompleteLedger) {
  const SmallPlan small;
  const TempFolder folder;
  EventLog events;
  run_plan(small.plan, options_for(folder.path()), events, kGoOn);
  const ggufmill::Manifest manifest = load_manifest(folder / "out.manifest.json");
  EXPECT_EQ(manifest.program_version, "1");
  EXPECT_EQ(manifest.recipe_name, "by-hand");
  ASSERT_EQ(manifest.source.size(), 2u);
  EXPECT_EQ(manifest.source[0].sha256, sha256(as_bytes(small.shard_bytes(0))));
  ASSERT_EQ(manifest.files.size(), 2u);
  for (const ManifestFile& f : manifest.files) {
    const std::string bytes = folder.read(f.name);
    EXPECT_EQ(f.bytes, bytes.size());
    EXPECT_EQ(f.sha256, sha256(as_bytes(bytes)));
    EXPECT_EQ(f.header_hash, xxh128(as_bytes(bytes.substr(0, f.header_bytes))));
  }
  ASSERT_EQ(manifest.tensors.size(), 4u);
  for (const ManifestTensor& t : manifest.tensors) {
    EXPECT_EQ(t.hash, xxh128(as_bytes(folder.read(t.file).substr(t.extent.file_offset, t.extent.bytes)))) << t.name;
  }
  EXPECT_GT(manifest.tensors[0].relative_rmse, 0);
}

}  // namespace
}  // namespace ggufmill
