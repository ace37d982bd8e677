#include "verify/checksums.h"

#include <gtest/gtest.h>

#include "tests/verify/small_set.h"
#include "verify/hashes.h"

namespace ggufmill {
namespace {

using Lines = std::vector<std::string>;

const std::string kHex(64, '0');

TEST(Checksums, AManifestThatHoldsIsBelieved) {
  SmallSet set;
  std::string sums = set.folder().read(SmallSet::sums_name());
  const std::string good = sums;
  sums[0] = sums[0] == '0' ? '1' : '0';
  set.folder().write(SmallSet::sums_name(), sums);
  EXPECT_EQ(lines_of(set.verify()), (Lines{"error m.SHA256SUMS [] line 1 is \"" + sums.substr(0, sums.find('\n')) +
                                           "\", m.manifest.json makes it \"" + good.substr(0, good.find('\n')) + "\""}));
  set.folder().write(SmallSet::sums_name(), good.substr(0, good.size() - 1));
  EXPECT_EQ(lines_of(set.verify()), (Lines{"error m.SHA256SUMS [] line 3 does not end in a newline"}));
  set.folder().write(SmallSet::sums_name(), good + kHex + "  x\n");
  EXPECT_EQ(lines_of(set.verify()),
            (Lines{"error m.SHA256SUMS [] line 4 is \"" + kHex + "  x\", m.manifest.json makes it missing"}));
  set.folder().write(SmallSet::sums_name(), "");
  EXPECT_TRUE(lines_of(set.verify())[0].starts_with("error m.SHA256SUMS [] line 1 is missing, m.manifest.json makes it \""));
}

TEST(Checksums, AManifestAloneIsAWarning) {
  SmallSet set;
  set.remove(SmallSet::sums_name());
  const Report report = set.verify();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(lines_of(report), (Lines{"warning m.SHA256SUMS [] is missing"}));
}

TEST(Checksums, SumsAlone) {
  SmallSet set;
  set.remove(SmallSet::manifest_name());
  EXPECT_EQ(lines_of(set.verify()), (Lines{"error m.manifest.json [] is missing, although m.SHA256SUMS lists it"}));
  std::string sums;
  for (const SmallFile& f : set.files()) sums += f.file.sha256.hex() + " *" + f.name + "\n";
  set.folder().write(SmallSet::sums_name(), sums);
  Report report = set.verify();
  EXPECT_EQ(lines_of(report), Lines());
  EXPECT_TRUE(report.scope.hashes);
  std::string bytes = set.files()[1].bytes;
  bytes[bytes.size() - 40] ^= 1;
  set.folder().write(set.files()[1].name, bytes);
  EXPECT_EQ(lines_of(set.verify()), (Lines{"error m-00002-of-00002.gguf [] SHA-256 is " + sha256(as_bytes(bytes)).hex() +
                                           ", m.SHA256SUMS says " + set.files()[1].file.sha256.hex()}));
}

TEST(Checksums, ADamagedManifestLeavesTheSums) {
  SmallSet set;
  const std::string text = set.folder().read(SmallSet::manifest_name());
  const std::string damaged = text + "\n";
  set.folder().write(SmallSet::manifest_name(), damaged);
  const Lines lines = lines_of(set.verify());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "error m.manifest.json [] ends otherwise than it was written (cut short, or something follows it)");
  EXPECT_EQ(lines[1], "error m.manifest.json [] SHA-256 is " + sha256(as_bytes(damaged)).hex() + ", m.SHA256SUMS says " +
                          sha256(as_bytes(text)).hex());
}

TEST(Checksums, LinesThatSha256sumDoesNotWrite) {
  SmallSet set;
  set.remove(SmallSet::manifest_name());
  const auto lines = [&](const std::string& sums) {
    set.folder().write(SmallSet::sums_name(), sums);
    Report report;
    load_checksums({.folder = set.folder().path(), .stem = "m", .files = {"m-00001-of-00002.gguf"}}, report);
    return lines_of(report);
  };
  const std::string ours = kHex + "  m-00001-of-00002.gguf\n";
  EXPECT_EQ(lines(ours), Lines());
  EXPECT_EQ(lines(ours + ours), (Lines{"error m.SHA256SUMS [] line 2 lists m-00001-of-00002.gguf again"}));
  EXPECT_EQ(lines("\n"), (Lines{"error m.SHA256SUMS [] line 1 is not \"SHA-256  NAME\": \" \""}));
  EXPECT_EQ(lines(std::string(64, 'A') + "  x"),
            (Lines{"error m.SHA256SUMS [] line 1 is not \"SHA-256  NAME\": \"" + std::string(64, 'A') + "  x\""}));
  EXPECT_EQ(lines(kHex + " x.gguf\n"), (Lines{"error m.SHA256SUMS [] line 1 is not \"SHA-256  NAME\": \"" + kHex + " x.gguf\""}));
  EXPECT_EQ(lines(kHex + "  ..\n"), (Lines{"error m.SHA256SUMS [] line 1 is not \"SHA-256  NAME\": \"" + kHex + "  ..\""}));
  EXPECT_EQ(lines(kHex + "  a\x1b[2J\n"),
            (Lines{"error m.SHA256SUMS [] line 1 is not \"SHA-256  NAME\": \"" + kHex + "  a\\x1b[2J\""}));
  for (const char* name : {"../x", "/etc/passwd", "a/b"}) {
    EXPECT_EQ(lines(kHex + "  " + name + "\n"),
              (Lines{std::string("error m.SHA256SUMS [] line 1 names a file of another folder: \"") + name + "\""}));
  }
  EXPECT_EQ(lines(kHex + "  gone.gguf\n"), (Lines{"error gone.gguf [] is missing, although m.SHA256SUMS lists it"}));
  set.folder().write("other.gguf", "");
  EXPECT_EQ(lines(kHex + "  other.gguf\n"), (Lines{"error m.SHA256SUMS [] lists other.gguf, which is not part of the set"}));
}

TEST(Checksums, FilesTooLargeToBeChecksums) {
  SmallSet set;
  std::filesystem::resize_file(set.folder().path() / SmallSet::manifest_name(), 1ull << 30);
  const Report report = set.verify();
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.findings[0].file, "m.manifest.json");
}

TEST(Hashes, AStaleManifestIsTold) {
  SmallSet set;
  set.manifest().tensors[0].ne = {6};
  set.manifest().tensors[1].name = "renamed";
  set.write_checksums();
  EXPECT_EQ(
      lines_of(set.verify()),
      (Lines{
          "error m.manifest.json [a] is listed as F32 [6] at 224, 20 bytes, m-00001-of-00002.gguf has F32 [5] at 224, 20 bytes",
          "error m.manifest.json [b] is not listed, but in m-00001-of-00002.gguf",
          "error m.manifest.json [renamed] is listed, but not in m-00001-of-00002.gguf"}));
}

TEST(Hashes, AManifestThatContradictsItself) {
  SmallSet set;
  set.manifest().tensors[1].hash = xxh128(as_bytes("other"));
  set.manifest().files[0].header_hash = xxh128(as_bytes("other"));
  set.write_checksums();
  EXPECT_EQ(
      lines_of(set.verify()),
      (Lines{"error m.manifest.json [] XXH3-128 of the header is not that of m-00001-of-00002.gguf, whose SHA-256 is as recorded",
             "error m.manifest.json [b] XXH3-128 is not that of m-00001-of-00002.gguf, whose SHA-256 is as recorded"}));
}

TEST(Hashes, ExtentsOfAHostileManifest) {
  SmallSet set;
  const Extent good = set.manifest().tensors[2].extent;
  set.manifest().tensors[2].extent = {good.file_offset, 1ull << 60};
  set.write_checksums();
  Lines lines = lines_of(set.verify());
  EXPECT_EQ(lines[0], "error m-00002-of-00002.gguf [c] data ends at " + std::to_string(good.file_offset + (1ull << 60)) +
                          ", the file has " + std::to_string(set.files()[1].bytes.size()) + " bytes (truncated?)");
  set.manifest().tensors[2].extent = {0, 32};
  set.write_checksums();
  EXPECT_EQ(lines_of(set.verify())[0], "error m.manifest.json [c] has bytes of m-00002-of-00002.gguf twice, at 0");
  set.manifest().tensors[2].extent = good;
  set.manifest().files[1].header_bytes = ~0ull;
  set.write_checksums();
  EXPECT_EQ(lines_of(set.verify())[0], "error m-00002-of-00002.gguf [] header ends at 18446744073709551615, the file has " +
                                           std::to_string(set.files()[1].bytes.size()) + " bytes (truncated?)");
}

TEST(Hashes, AFileThatIsNotListed) {
  SmallSet set;
  set.manifest().files.pop_back();
  set.manifest().tensors.pop_back();
  set.write_checksums();
  EXPECT_EQ(lines_of(set.verify()), (Lines{"error m-00002-of-00002.gguf [] is not listed in m.manifest.json"}));
}

TEST(Hashes, AnOtherSizeAndAnOtherHash) {
  SmallSet set;
  set.manifest().files[0].bytes += 1;
  set.manifest().files[0].sha256 = sha256(as_bytes("other"));
  set.write_checksums();
  const SmallFile& f = set.files()[0];
  EXPECT_EQ(lines_of(set.verify()), (Lines{"error m-00001-of-00002.gguf [] has " + std::to_string(f.bytes.size()) +
                                               " bytes, m.manifest.json says " + std::to_string(f.bytes.size() + 1),
                                           "error m-00001-of-00002.gguf [] SHA-256 is " + f.file.sha256.hex() +
                                               ", m.manifest.json says " + sha256(as_bytes("other")).hex()}));
}

TEST(Hashes, PartsAcrossReads) {
  // Tensors that end before, at and after the 4 MiB reads; the last byte of each is flipped in turn.
  const size_t read = (4 << 20) / sizeof(float);
  TempFolder folder;
  const std::vector<size_t> sizes = {read - 64, 64, 2 * read + 3, 1};
  std::vector<SmallTensor> tensors;
  for (const size_t n : sizes) tensors.push_back({"t" + std::to_string(n), GgmlType::F32, {n}, std::vector<float>(n, 1.5f)});
  Metadata metadata;
  metadata.set("general.architecture", std::string("x"));
  SmallFile file = small_file("m.gguf", metadata, tensors);
  Manifest manifest;
  manifest.files = {file.file};
  manifest.tensors = file.tensors;
  folder.write("m.manifest.json", manifest_text(manifest));
  const auto lines = [&] {
    folder.write("m.gguf", file.bytes);
    Report report;
    const VerifyTarget target{.folder = folder.path(), .stem = "m", .files = {"m.gguf"}};
    const auto files = open_files(target, report);
    const Checksums sums = load_checksums(target, report);
    check_hashes(files, sums, 2, report);
    Lines all = lines_of(report);
    all.erase(all.begin());  // SHA256SUMS is missing
    return all;
  };
  EXPECT_EQ(lines(), Lines());
  for (const ManifestTensor& t : file.tensors) {
    for (const size_t byte : {t.extent.file_offset, t.extent.end() - 1}) {
      file.bytes[byte] ^= 1;
      EXPECT_EQ(lines(), (Lines{"error m.gguf [" + t.name + "] data differs from what m.manifest.json recorded"})) << byte;
      file.bytes[byte] ^= 1;
    }
  }
}

}  // namespace
}  // namespace ggufmill
