#include "formats/checked.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace ggufmill {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(Checked, ComputesWhatFits) {
  EXPECT_EQ(checked_add(2, 3), 5u);
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1), kMax - 0xFFFFFFFFu);
  EXPECT_EQ(checked_product(std::array<uint64_t, 3>{2, 3, 4}), 24u);
  EXPECT_EQ(checked_product({}), 1u);
  EXPECT_EQ(checked_round_up(33, 32), 64u);
  EXPECT_EQ(checked_round_up(64, 32), 64u);
  EXPECT_EQ(checked_round_up(0, 32), 0u);
}

TEST(Checked, AnswersNulloptOnOverflow) {
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(checked_product(std::array<uint64_t, 3>{uint64_t{1} << 62, 8, 0}), std::nullopt);
  EXPECT_EQ(checked_round_up(kMax - 3, 32), std::nullopt);
}

}  // namespace
}  // namespace ggufmill
