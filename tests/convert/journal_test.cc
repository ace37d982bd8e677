#include "convert/journal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

template <size_t N>
std::array<std::byte, N> filled(uint8_t first) {
  std::array<std::byte, N> bytes;
  for (size_t i = 0; i < N; ++i) bytes[i] = static_cast<std::byte>(first + i);
  return bytes;
}

ExactSum sum_of(double value) {
  ExactSum sum;
  sum.add(value);
  return sum;
}

// One record of each kind, every field with a value of its own.
std::vector<JournalRecord> samples() {
  RowsRecord rows;
  rows.tensor = 3, rows.shard = 4, rows.first_row = 1ull << 40, rows.rows = 77;
  rows.hash = {filled<16>(9)};
  rows.squared_error = sum_of(1.25e-3), rows.squared_value = sum_of(8e20);
  rows.worst = WorstBlock{5, 6, 0.75};
  rows.nan_count = 7, rows.inf_count = 8;
  RowsRecord exact = rows;
  exact.worst.reset();
  return {PlanRecord{kJournalVersion, {filled<32>(1)}, {{"tensor types", {filled<32>(2)}}, {"metadata", {filled<32>(3)}}}},
          ShardRecord{2, {11, 12, 13, -14, 15}},
          rows,
          exact,
          ShardHashRecord{5, {filled<32>(4)}},
          FileHashRecord{6, {filled<32>(5)}, {filled<16>(6)}, {{filled<16>(7)}, {filled<16>(8)}}},
          VoidRecord{VoidRecord::What::kFile, 1ull << 33},
          FinishRecord{{{"a.gguf", 100, {filled<32>(10)}}, {"a.manifest.json", 200, {filled<32>(11)}}}, true}};
}

// Everything that a record says, as text.
std::string told(const JournalRecord& record) {
  std::string out = std::to_string(record.index());
  const auto add = [&](const auto&... values) { ((out += " " + std::to_string(values)), ...); };
  const auto hex = [&](const auto& hash) { out += " " + hash.hex(); };
  if (const auto* p = std::get_if<PlanRecord>(&record)) {
    add(p->version), hex(p->digest);
    for (const DigestPart& part : p->parts) out += " " + part.what, hex(part.hash);
  } else if (const auto* s = std::get_if<ShardRecord>(&record)) {
    add(s->shard, s->id.device, s->id.inode, s->id.bytes, s->id.mtime_ns, s->id.ctime_ns);
  } else if (const auto* x = std::get_if<RowsRecord>(&record)) {
    add(x->tensor, x->shard, x->first_row, x->rows, x->squared_error.value(), x->squared_value.value(), x->nan_count,
        x->inf_count),
        hex(x->hash);
    if (x->worst) add(x->worst->row, x->worst->column, x->worst->relative_error);
  } else if (const auto* h = std::get_if<ShardHashRecord>(&record)) {
    add(h->shard), hex(h->sha256);
  } else if (const auto* f = std::get_if<FileHashRecord>(&record)) {
    add(f->file), hex(f->sha256), hex(f->header_hash);
    for (const Xxh128& t : f->tensor_hashes) hex(t);
  } else if (const auto* v = std::get_if<VoidRecord>(&record)) {
    add(static_cast<uint32_t>(v->what), v->id);
  } else if (const auto* n = std::get_if<FinishRecord>(&record)) {
    add(n->replace);
    for (const auto& file : n->files) out += " " + file.name, add(file.bytes), hex(file.sha256);
  }
  return out;
}

std::vector<std::string> told(const std::vector<JournalRecord>& records) {
  std::vector<std::string> out;
  for (const JournalRecord& r : records) out.push_back(told(r));
  return out;
}

std::vector<std::string> replayed(const Journal& journal) {
  std::vector<std::string> out;
  journal.replay([&](uint64_t number, const JournalRecord& record) {
    EXPECT_EQ(number, out.size());
    out.push_back(told(record));
  });
  EXPECT_EQ(out.size(), journal.records());
  return out;
}

TEST(Journal, RoundTripOfEveryKindOfRecord) {
  const TempFolder folder;
  {
    Journal journal(folder / "journal");
    EXPECT_EQ(journal.records(), 0u);
    for (const JournalRecord& r : samples()) journal.append(r);
    journal.sync();
  }
  EXPECT_EQ(replayed(Journal(folder / "journal")), told(samples()));
}

TEST(Journal, AppendsAfterReopening) {
  const TempFolder folder;
  const std::vector<JournalRecord> all = samples();
  for (const JournalRecord& r : all) {
    Journal journal(folder / "journal");
    journal.append(r);
    journal.sync();
    journal.sync();  // nothing new: nothing written
  }
  EXPECT_EQ(replayed(Journal(folder / "journal")), told(all));
}

TEST(Journal, WithoutSyncNothingIsThere) {
  const TempFolder folder;
  {
    Journal journal(folder / "journal");
    journal.append(samples()[0]);
  }
  EXPECT_EQ(std::filesystem::file_size(folder / "journal"), 0u);
}

// The journal of all samples and where each record ends.
struct Written {
  std::string bytes;
  std::vector<size_t> ends;
};
Written written(const TempFolder& folder) {
  Written out;
  Journal journal(folder / "whole");
  for (const JournalRecord& r : samples()) {
    journal.append(r);
    journal.sync();
    out.ends.push_back(std::filesystem::file_size(folder / "whole"));
  }
  out.bytes = folder.read("whole");
  return out;
}

TEST(Journal, TornTailIsCutOffAtEveryLength) {
  const TempFolder folder;
  const Written whole = written(folder);
  const std::vector<std::string> all = told(samples());
  for (size_t length = 0; length < whole.bytes.size(); ++length) {
    folder.write("journal", whole.bytes.substr(0, length));
    Journal journal(folder / "journal");
    const size_t kept = static_cast<size_t>(std::ranges::count_if(whole.ends, [&](size_t end) { return end <= length; }));
    ASSERT_EQ(replayed(journal), std::vector(all.begin(), all.begin() + static_cast<ptrdiff_t>(kept))) << length;
    ASSERT_EQ(std::filesystem::file_size(folder / "journal"), kept == 0 ? 0 : whole.ends[kept - 1]);
    journal.append(samples().back());  // and it goes on from there
    journal.sync();
    ASSERT_EQ(replayed(journal).back(), all.back());
  }
}

TEST(Journal, FlippedBitInAnyByteStopsTheReadingThere) {
  const TempFolder folder;
  const Written whole = written(folder);
  const std::vector<std::string> all = told(samples());
  for (size_t at = 0; at < whole.bytes.size(); ++at) {
    std::string bytes = whole.bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    folder.write("journal", bytes);
    const size_t damaged = static_cast<size_t>(std::ranges::count_if(whole.ends, [&](size_t end) { return end <= at; }));
    ASSERT_EQ(replayed(Journal(folder / "journal")), std::vector(all.begin(), all.begin() + static_cast<ptrdiff_t>(damaged)))
        << at;
  }
}

TEST(Journal, LengthsOfAnAttackerAllocateNothing) {
  const TempFolder folder;
  std::string bytes(64, '\0');
  bytes.replace(4, 4, "\xff\xff\xff\xff");
  folder.write("journal", bytes);
  EXPECT_EQ(Journal(folder / "journal").records(), 0u);
}

TEST(Journal, LinkInItsPlaceIsNotFollowed) {
  const TempFolder folder;
  folder.write("elsewhere", "precious");
  folder.link("journal", folder / "elsewhere");
  EXPECT_EQ(error_of([&] { Journal(folder / "journal"); }).code(), Exit::kCannotCreate);
  EXPECT_EQ(folder.read("elsewhere"), "precious");
  folder.link("dangling", folder / "nothing");
  EXPECT_EQ(error_of([&] { Journal(folder / "dangling"); }).code(), Exit::kCannotCreate);
  EXPECT_FALSE(std::filesystem::exists(folder / "nothing"));
}

}  // namespace
}  // namespace ggufmill
