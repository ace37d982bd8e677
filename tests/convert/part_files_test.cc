#include "convert/part_files.h"

#include <gtest/gtest.h>

#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(PartFiles, HaveTheirSizeAndHeaderFromTheStart) {
  const SmallPlan small;
  const WorkFolder work(small.folder / "w", false);
  const Ledger ledger(small.plan);
  const std::vector<OutputFile> parts = open_parts(small.plan, work, ledger);
  ASSERT_EQ(parts.size(), 2u);
  for (size_t f = 0; f < 2; ++f) {
    const PlannedFile& planned = small.plan.files[f];
    const std::string bytes = read(work.part(planned.name));
    ASSERT_EQ(bytes.size(), planned.bytes);
    EXPECT_EQ(bytes.substr(0, planned.header.size()),
              std::string(reinterpret_cast<const char*>(planned.header.data()), planned.header.size()));
  }
}

TEST(PartFiles, DamagedHeaderAndPaddingAreWrittenAgainUntilTheFileIsHashed) {
  const SmallPlan small;
  const WorkFolder work(small.folder / "w", false);
  Ledger ledger(small.plan);
  ledger.add(FileHashRecord{0, {}, {}, {}});
  for (const PlannedFile& f : small.plan.files) small.folder.write("w/" + f.name + ".part", std::string(f.bytes, '\xAA'));
  open_parts(small.plan, work, ledger);
  EXPECT_EQ(read(work.part(small.plan.files[0].name)), std::string(small.plan.files[0].bytes, '\xAA'));
  // norm.weight: 132 bytes of data, 28 of padding.
  const std::string bytes = read(work.part(small.plan.files[1].name));
  const uint64_t end = small.plan.tensors[3].extent.end();
  ASSERT_EQ(bytes.size() - end, 28u);
  EXPECT_EQ(bytes.substr(end), std::string(28, '\0'));
  EXPECT_EQ(bytes.substr(end - 132, 132), std::string(132, '\xAA')) << "tensors are the journal's matter";
}

TEST(PartFiles, LinkInTheirPlaceIsNotFollowed) {
  const SmallPlan small;
  const WorkFolder work(small.folder / "w", false);
  small.folder.write("precious", "x");
  small.folder.link("w/" + small.plan.files[0].name + ".part", small.folder / "precious");
  EXPECT_EQ(error_of([&] { open_parts(small.plan, work, Ledger(small.plan)); }).code(), Exit::kCannotCreate);
  EXPECT_EQ(small.folder.read("precious"), "x");
}

TEST(DiskSpace, WhatAnInterruptedRunOwnsCountsAsHad) {
  const SmallPlan small;
  const uint64_t whole = disk_bytes_needed(small.plan, small.folder / "w");
  EXPECT_GE(whole, small.plan.total_bytes());
  EXPECT_LE(whole, small.plan.total_bytes() + (8 << 20)) << "room for the journal of so small a model";
  small.folder.write("w/" + small.plan.files[0].name + ".part", std::string(small.plan.files[0].bytes, 'x'));
  EXPECT_EQ(disk_bytes_needed(small.plan, small.folder / "w"), whole - small.plan.files[0].bytes);
  small.folder.link("v/" + small.plan.files[0].name + ".part", small.folder / ("w/" + small.plan.files[0].name + ".part"));
  EXPECT_EQ(disk_bytes_needed(small.plan, small.folder / "v"), whole) << "a link owns nothing";
}

TEST(DiskSpace, TooLittleNamesFolderNeedAndRest) {
  SmallPlan small;
  check_disk_space(small.plan, small.folder.path(), small.folder / "w");
  small.plan.files[0].bytes = 1ull << 60;
  const Error error = error_of([&] { check_disk_space(small.plan, small.folder.path(), small.folder / "w"); });
  EXPECT_EQ(error.code(), Exit::kSystem);
  EXPECT_TRUE(error.message().starts_with(small.folder.path().string() + ": not enough disk space: 11529215")) << error.message();
  EXPECT_TRUE(error.hint().ends_with(" bytes or write to another disk"));
}

TEST(NameLengths, LongestNameOfTheWholeRunIsCheckedAtTheStart) {
  SmallPlan small;
  const auto with_stem = [&](size_t bytes) {
    small.plan.stem = std::string(bytes, 's');
    small.finish();
  };
  with_stem(230);  // + "-00001-of-00002.gguf.part"
  check_name_lengths(small.plan, small.folder.path());
  with_stem(231);
  const std::string name = std::string(231, 's') + "-00001-of-00002.gguf.part";
  expect_error(Exit::kCannotCreate,
               printable((small.folder / name).string(), 4096) + ": a name of 256 bytes is needed, this file system allows 255",
               [&] { check_name_lengths(small.plan, small.folder.path()); });
  // A single file's longest name is its manifest's.
  small.plan.stem = std::string(240, 's');
  small.plan.files.resize(1);
  small.plan.files[0].name = small.plan.stem + ".gguf";
  EXPECT_EQ(error_of([&] { check_name_lengths(small.plan, small.folder.path()); }).code(), Exit::kCannotCreate);
}

}  // namespace
}  // namespace ggufmill
