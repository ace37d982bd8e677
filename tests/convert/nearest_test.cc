#include "convert/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace ggufmill {
namespace {

const std::vector<std::string> kKnown = {"Q4_K", "Q8_0", "IQ4_NL", "nemotron3-3bit"};

TEST(Nearest, FindsASlip) {
  EXPECT_EQ(nearest_word("q4k", kKnown), "Q4_K");
  EXPECT_EQ(nearest_word("IQ4NL", kKnown), "IQ4_NL");
  EXPECT_EQ(nearest_word("nemotron3-3bits", kKnown), "nemotron3-3bit");
  EXPECT_EQ(nearest_word("nemotorn3-3bit", kKnown), "nemotron3-3bit") << "two letters changed places";
}

TEST(Nearest, SaysNothingWhereNothingIsNear) {
  EXPECT_EQ(nearest_word("completely-else", kKnown), "");
  EXPECT_EQ(nearest_word("", kKnown), "");
  EXPECT_EQ(nearest_word("Q4_K", {}), "");
}

TEST(Nearest, TheFirstOfEquals) { EXPECT_EQ(nearest_word("ab", std::vector<std::string>{"ac", "ad"}), "ac"); }

}  // namespace
}  // namespace ggufmill
