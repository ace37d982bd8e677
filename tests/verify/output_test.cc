#include "verify/output.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/formats/expect_error.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/verify/small_set.h"

namespace ggufmill {
namespace {

using Lines = std::vector<std::string>;

TEST(VerifyOutput, ASoundSetHasNoFindings) {
  const SmallSet set;
  for (const char* out : {"m.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", ""}) {
    const Report report = set.verify(out);
    EXPECT_TRUE(report.ok());
    EXPECT_EQ(lines_of(report), Lines()) << out;
    EXPECT_EQ(report.scope.files, 2u);
    EXPECT_EQ(report.scope.tensors, 3u);
    EXPECT_TRUE(report.scope.hashes);
    EXPECT_FALSE(report.scope.values);
  }
}

TEST(VerifyOutput, ValuesAreComparedWithASource) {
  const SmallSet set;
  std::vector<std::string> names;
  OutputCheck check{.out = set.folder().path() / "m.gguf",
                    .source =
                        [&](const std::vector<std::string>& of_out) {
                          names = of_out;
                          return set.source();
                        },
                    .values = {.full = true}};
  const Report report = verify_output(check);
  EXPECT_EQ(lines_of(report), Lines());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(report.scope.values);
  EXPECT_EQ(report.tensors.size(), 3u);
}

// What the finding for a flipped byte must say: the tensor that holds it, or "header" or "padding" in the message.
std::string expected_place(const SmallFile& file, size_t byte) {
  if (byte < file.file.header_bytes) return "header";
  for (const ManifestTensor& t : file.tensors) {
    if (byte >= t.extent.file_offset && byte < t.extent.end()) return t.name;
  }
  return "padding";
}

bool names_place(const Report& report, const std::string& place) {
  return std::ranges::any_of(report.findings,
                             [&](const Finding& f) { return f.tensor == place || f.message.find(place) != std::string::npos; });
}

// In place: replacing a file makes some file systems flush it.
void set_byte(const std::filesystem::path& path, size_t offset, char value) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(value);
}

// Another converter's exp may round its last bit otherwise; a value that was only copied may not differ at all.
TEST(VerifyOutput, AComputedValueMayBeItsNeighbour) {
  const SmallSet set;
  for (const int steps : {1, 2}) {
    for (const bool computed : {false, true}) {
      RowSource source = set.source();
      source.tensors[0].computed = computed;
      source.read_row = [&, exact = source.read_row](size_t tensor, uint64_t row, std::span<float> out) {
        exact(tensor, row, out);
        if (tensor != 0) return;
        for (int i = 0; i < steps; ++i) out[2] = std::nextafter(out[2], 1e9f);
      };
      const Report report =
          verify_output({.out = set.folder().path() / "m.gguf", .source = [&](const auto&) { return source; }, .values = {}});
      EXPECT_EQ(report.ok(), computed && steps == 1) << steps << " steps, computed " << computed;
    }
  }
}

TEST(VerifyOutput, EveryFlippedBitOfEveryFileIsFoundAndNamed) {
  const SmallSet set;
  size_t flips = 0;
  for (const auto& entry : std::filesystem::directory_iterator(set.folder().path())) {
    const std::string name = entry.path().filename().string();
    const std::string bytes = set.folder().read(name);
    const auto file = std::ranges::find(set.files(), name, &SmallFile::name);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit, ++flips) {
      set_byte(entry.path(), bit / 8, static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8))));
      const Report report = set.verify();
      ASSERT_FALSE(report.ok()) << name << " bit " << bit;
      for (const Finding& f : report.findings) {
        ASSERT_EQ(f.file, name) << "bit " << bit << ": " << lines_of(report)[0];
      }
      if (file != set.files().end()) {
        ASSERT_TRUE(names_place(report, expected_place(*file, bit / 8))) << name << " bit " << bit << ": " << lines_of(report)[0];
      }
      set_byte(entry.path(), bit / 8, bytes[bit / 8]);
    }
  }
  EXPECT_GT(flips, 8 * 2000u);
  EXPECT_TRUE(set.verify().ok());
}

TEST(VerifyOutput, EveryTruncationIsFound) {
  const SmallSet set;
  for (const SmallFile& f : set.files()) {
    for (size_t n = 0; n < f.bytes.size(); n += 7) {
      set.folder().write(f.name, f.bytes.substr(0, n));
      const Report report = set.verify();
      ASSERT_FALSE(report.ok()) << n;
      for (const Finding& finding : report.findings) ASSERT_EQ(finding.file, f.name) << n;
    }
    set.folder().write(f.name, f.bytes);
  }
}

TEST(VerifyOutput, AppendedBytesAreFound) {
  const SmallSet set;
  const SmallFile& f = set.files()[0];
  set.folder().write(f.name, f.bytes + std::string(4096, '\0'));
  const Report report = set.verify();
  EXPECT_EQ(lines_of(report)[0], "error " + f.name + " [] has " + std::to_string(f.bytes.size() + 4096) +
                                     " bytes, m.manifest.json says " + std::to_string(f.bytes.size()));
  EXPECT_EQ(lines_of(report).back(),
            "error " + f.name + " [] 4096 bytes follow the last tensor, which ends at " + std::to_string(f.bytes.size()));
}

TEST(VerifyOutput, SwappedShardsAreFound) {
  const SmallSet set;
  set.folder().write(set.files()[0].name, set.files()[1].bytes);
  set.folder().write(set.files()[1].name, set.files()[0].bytes);
  const Report report = set.verify();
  EXPECT_FALSE(report.ok());
  EXPECT_TRUE(names_place(report, "header differs from what m.manifest.json recorded"));
}

TEST(VerifyOutput, WithoutChecksumsTheStructureIsStillChecked) {
  SmallSet set;
  set.remove(SmallSet::manifest_name());
  set.remove(SmallSet::sums_name());
  Report report = set.verify();
  EXPECT_TRUE(report.ok());
  EXPECT_FALSE(report.scope.hashes);
  EXPECT_EQ(lines_of(report), (Lines{"warning  [] no checksums: neither m.manifest.json nor m.SHA256SUMS is there, so only the "
                                     "structure is checked"}));
  std::string bytes = set.files()[0].bytes;
  bytes.back() = 'x';
  set.folder().write(set.files()[0].name, bytes);
  EXPECT_EQ(lines_of(set.verify())[1], "error m-00001-of-00002.gguf [] padding after tensor \"b\" is not zero");
}

TEST(VerifyOutput, NothingThere) {
  TempFolder folder;
  const auto lines = [&](const std::string& out) {
    return lines_of(verify_output({.out = folder.path() / out, .source = {}, .values = {}}));
  };
  EXPECT_EQ(lines("x.gguf"),
            (Lines{"error  [] " + (folder.path() / "x.gguf").string() + ": no such file or folder, and no split of that name"}));
  EXPECT_EQ(lines(""), (Lines{"error  [] " + (folder.path() / "").string() +
                              ": holds neither GGUF files nor a checkpoint (config.json and *.safetensors)"}));
  folder.write("empty.gguf", "");
  EXPECT_EQ(lines("empty.gguf")[0], "error empty.gguf [] magic needs 4 bytes at 0, the file has 0 (truncated?)");
  folder.write("page.gguf", "<!DOCTYPE html>");
  EXPECT_EQ(lines("page.gguf")[0], "error page.gguf [] not a GGUF file: it starts with \"<!DO\"");
}

TEST(VerifyOutput, ChecksumsWhoseFilesAreGone) {
  SmallSet set;
  for (const SmallFile& f : set.files()) set.remove(f.name);
  const Lines lines = lines_of(set.verify());
  EXPECT_EQ(lines, (Lines{"error m-00001-of-00002.gguf [] is missing, although m.manifest.json lists it",
                          "error m-00002-of-00002.gguf [] is missing, although m.manifest.json lists it"}));
}

TEST(VerifyOutput, FoldersOfSeveralSetsAreAQuestion) {
  SmallSet set;
  set.folder().write("other.gguf", "x");
  expect_error(Exit::kUsage, set.folder().path().string() + ": holds 2 GGUF sets: m.gguf (split in 2), other.gguf",
               [&] { verify_output({.out = set.folder().path(), .source = {}, .values = {}}); });
}

TEST(VerifyOutput, ACheckpointHasNoSource) {
  const std::filesystem::path mini = GGUFMILL_TEST_DATA "/mini-nemotron3";
  const Report report = verify_output({.out = mini, .source = {}, .values = {.threads = 2}});
  EXPECT_TRUE(report.ok());
  EXPECT_GT(report.scope.tensors, 50u);
  expect_error(Exit::kUsage, "--source compares the values of GGUF files, but OUT is a checkpoint: " + mini.string(),
               [&] { verify_output({.out = mini, .source = [](const auto&) { return RowSource(); }, .values = {}}); });
}

}  // namespace
}  // namespace ggufmill
