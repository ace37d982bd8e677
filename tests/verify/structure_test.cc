#include "verify/structure.h"

#include <gtest/gtest.h>

#include "tests/formats/gguf_bytes.h"
#include "tests/verify/small_set.h"

namespace ggufmill {
namespace {

using Lines = std::vector<std::string>;

class Structure : public testing::Test {
 protected:
  Report check(const Lines& names) {
    Report report;
    const auto files = open_files({.folder = folder_.path(), .files = names}, report);
    bool readable = true;
    for (const GgufFile& f : files) {
      readable = readable && f.header;
      if (f.header) check_padding(f, report);
    }
    if (readable) check_set(files, report);
    return report;
  }
  Lines lines(const std::string& bytes) {
    folder_.write("m.gguf", bytes);
    return lines_of(check({"m.gguf"}));
  }
  // A file with one tensor of 4 bytes; `keys` come with general.architecture.
  GgufBytes one_tensor() {
    GgufBytes b;
    b.start(1, 1).kv_str("general.architecture", "x").tensor("t", {1}, 0, 0).pad();
    return b.f32(1).pad();
  }
  TempFolder folder_;
};

TEST_F(Structure, AGoodFile) { EXPECT_EQ(lines(one_tensor().bytes), Lines()); }

TEST_F(Structure, MissingFiles) {
  EXPECT_EQ(lines_of(check({"gone.gguf"})), (Lines{"error gone.gguf [] is missing"}));
  Lines many;
  for (uint32_t k = 1; k <= 25; ++k) many.push_back(split_file_name("m", k, 25));
  const Lines found = lines_of(check(many));
  ASSERT_EQ(found.size(), 21u);
  EXPECT_EQ(found[0], "error m-00001-of-00025.gguf [] is missing (the split has 25 files)");
  EXPECT_EQ(found[20], "error  [] 5 more files of the split are missing");
}

TEST_F(Structure, AHeaderThatIsRefusedNamesItsTensor) {
  EXPECT_EQ(lines(GgufBytes().start(1, 0).tensor("t", {0}, 0, 0).bytes), (Lines{"error m.gguf [t] dimension 0 is 0"}));
  EXPECT_EQ(lines("GGUF"), (Lines{"error m.gguf [] version needs 4 bytes at 4, the file has 4 (truncated?)"}));
  std::filesystem::remove(folder_ / "m.gguf");
  std::filesystem::create_directory(folder_ / "m.gguf");
  const Report report = check({"m.gguf"});
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_NE(report.findings[0].message.find("folder"), std::string::npos) << report.findings[0].message;
}

TEST_F(Structure, PaddingAndTail) {
  std::string bytes = one_tensor().bytes;
  bytes[bytes.size() - 1] = 1;
  EXPECT_EQ(lines(bytes), (Lines{"error m.gguf [] padding after tensor \"t\" is not zero"}));
  bytes = one_tensor().bytes;
  bytes[bytes.size() - 33] = 1;
  EXPECT_EQ(lines(bytes), (Lines{"error m.gguf [] padding after the header is not zero"}));
  EXPECT_EQ(lines(one_tensor().bytes + "x"),
            (Lines{"error m.gguf [] 1 bytes follow the last tensor, which ends at " + std::to_string(bytes.size())}));
}

TEST_F(Structure, Architecture) {
  EXPECT_EQ(lines(GgufBytes().start(0, 0).bytes),
            (Lines{"error m.gguf [] general.architecture is missing: no program can load the file"}));
  EXPECT_EQ(lines(GgufBytes().start(0, 1).kv_u32("general.architecture", 1).bytes),
            (Lines{"error m.gguf [] general.architecture is u32, not str"}));
  EXPECT_EQ(lines(GgufBytes().start(0, 1).kv_str("general.architecture", "").bytes),
            (Lines{"error m.gguf [] general.architecture is empty"}));
  EXPECT_EQ(lines(GgufBytes().start(0, 1).kv_str("general.type", "imatrix").bytes), Lines());
}

TEST_F(Structure, SplitKeys) {
  const auto member = [&](uint32_t no, uint16_t key_no, const std::string& tensor) {
    const Metadata m = [&] {
      Metadata metadata = split_metadata(key_no, 2, 2);
      metadata.set("general.architecture", std::string("x"));
      return metadata;
    }();
    const std::string name = split_file_name("s", no, 2);
    folder_.write(name, small_file(name, m, {{tensor, GgmlType::F32, {1}, {1}}}).bytes);
    return name;
  };
  const Lines names = {member(1, 0, "a"), member(2, 1, "b")};
  EXPECT_EQ(lines_of(check(names)), Lines());
  member(2, 1, "a");
  EXPECT_EQ(lines_of(check(names)), (Lines{"error s-00002-of-00002.gguf [a] is in an earlier file of the split too"}));
  member(2, 0, "b");
  EXPECT_EQ(lines_of(check(names)), (Lines{"error s-00002-of-00002.gguf [] split.no is 0, expected 1"}));
}

}  // namespace
}  // namespace ggufmill
