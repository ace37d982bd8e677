// I32, tables of ids: exact up to 2^24, found by type and by no recipe.
#include <gtest/gtest.h>

#include <cstring>

#include "quant/codecs.h"

namespace ggufmill {
namespace {

TEST(Ids, WholeNumbersAreExact) {
  const Codec& codec = *find_codec(GgmlType::I32);
  const std::vector<float> values = {0, 1, 383, 16777215, kMaxId};
  std::vector<std::byte> blocks(values.size() * 4);
  codec.encode(values, {}, blocks);
  const std::vector<int32_t> expected = {0, 1, 383, 16777215, 16777216};
  EXPECT_EQ(std::memcmp(blocks.data(), expected.data(), blocks.size()), 0);
  std::vector<float> decoded(values.size());
  codec.decode(blocks, decoded);
  EXPECT_EQ(decoded, values);
}

TEST(Ids, WhatIsNoIdBecomesZero) {
  const std::vector<float> values = {3e9f, -3e9f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  std::vector<std::byte> blocks(values.size() * 4, std::byte{1});
  find_codec(GgmlType::I32)->encode(values, {}, blocks);
  EXPECT_EQ(blocks, std::vector<std::byte>(blocks.size()));
}

TEST(Ids, AreNoTypeOfWeights) {
  EXPECT_EQ(find_weight_codec(GgmlType::I32), nullptr);
  EXPECT_EQ(find_weight_codec(GgmlType::Q4_K), find_codec(GgmlType::Q4_K));
  EXPECT_EQ(find_codec(GgmlType::I64), nullptr);
}

}  // namespace
}  // namespace ggufmill
