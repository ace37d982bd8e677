#include "cmd/text_table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace ggufmill {
namespace {

std::string printed(const TextTable& table) {
  std::ostringstream out;
  table.print(out);
  return out.str();
}

TEST(TextTable, AlignsColumns) {
  TextTable table({{"class", TextTable::Align::kLeft}, {"bytes", TextTable::Align::kRight}, {"why", TextTable::Align::kLeft}});
  table.row({"experts", "7", "rule 1"});
  table.rule();
  table.row({"x", "123456", ""});
  EXPECT_EQ(printed(table),
            "class     bytes  why\n"
            "experts       7  rule 1\n"
            "-------  ------  ------\n"
            "x        123456\n");
}

TEST(TextTable, CountsCharactersNotBytes) {
  TextTable table({{"name", TextTable::Align::kLeft}, {"n", TextTable::Align::kRight}});
  table.row({"M\xC3\xA4rz", "1"});
  table.row({"Mars!", "22"});
  EXPECT_EQ(printed(table), "name    n\nM\xC3\xA4rz    1\nMars!  22\n");
}

TEST(TextTable, WithoutRowsIsItsTitles) { EXPECT_EQ(printed(TextTable({{"a"}, {"b"}})), "a  b\n"); }

}  // namespace
}  // namespace ggufmill
