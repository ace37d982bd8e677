#include "formats/metadata.h"

#include <gtest/gtest.h>

namespace ggufmill {
namespace {

TEST(Metadata, KeepsOrderAndReplacesInPlace) {
  Metadata m;
  m.set("general.architecture", std::string("nemotron_h_moe"));
  m.set("general.file_type", uint32_t{0});
  m.set("a.list", std::vector<int32_t>{1, -2});
  m.set("general.file_type", uint32_t{7});
  ASSERT_EQ(m.entries().size(), 3u);
  EXPECT_EQ(m.entries()[1].first, "general.file_type");
  EXPECT_EQ(m.find_uint("general.file_type"), 7u);
  EXPECT_EQ(*m.find_string("general.architecture"), "nemotron_h_moe");
  EXPECT_TRUE(m.erase("general.file_type"));
  EXPECT_FALSE(m.erase("general.file_type"));
  EXPECT_EQ(m.find("general.file_type"), nullptr);
  EXPECT_EQ(m.entries()[1].first, "a.list");
}

TEST(Metadata, FindUintTakesEveryNonNegativeInteger) {
  Metadata m;
  m.set("u8", uint8_t{200});
  m.set("i64", int64_t{1} << 40);
  m.set("negative", int32_t{-1});
  m.set("bool", true);
  m.set("float", 1.0f);
  m.set("text", std::string("1"));
  EXPECT_EQ(m.find_uint("u8"), 200u);
  EXPECT_EQ(m.find_uint("i64"), uint64_t{1} << 40);
  for (const char* key : {"negative", "bool", "float", "text", "absent"}) EXPECT_EQ(m.find_uint(key), std::nullopt) << key;
  EXPECT_EQ(m.find_string("u8"), nullptr);
}

TEST(Metadata, EveryAlternativeHasItsType) {
  const std::vector<std::pair<MetadataValue, std::string>> cases = {{uint8_t{1}, "u8"},
                                                                    {int8_t{1}, "i8"},
                                                                    {uint16_t{1}, "u16"},
                                                                    {int16_t{1}, "i16"},
                                                                    {uint32_t{1}, "u32"},
                                                                    {int32_t{1}, "i32"},
                                                                    {1.0f, "f32"},
                                                                    {true, "bool"},
                                                                    {std::string("x"), "str"},
                                                                    {uint64_t{1}, "u64"},
                                                                    {int64_t{1}, "i64"},
                                                                    {1.0, "f64"},
                                                                    {std::vector<uint8_t>{}, "arr[u8]"},
                                                                    {std::vector<int8_t>{}, "arr[i8]"},
                                                                    {std::vector<uint16_t>{}, "arr[u16]"},
                                                                    {std::vector<int16_t>{}, "arr[i16]"},
                                                                    {std::vector<uint32_t>{}, "arr[u32]"},
                                                                    {std::vector<int32_t>{}, "arr[i32]"},
                                                                    {std::vector<float>{}, "arr[f32]"},
                                                                    {std::vector<bool>{}, "arr[bool]"},
                                                                    {std::vector<std::string>{}, "arr[str]"},
                                                                    {std::vector<uint64_t>{}, "arr[u64]"},
                                                                    {std::vector<int64_t>{}, "arr[i64]"},
                                                                    {std::vector<double>{}, "arr[f64]"}};
  EXPECT_EQ(cases.size(), std::variant_size_v<MetadataValue>);
  for (const auto& [value, expected] : cases) {
    EXPECT_EQ(type_name(value), expected);
    EXPECT_EQ(array_length(value).has_value(), expected.starts_with("arr"));
  }
  EXPECT_EQ(name(static_cast<GgufValueType>(13)), "");
  EXPECT_EQ(name(GgufValueType::kArray), "arr");
}

TEST(Metadata, ToTextIsOneSafeShortLine) {
  EXPECT_EQ(to_text(uint8_t{65}), "65");
  EXPECT_EQ(to_text(int8_t{-3}), "-3");
  EXPECT_EQ(to_text(0.1f), "0.1");
  EXPECT_EQ(to_text(false), "false");
  EXPECT_EQ(to_text(std::string("a\nb\x1b[31m")), "\"a\\x0ab\\x1b[31m\"");
  EXPECT_EQ(to_text(std::string(200, 'x'), 10), "\"xxxxxxxxxx...\"");
  EXPECT_EQ(to_text(std::vector<bool>{true, false}), "arr[bool] x 2: true, false");
  EXPECT_EQ(to_text(std::vector<std::string>{}), "arr[str] x 0");
  EXPECT_EQ(to_text(std::vector<int32_t>{10, 20, 30}, 5), "arr[i32] x 3: 10, 20, ...");
  EXPECT_EQ(to_text(std::vector<std::string>{std::string(99, 'y')}, 5), "arr[str] x 1: ...");
}

TEST(Metadata, Equality) {
  Metadata a, b;
  a.set("k", uint32_t{1});
  b.set("k", int32_t{1});
  EXPECT_NE(a, b);  // same number, other type: other bytes
  b.set("k", uint32_t{1});
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace ggufmill
