#include "convert/tokenizer/protobuf.h"

#include <bit>

#include "formats/error.h"

namespace ggufmill {

void ProtobufReader::fail(const std::string& why) const {
  throw Error(Exit::kBadInput, where_ + ": byte " + std::to_string(file_offset_ + at_) + ": " + why);
}

uint64_t ProtobufReader::read_varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at_ == bytes_.size()) fail("the message ends inside a number (truncated?)");
    const auto byte = static_cast<unsigned char>(bytes_[at_++]);
    if (shift == 63 && byte > 1) break;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail("a number has more than 64 bits (no protobuf?)");
}

std::string_view ProtobufReader::take(uint64_t n) {
  if (n > bytes_.size() - at_) {
    fail("a field has " + std::to_string(n) + " bytes, the message " + std::to_string(bytes_.size() - at_) +
         " more (truncated?)");
  }
  const std::string_view taken = bytes_.substr(at_, n);
  at_ += n;
  return taken;
}

bool ProtobufReader::next() {
  if (at_ == bytes_.size()) return false;
  const uint64_t key = read_varint();
  if (key >> 3 == 0 || key >> 3 >= uint64_t{1} << 29) fail("field number " + std::to_string(key >> 3) + " (no protobuf?)");
  field_ = static_cast<uint32_t>(key >> 3);
  switch (key & 7) {
    case 0:
      varint_ = read_varint();
      break;
    case 1:
      value_ = take(8);
      break;
    case 2:
      value_ = take(read_varint());
      break;
    case 5:
      value_ = take(4);
      break;
    default:
      fail("wire type " + std::to_string(key & 7) + " (no protobuf?)");
  }
  wire_ = static_cast<Wire>(key & 7);
  return true;
}

void ProtobufReader::expect(Wire wire) const {
  if (wire_ == wire) return;
  fail("field " + std::to_string(field_) + " has wire type " + std::to_string(static_cast<int>(wire_)) + ", expected " +
       std::to_string(static_cast<int>(wire)));
}

uint64_t ProtobufReader::varint() const {
  expect(Wire::kVarint);
  return varint_;
}

float ProtobufReader::f32() const {
  expect(Wire::kFixed32);
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) bits |= static_cast<uint32_t>(static_cast<unsigned char>(value_[i])) << (8 * i);
  return std::bit_cast<float>(bits);
}

std::string_view ProtobufReader::bytes() const {
  expect(Wire::kBytes);
  return value_;
}

ProtobufReader ProtobufReader::message() const {
  const std::string_view value = bytes();
  return {value, where_, file_offset_ + static_cast<uint64_t>(value.data() - bytes_.data())};
}

}  // namespace ggufmill
