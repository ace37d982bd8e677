#include "formats/metadata_numbers.h"

#include <type_traits>

namespace ggufmill {
namespace {

template <typename T>
constexpr bool kIsCount = std::is_integral_v<T> && !std::is_same_v<T, bool>;

}  // namespace

std::optional<MetadataNumbers> find_numbers(const Metadata& metadata, std::string_view key) {
  const MetadataValue* const value = metadata.find(key);
  if (value == nullptr) return std::nullopt;
  return std::visit(
      []<typename T>(const T& v) -> std::optional<MetadataNumbers> {
        if constexpr (kIsCount<T>) return MetadataNumbers{{static_cast<uint64_t>(v)}, false};
        if constexpr (requires { requires !std::is_same_v<T, std::string> && kIsCount<typename T::value_type>; }) {
          MetadataNumbers numbers{{}, true};
          for (const auto n : v) numbers.values.push_back(static_cast<uint64_t>(n));
          return numbers;
        }
        return std::nullopt;
      },
      *value);
}

}  // namespace ggufmill
