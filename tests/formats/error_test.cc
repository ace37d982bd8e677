#include "formats/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

namespace ggufmill {
namespace {

TEST(Error, CarriesCodeMessageAndHint) {
  const Error error(Exit::kBadInput, "a.safetensors: empty file", "hf download");
  EXPECT_EQ(error.code(), Exit::kBadInput);
  EXPECT_STREQ(error.what(), "a.safetensors: empty file");
  EXPECT_EQ(error.hint(), "hf download");
  EXPECT_EQ(Error(Exit::kUsage, "x").hint(), "");
}

TEST(Error, SystemErrorNamesPathActionAndReason) {
  const Error error = system_error("/data/out\n.gguf", "cannot write", ENOSPC);
  EXPECT_EQ(error.message(), "/data/out\\x0a.gguf: cannot write: No space left on device");
  EXPECT_EQ(error.code(), Exit::kSystem);
  EXPECT_EQ(system_error("x", "y", EEXIST, Exit::kCannotCreate).code(), Exit::kCannotCreate);
}

TEST(Error, ExitCodesAreDistinctAndAscending) {
  int previous = -1;
  for (const ExitCodeRow& row : exit_codes()) {
    EXPECT_GT(static_cast<int>(row.code), previous);
    EXPECT_FALSE(row.meaning.empty());
    previous = static_cast<int>(row.code);
  }
  EXPECT_EQ(exit_codes().size(), 8u);
  EXPECT_EQ(previous, 75);
}

TEST(Printable, KeepsTextAndEscapesTheRest) {
  EXPECT_EQ(printable("blk.0.ffn_up.weight"), "blk.0.ffn_up.weight");
  EXPECT_EQ(printable("Größe 重み 🙂"), "Größe 重み 🙂");
  EXPECT_EQ(printable("a\x1b[31m\n\x7f"), "a\\x1b[31m\\x0a\\x7f");
  EXPECT_EQ(printable(std::string_view("\0b", 2)), "\\x00b");
  EXPECT_EQ(printable("\xC2\x9B"), "\\xc2\\x9b") << "C1 control: a terminal's CSI";
}

TEST(Printable, EscapesInvalidUtf8ByteByByte) {
  EXPECT_EQ(printable("\xFF"), "\\xff");
  EXPECT_EQ(printable("\xC0\x80"), "\\xc0\\x80") << "overlong";
  EXPECT_EQ(printable("\xE0\x80\x80"), "\\xe0\\x80\\x80") << "overlong";
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80") << "surrogate";
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above U+10FFFF";
  EXPECT_EQ(printable("\xE9\x87"), "\\xe9\\x87") << "cut off";
}

TEST(Printable, CutsAfterCharactersNotBytes) {
  EXPECT_EQ(printable("ääää", 3), "äää...");
  EXPECT_EQ(printable("abc", 3), "abc");
}

TEST(QuotedTensor, MakesTheNamePrintable) { EXPECT_EQ(quoted_tensor("a\tb"), "tensor \"a\\x09b\""); }

TEST(Listed, CutsWithACount) {
  EXPECT_EQ(listed(std::vector<std::string>{}), "");
  EXPECT_EQ(listed(std::vector<std::string>{"a"}), "a");
  EXPECT_EQ(listed(std::vector<std::string>{"a", "b", "c"}, 3), "a, b, c");
  EXPECT_EQ(listed(std::vector<std::string>{"a", "b", "c", "d"}, 2, "; "), "a; b and 2 more");
}

}  // namespace
}  // namespace ggufmill
