#include "cmd/sizes.h"

#include <gtest/gtest.h>

#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

TEST(Sizes, AreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_size("0", "--memory"), 0u);
  EXPECT_EQ(parse_size("4096", "--memory"), 4096u);
  EXPECT_EQ(parse_size("3K", "--memory"), 3000u);
  EXPECT_EQ(parse_size("20M", "--memory"), 20'000'000u);
  EXPECT_EQ(parse_size("50G", "--memory"), 50'000'000'000u);
  EXPECT_EQ(parse_size("2T", "--memory"), 2'000'000'000'000u);
  EXPECT_EQ(parse_size("512MiB", "--memory"), 512ull << 20);
  EXPECT_EQ(parse_size("1KiB", "--memory"), 1024u);
  EXPECT_EQ(parse_size("2GiB", "--memory"), 2ull << 30);
  EXPECT_EQ(parse_size("1TiB", "--memory"), 1ull << 40);
  EXPECT_EQ(parse_size("1.5G", "--memory"), 1'500'000'000u);
}

TEST(Sizes, WhatIsNoSizeNamesTheOption) {
  for (const std::string text :
       {"", "G", "-1", "1.5.2", "5 G", "5g", "5KB", "5B", "nan", "inf", "1e400", "99999999999T", " 5", "5G "}) {
    expect_error(Exit::kUsage, "--memory " + text + ": expected bytes with an optional suffix K M G T or KiB MiB GiB TiB",
                 [&] { parse_size(text, "--memory"); });
  }
}

TEST(Sizes, AreWrittenShort) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "1.0 kB");
  EXPECT_EQ(format_bytes(999'949), "999.9 kB");
  EXPECT_EQ(format_bytes(999'950), "1.0 MB") << "never 1000.0 kB";
  EXPECT_EQ(format_bytes(258'100'000'000), "258.1 GB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "18446.7 PB");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(512), "512");
  EXPECT_EQ(format_count(13'800'000), "13.8 M");
  EXPECT_EQ(format_count(550'100'000'000), "550.1 B");
}

TEST(Sizes, SecondsInTheUnitThatFits) {
  EXPECT_EQ(format_seconds(0), "0.0 s");
  EXPECT_EQ(format_seconds(12.34), "12.3 s");
  EXPECT_EQ(format_seconds(59.94), "59.9 s");
  EXPECT_EQ(format_seconds(59.96), "1 min 00 s");
  EXPECT_EQ(format_seconds(185), "3 min 05 s");
  EXPECT_EQ(format_seconds(3599.6), "1 h 00 min");
  EXPECT_EQ(format_seconds(15120), "4 h 12 min");
  EXPECT_EQ(format_seconds(360'000), "100 h 00 min");
}

TEST(Sizes, FixedDigits) {
  EXPECT_EQ(format_fixed(3.14159, 2), "3.14");
  EXPECT_EQ(format_fixed(-0.5, 0), "-0");
  EXPECT_EQ(format_fixed(2, 3), "2.000");
}

}  // namespace
}  // namespace ggufmill
