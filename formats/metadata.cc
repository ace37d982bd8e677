#include "formats/metadata.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <type_traits>

#include "formats/error.h"

namespace ggufmill {
namespace {

using enum GgufValueType;

constexpr std::array<std::string_view, 13> kTypeNames = {"u8",   "i8",  "u16", "i16", "u32", "i32", "f32",
                                                         "bool", "str", "arr", "u64", "i64", "f64"};

template <typename T>
struct IsArray : std::false_type {};
template <typename T>
struct IsArray<std::vector<T>> : std::true_type {
  using Element = T;
};

template <typename T>
constexpr GgufValueType element_type() {
  if constexpr (std::is_same_v<T, uint8_t>) return kU8;
  if constexpr (std::is_same_v<T, int8_t>) return kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return kU16;
  if constexpr (std::is_same_v<T, int16_t>) return kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return kU32;
  if constexpr (std::is_same_v<T, int32_t>) return kI32;
  if constexpr (std::is_same_v<T, float>) return kF32;
  if constexpr (std::is_same_v<T, bool>) return kBool;
  if constexpr (std::is_same_v<T, std::string>) return kString;
  if constexpr (std::is_same_v<T, uint64_t>) return kU64;
  if constexpr (std::is_same_v<T, int64_t>) return kI64;
  if constexpr (std::is_same_v<T, double>) return kF64;
}

template <typename T>
std::string number_text(T value) {
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return std::string(buffer.data(), end);
}

std::string scalar_text(bool value, size_t) { return value ? "true" : "false"; }
std::string scalar_text(const std::string& value, size_t max_chars) { return "\"" + printable(value, max_chars) + "\""; }
template <typename T>
std::string scalar_text(T value, size_t) {
  if constexpr (std::is_same_v<T, uint8_t> || std::is_same_v<T, int8_t>) return number_text(static_cast<int>(value));
  return number_text(value);
}

template <typename T>
std::string array_text(const std::vector<T>& values, size_t max_chars) {
  std::string elements;
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string element = scalar_text(static_cast<const T&>(values[i]), 24);
    if (elements.size() + element.size() > max_chars) {
      elements += i == 0 ? "..." : ", ...";
      break;
    }
    elements += (i == 0 ? "" : ", ") + element;
  }
  return " x " + std::to_string(values.size()) + (values.empty() ? "" : ": ") + elements;
}

}  // namespace

std::string_view name(GgufValueType type) {
  const auto id = static_cast<uint32_t>(type);
  return id < kTypeNames.size() ? kTypeNames[id] : std::string_view();
}

MetadataType type_of(const MetadataValue& value) {
  return std::visit(
      []<typename T>(const T&) -> MetadataType {
        if constexpr (IsArray<T>::value)
          return {element_type<typename IsArray<T>::Element>(), true};
        else
          return {element_type<T>(), false};
      },
      value);
}

std::string type_name(const MetadataValue& value) {
  const MetadataType type = type_of(value);
  const std::string element(name(type.element));
  return type.is_array ? "arr[" + element + "]" : element;
}

std::optional<uint64_t> array_length(const MetadataValue& value) {
  return std::visit(
      []<typename T>(const T& v) -> std::optional<uint64_t> {
        if constexpr (IsArray<T>::value)
          return v.size();
        else
          return std::nullopt;
      },
      value);
}

std::string to_text(const MetadataValue& value, size_t max_chars) {
  return std::visit(
      [&]<typename T>(const T& v) -> std::string {
        if constexpr (IsArray<T>::value)
          return type_name(value) + array_text(v, max_chars);
        else
          return scalar_text(v, max_chars);
      },
      value);
}

void Metadata::set(std::string key, MetadataValue value) {
  const auto entry = std::ranges::find(entries_, key, &Entry::first);
  if (entry != entries_.end()) {
    entry->second = std::move(value);
  } else {
    entries_.emplace_back(std::move(key), std::move(value));
  }
}

bool Metadata::erase(std::string_view key) {
  return std::erase_if(entries_, [&](const Entry& entry) { return entry.first == key; }) != 0;
}

const MetadataValue* Metadata::find(std::string_view key) const {
  const auto entry = std::ranges::find(entries_, key, &Entry::first);
  return entry == entries_.end() ? nullptr : &entry->second;
}

std::optional<uint64_t> Metadata::find_uint(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  return std::visit(
      []<typename T>(const T& v) -> std::optional<uint64_t> {
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if (std::is_signed_v<T> && v < T{0}) return std::nullopt;
          return static_cast<uint64_t>(v);
        } else {
          return std::nullopt;
        }
      },
      *value);
}

const std::string* Metadata::find_string(std::string_view key) const {
  const MetadataValue* value = find(key);
  return value == nullptr ? nullptr : std::get_if<std::string>(value);
}

}  // namespace ggufmill
