// Reads the fields of one protobuf message in order, and none of its own accord: submessages are bytes until they are read.
//
//   field   key varint = number << 3 | wire type, then by wire type
//             0  a varint: 7 bits a byte, lowest first, the top bit set in all but the last
//             1  8 bytes, little-endian        2  a length varint and as many bytes        5  4 bytes, little-endian
// Wire types 3 and 4, groups, are refused: they are deprecated, and skipping them needs recursion. Source of the format:
// https://protobuf.dev/programming-guides/encoding.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ggufmill {

class ProtobufReader {
 public:
  // `bytes` must outlive the reader; `where` and `file_offset` (of `bytes`) are for errors.
  ProtobufReader(std::string_view bytes, std::string where, uint64_t file_offset = 0)
      : bytes_(bytes), where_(std::move(where)), file_offset_(file_offset) {}

  // Goes to the next field, false at the end. kBadInput where it does not end inside the message.
  bool next();
  uint32_t field() const { return field_; }

  // The value of the current field; kBadInput where it has another wire type.
  uint64_t varint() const;
  float f32() const;
  std::string_view bytes() const;
  ProtobufReader message() const;

 private:
  enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  uint64_t read_varint();
  std::string_view take(uint64_t n);
  void expect(Wire wire) const;
  [[noreturn]] void fail(const std::string& why) const;

  std::string_view bytes_;
  std::string where_;
  uint64_t file_offset_;
  size_t at_ = 0;
  uint32_t field_ = 0;
  Wire wire_ = Wire::kVarint;
  uint64_t varint_ = 0;
  std::string_view value_;
};

}  // namespace ggufmill
