// Metadata of a GGUF file: an ordered list of keys with typed values (the format's 13 value types).
//
// A pure value: no bytes are read or written here (gguf_reader.cc and gguf_writer.cc do). Source of the types:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "gguf_metadata_value_type".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ggufmill {

enum class GgufValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
// "u32", "str", "arr" ... as gguf.cpp names them; an empty view for an unknown id.
std::string_view name(GgufValueType type);

// Alternatives of scalars and of arrays stand for one GgufValueType each; arrays of arrays are not supported (no model
// uses them, and readers of other projects recurse on them). std::vector<uint8_t> is arr[u8], std::vector<bool> arr[bool].
using MetadataValue =
    std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string, uint64_t, int64_t, double,
                 std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>, std::vector<uint32_t>,
                 std::vector<int32_t>, std::vector<float>, std::vector<bool>, std::vector<std::string>, std::vector<uint64_t>,
                 std::vector<int64_t>, std::vector<double>>;

// Type of a value: the element type and whether it is an array.
struct MetadataType {
  GgufValueType element;
  bool is_array;
};
MetadataType type_of(const MetadataValue& value);
std::string type_name(const MetadataValue& value);  // "u32", "arr[str]"
// Number of elements of an array, nullopt for a scalar.
std::optional<uint64_t> array_length(const MetadataValue& value);
// For people: strings escaped and cut to about `max_chars`, arrays by length and first elements (`arr[str] x 9: "a", "b", ...`).
std::string to_text(const MetadataValue& value, size_t max_chars = 80);

class Metadata {
 public:
  using Entry = std::pair<std::string, MetadataValue>;
  Metadata() = default;
  // `entries` hold each key once: the caller has checked that.
  explicit Metadata(std::vector<Entry> entries) : entries_(std::move(entries)) {}
  // Replaces the value of an existing key in place, else appends.
  void set(std::string key, MetadataValue value);
  bool erase(std::string_view key);
  const MetadataValue* find(std::string_view key) const;          // nullptr where missing
  std::optional<uint64_t> find_uint(std::string_view key) const;  // any non-negative integer type
  const std::string* find_string(std::string_view key) const;
  const std::vector<Entry>& entries() const { return entries_; }
  bool operator==(const Metadata&) const = default;

 private:
  std::vector<Entry> entries_;
};

}  // namespace ggufmill
