#include "convert/hash_cursors.h"

#include <gtest/gtest.h>

#include <atomic>

#include "convert/part_files.h"
#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

RowsRecord rows_of(uint32_t tensor, uint64_t first, uint64_t rows) {
  RowsRecord record;
  record.tensor = tensor, record.first_row = first, record.rows = rows;
  return record;
}

// Part files of the small plan and a ledger that knows nothing.
struct Parts {
  SmallPlan small;
  WorkFolder work{small.folder / "w", false};
  Ledger ledger{small.plan};
  std::vector<OutputFile> files = open_parts(small.plan, work, ledger);
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::vector<FileHashRecord> hashed;
  std::function<void(FileHashRecord)> remember = [this](FileHashRecord record) {
    const std::lock_guard lock(mutex);
    hashed.push_back(std::move(record));
  };
};

TEST(HashCursors, FollowTheWritersThroughEveryFile) {
  for (const unsigned threads : {1u, 2u, 9u}) {
    Parts p;
    HashCursors cursors(p.small.plan, p.ledger, p.files, threads, p.stop, p.remember);
    // Rows come in any order; what is read back is the finished prefix.
    for (const auto& [tensor, first, rows] :
         {std::tuple{3u, 0u, 1u}, {2u, 16u, 16u}, {0u, 0u, 1u}, {1u, 0u, 32u}, {2u, 0u, 16u}, {0u, 1u, 63u}}) {
      const PlannedTensor& t = p.small.plan.tensors[tensor];
      const std::vector<std::byte> bytes(rows * t.row_bytes(), static_cast<std::byte>(tensor + first + 1));
      p.files[t.file].write_exact(t.extent.file_offset + first * t.row_bytes(), bytes);
      p.ledger.add(rows_of(tensor, first, rows));
    }
    cursors.finish();
    ASSERT_EQ(p.hashed.size(), 2u);
    for (const FileHashRecord& record : p.hashed) {
      const PlannedFile& file = p.small.plan.files[record.file];
      const std::string bytes = p.small.folder.read("w/" + file.name + ".part");
      EXPECT_EQ(record.sha256, sha256(as_bytes(bytes)));
      EXPECT_EQ(record.header_hash, xxh128(file.header));
      for (uint32_t i = 0; i < file.n_tensors; ++i) {
        const Extent& e = p.small.plan.tensors[file.first_tensor + i].extent;
        EXPECT_EQ(record.tensor_hashes.at(i), xxh128(as_bytes(bytes.substr(e.file_offset, e.bytes))));
      }
      EXPECT_TRUE(p.ledger.file_hash(record.file));
    }
  }
}

TEST(HashCursors, HashedFilesAreNotReadAgain) {
  Parts p;
  p.ledger.add(FileHashRecord{0, {}, {}, {}});
  p.ledger.add(FileHashRecord{1, {}, {}, {}});
  HashCursors(p.small.plan, p.ledger, p.files, 2, p.stop, p.remember).finish();
  EXPECT_TRUE(p.hashed.empty());
}

TEST(HashCursors, EndEarlyWakesThoseWhoWait) {
  Parts p;
  HashCursors cursors(p.small.plan, p.ledger, p.files, 2, p.stop, p.remember);
  cursors.end_early();
  EXPECT_TRUE(p.ledger.cancelled());
  EXPECT_TRUE(p.hashed.empty());
  cursors.finish();
}

TEST(HashCursors, StopEndsThemWhereverTheyAre) {
  Parts p;
  for (uint32_t t = 0; t < 4; ++t) p.ledger.add(rows_of(t, 0, p.small.plan.tensors[t].rows()));
  p.stop = true;
  HashCursors cursors(p.small.plan, p.ledger, p.files, 1, p.stop, p.remember);
  cursors.finish();
  EXPECT_TRUE(p.hashed.empty());
}

TEST(HashCursors, ReadErrorCancelsTheRunAndIsThrown) {
  Parts p;
  p.files[0].truncate(10);
  HashCursors cursors(p.small.plan, p.ledger, p.files, 2, p.stop, p.remember);
  const Error error = error_of([&] { cursors.finish(); });
  EXPECT_EQ(error.code(), Exit::kSystem);
  EXPECT_NE(error.message().find("file ended at 10"), std::string::npos) << error.message();
  EXPECT_TRUE(p.ledger.cancelled());
}

TEST(HashCursors, DestructorDoesNotWaitForRowsThatNeverCome) {
  Parts p;
  { HashCursors cursors(p.small.plan, p.ledger, p.files, 2, p.stop, p.remember); }
  EXPECT_TRUE(p.ledger.cancelled());
}

}  // namespace
}  // namespace ggufmill
