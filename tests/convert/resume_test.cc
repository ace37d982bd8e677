#include "convert/resume.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>

#include "convert/encode_tile.h"
#include "convert/executor.h"
#include "convert/finish.h"
#include "convert/part_files.h"
#include "tests/convert/event_log.h"
#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

const std::atomic<bool> kGoOn{false};

// An output folder, and what an interrupted run leaves in its work folder.
class Interrupted {
 public:
  // Converts all rows in tiles of 512 values and hashes of both shards, but stops before FINISH; file 0 is hashed if `hashed`.
  explicit Interrupted(const SmallPlan& small, bool hashed = false) : plan(small.plan) {
    fs::create_directory(out());
    WorkFolder work(path(), false);
    Journal journal(work.journal());
    Ledger ledger(plan);
    resume(plan, work, journal, ledger, kGoOn);
    std::vector<OutputFile> parts = open_parts(plan, work, ledger);
    TileReader reader(plan, ledger, 512, true);
    for (Tile tile; reader.next(tile);) {
      if (tile.last_of_shard) journal.append(ShardHashRecord{tile.shard, {}});
      if (!tile.encoded) continue;
      const EncodedTile done = encode_tile(plan, tile, nullptr, false);
      const PlannedTensor& t = plan.tensors[tile.tensor];
      parts[t.file].write_exact(t.extent.file_offset + tile.first_row * t.row_bytes(), tile.blocks);
      journal.append(done.record);
    }
    if (hashed) {
      const Sha256 sha256_of_part = sha256(as_bytes(folder.read("out/out.ggufmill/" + plan.files[0].name + ".part")));
      journal.append(FileHashRecord{0, sha256_of_part, {}, std::vector<Xxh128>(plan.files[0].n_tensors)});
    }
    journal.sync();
  }

  fs::path out() const { return folder / "out"; }
  fs::path path() const { return work_folder_path(plan, out()); }
  fs::path part(size_t file) const { return path() / (plan.files[file].name + ".part"); }

  // A resumed run's view: what is missing of each tensor, in rows.
  struct View {
    Resumed resumed;
    std::vector<uint64_t> missing;
    std::vector<bool> shard_hashed, file_hashed;
    uint64_t records = 0;
  };
  View view() const {
    WorkFolder work(path(), false);
    Journal journal(work.journal());
    Ledger ledger(plan);
    View v;
    v.resumed = resume(plan, work, journal, ledger, kGoOn);
    for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
      v.missing.push_back(0);
      for (const RowRange& range : ledger.missing(t, 0, plan.tensors[t].rows())) v.missing.back() += range.rows;
    }
    for (uint32_t s = 0; s < plan.shards.size(); ++s) v.shard_hashed.push_back(ledger.shard_hash(s).has_value());
    for (uint32_t f = 0; f < plan.files.size(); ++f) v.file_hashed.push_back(ledger.file_hash(f).has_value());
    v.records = journal.records();
    return v;
  }

  void flip(size_t file, uint64_t offset) const {
    OutputFile f(part(file), OutputFile::Mode::kReopen);
    std::byte byte[1];
    f.read_exact(offset, byte);
    byte[0] ^= std::byte{16};
    f.write_exact(offset, byte);
  }

  Plan plan;
  TempFolder folder;
};

using Missing = std::vector<uint64_t>;

TEST(Resume, KeepsEverythingThatIsDurable) {
  const SmallPlan small;
  const Interrupted run(small, true);
  const auto v = run.view();
  EXPECT_TRUE(v.resumed.interrupted);
  EXPECT_FALSE(v.resumed.stopped);
  EXPECT_FALSE(v.resumed.finish);
  EXPECT_EQ(v.missing, (Missing{0, 0, 0, 0}));
  EXPECT_EQ(v.shard_hashed, (std::vector{true, true}));
  EXPECT_EQ(v.file_hashed, (std::vector{true, false}));
  EXPECT_EQ(run.view().records, v.records) << "looking adds nothing to the journal";
}

TEST(Resume, NewJournalGetsThePlanAndForgetsStrangePartFiles) {
  const SmallPlan small;
  Interrupted run(small);
  fs::remove(run.path() / "journal");
  const auto v = run.view();
  EXPECT_FALSE(v.resumed.interrupted);
  EXPECT_EQ(v.missing, (Missing{64, 32, 32, 1}));
  EXPECT_EQ(v.records, 3u) << "PLAN and two SHARD records";
  EXPECT_FALSE(fs::exists(run.part(0))) << "nobody knows what is in it";
  EXPECT_TRUE(run.view().resumed.interrupted);
}

TEST(Resume, DamagedRowsAreVoidedOnceAndForAll) {
  const SmallPlan small;
  const Interrupted run(small);
  const PlannedTensor& t = run.plan.tensors[0];  // tiles of 16 rows
  run.flip(0, t.extent.file_offset + 20 * t.row_bytes() + 3);
  const auto v = run.view();
  EXPECT_EQ(v.missing, (Missing{16, 0, 0, 0}));
  run.flip(0, t.extent.file_offset + 20 * t.row_bytes() + 3);  // the bytes come back, the record does not
  EXPECT_EQ(run.view().missing, (Missing{16, 0, 0, 0}));
  EXPECT_EQ(run.view().records, v.records);
}

TEST(Resume, HashedFileThatRottedIsLookedAtRowByRow) {
  const SmallPlan small;
  const Interrupted rows(small, true);
  rows.flip(0, rows.plan.tensors[0].extent.file_offset);
  rows.flip(1, rows.plan.tensors[3].extent.file_offset);
  EXPECT_EQ(rows.view().missing, (Missing{16, 0, 0, 1}));
  EXPECT_EQ(rows.view().file_hashed, (std::vector{false, false}));
  const Interrupted header(small, true);
  header.flip(0, 10);  // no row is damaged, but the file is not what was hashed: it is written and hashed again
  EXPECT_EQ(header.view().missing, (Missing{0, 0, 0, 0}));
  EXPECT_EQ(header.view().file_hashed, (std::vector{false, false}));
}

TEST(Resume, PartFileThatIsGoneVoidsItsRowsAndItsHash) {
  const SmallPlan small;
  const Interrupted run(small, true);
  fs::remove(run.part(0));
  const auto v = run.view();
  EXPECT_EQ(v.missing, (Missing{64, 32, 0, 0}));
  EXPECT_EQ(v.file_hashed, (std::vector{false, false}));
}

TEST(Resume, PartFileOfAnotherSizeOrKindIsRemoved) {
  const SmallPlan small;
  for (const char* what : {"short", "long", "link", "folder"}) {
    const Interrupted run(small);
    run.folder.write("precious", std::string(run.plan.files[1].bytes, 'x'));
    if (*what == 's') fs::resize_file(run.part(1), run.plan.files[1].bytes - 1);
    if (*what == 'l' && what[1] == 'o') fs::resize_file(run.part(1), run.plan.files[1].bytes + 1);
    if (*what == 'l' && what[1] == 'i') fs::remove(run.part(1)), fs::create_symlink(run.folder / "precious", run.part(1));
    if (*what == 'f') fs::remove(run.part(1)), fs::create_directory(run.part(1));
    EXPECT_EQ(run.view().missing, (Missing{0, 0, 32, 1})) << what;
    EXPECT_FALSE(fs::exists(fs::symlink_status(run.part(1)))) << what;
    EXPECT_EQ(run.folder.read("precious"), std::string(run.plan.files[1].bytes, 'x'));
  }
}

TEST(Resume, ShardThatChangedVoidsWhatCameFromIt) {
  const SmallPlan small;
  Interrupted run(small, true);
  run.plan.shards[1].id.mtime_ns += 1;  // the digest does not hold times
  const auto v = run.view();
  EXPECT_EQ(v.missing, (Missing{0, 16, 0, 1})) << "expert 1 and the norm";
  EXPECT_EQ(v.shard_hashed, (std::vector{true, false}));
  EXPECT_EQ(v.file_hashed, (std::vector{false, false})) << "expert 1 stands in file 0";
  EXPECT_EQ(run.view().missing, (Missing{0, 16, 0, 1})) << "the new identity is known now";
  EXPECT_EQ(run.view().records, v.records);
}

TEST(Resume, StopEndsTheCheckOfRows) {
  const SmallPlan small;
  const Interrupted run(small);
  WorkFolder work(run.path(), false);
  Journal journal(work.journal());
  Ledger ledger(run.plan);
  EXPECT_TRUE(resume(run.plan, work, journal, ledger, std::atomic<bool>(true)).stopped);
}

TEST(Resume, AnotherPlanIsRefusedWithTheDifference) {
  const SmallPlan small;
  Interrupted run(small);
  run.plan.tensors[0].type = GgmlType::Q4_0;
  add_digest(run.plan);
  const Error error = error_of([&] { run.view(); });
  EXPECT_EQ(error.code(), Exit::kCannotCreate);
  EXPECT_EQ(error.message(), run.path().string() + ": an interrupted run of another plan is here: tensor types differ");
  EXPECT_EQ(error.hint(), "--restart discards it; the earlier command resumes it");
}

TEST(Resume, JournalOfAnotherVersionIsRefused) {
  const SmallPlan small;
  const Interrupted run(small);
  fs::remove(run.path() / "journal");
  {
    Journal journal(run.path() / "journal");
    journal.append(PlanRecord{kJournalVersion + 1, run.plan.digest, run.plan.digest_parts});
    journal.sync();
  }
  expect_error(Exit::kCannotCreate, run.path().string() + ": an interrupted run of another plan is here: journal version differ",
               [&] { run.view(); });
}

TEST(Resume, JournalThatDoesNotBeginWithAPlanIsRefused) {
  const SmallPlan small;
  const Interrupted run(small);
  fs::remove(run.path() / "journal");
  {
    Journal journal(run.path() / "journal");
    journal.append(ShardHashRecord{});
    journal.sync();
  }
  expect_error(Exit::kCannotCreate, (run.path() / "journal").string() + ": does not begin with a plan", [&] { run.view(); });
}

TEST(Resume, FinishIsHandedOn) {
  const SmallPlan small;
  const Interrupted run(small);
  FinishRecord finish;
  for (const PlannedFile& f : run.plan.files) finish.files.push_back({f.name, f.bytes, {}});
  finish.files.push_back({"out.SHA256SUMS", 10, {}});
  finish.files.push_back({"out.manifest.json", 10, {}});
  {
    Journal journal(run.path() / "journal");
    journal.append(finish);
    journal.sync();
  }
  const auto v = run.view();
  ASSERT_TRUE(v.resumed.finish);
  EXPECT_EQ(v.resumed.finish->files.size(), 4u);
  EXPECT_TRUE(v.resumed.interrupted);
}

TEST(Resume, FinishThatNamesOtherFilesIsRefused) {
  const SmallPlan small;
  const Interrupted run(small);
  {
    Journal journal(run.path() / "journal");
    journal.append(FinishRecord{{{"../../precious", 1, {}}}, false});
    journal.sync();
  }
  expect_error(Exit::kCannotCreate, (run.path() / "journal").string() + ": its FINISH record names other files than the plan",
               [&] { run.view(); });
}

TEST(Resume, RecordsOutsideThePlanDoNotCount) {
  const SmallPlan small;
  const Interrupted run(small);
  {
    Journal journal(run.path() / "journal");
    RowsRecord rows;
    rows.rows = 1;
    rows.tensor = 99;
    journal.append(rows);
    rows.tensor = 3, rows.first_row = UINT64_MAX;
    journal.append(rows);
    rows.first_row = 0, rows.rows = 0;
    journal.append(rows);
    journal.append(ShardHashRecord{99, {}});
    journal.append(FileHashRecord{99, {}, {}, {}});
    journal.append(FileHashRecord{1, {}, {}, std::vector<Xxh128>(7)});
    journal.sync();
  }
  const auto v = run.view();
  EXPECT_EQ(v.missing, (Missing{0, 0, 0, 0}));
  EXPECT_EQ(v.file_hashed, (std::vector{false, false}));
}

}  // namespace
}  // namespace ggufmill
