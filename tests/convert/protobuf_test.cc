// Protobuf messages field by field, and each way in which one is broken.
#include "convert/tokenizer/protobuf.h"

#include <gtest/gtest.h>

#include "formats/error.h"

namespace ggufmill {
namespace {

using namespace std::string_literals;

TEST(Protobuf, fields_of_every_wire_type) {
  // 1: varint 300; 2: "ab"; 3: f32 1.5; 4: 8 bytes; 5: message {1: 7}; field 100: varint 1
  const std::string bytes =
      "\x08\xAC\x02\x12\x02"s + "ab" + "\x1D\x00\x00\xC0\x3F"s + "\x21"s + "12345678" + "\x2A\x02\x08\x07"s + "\xA0\x06\x01"s;
  ProtobufReader reader(bytes, "x");
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.field(), 1u);
  EXPECT_EQ(reader.varint(), 300u);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.bytes(), "ab");
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.f32(), 1.5f);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.field(), 4u);
  ASSERT_TRUE(reader.next());
  ProtobufReader inner = reader.message();
  ASSERT_TRUE(inner.next());
  EXPECT_EQ(inner.varint(), 7u);
  EXPECT_FALSE(inner.next());
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.field(), 100u);
  EXPECT_FALSE(reader.next());
}

std::string error_of(const std::string& bytes) {
  try {
    ProtobufReader reader(bytes, "x.model", 100);
    while (reader.next()) {
      if (reader.field() == 2) reader.bytes();
    }
  } catch (const Error& error) {
    return error.message();
  }
  return "(no error)";
}

TEST(Protobuf, broken_messages) {
  EXPECT_EQ(error_of("\x08\x80"s), "x.model: byte 102: the message ends inside a number (truncated?)");
  EXPECT_EQ(error_of("\x08" + std::string(9, '\xFF') + "\x02"),
            "x.model: byte 111: a number has more than 64 bits (no protobuf?)");
  EXPECT_EQ(error_of("\x08" + std::string(9, '\xFF') + "\x01"), "(no error)");
  EXPECT_EQ(error_of("\x12\x05"s + "ab"), "x.model: byte 102: a field has 5 bytes, the message 2 more (truncated?)");
  EXPECT_EQ(error_of("\x12" + std::string(9, '\xFF') + "\x01"),
            "x.model: byte 111: a field has 18446744073709551615 bytes, the message 0 more (truncated?)");
  EXPECT_EQ(error_of("\x1D\x00\x00"s), "x.model: byte 101: a field has 4 bytes, the message 2 more (truncated?)");
  EXPECT_EQ(error_of("\x00\x00"s), "x.model: byte 101: field number 0 (no protobuf?)");
  EXPECT_EQ(error_of("\x0B\x0C"s), "x.model: byte 101: wire type 3 (no protobuf?)");
  EXPECT_EQ(error_of("\x10\x05"s), "x.model: byte 102: field 2 has wire type 0, expected 2");
}

}  // namespace
}  // namespace ggufmill
