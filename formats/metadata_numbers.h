// Counts in metadata that are one number, or an array with one for each block.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/metadata.h"

namespace ggufmill {

struct MetadataNumbers {
  std::vector<uint64_t> values;  // one, where it is no array
  bool is_array = false;
  // 0 beyond the array.
  uint64_t of(uint64_t block) const { return !is_array ? values[0] : block < values.size() ? values[block] : 0; }
};

// nullopt where the key is missing or holds no integers.
std::optional<MetadataNumbers> find_numbers(const Metadata& metadata, std::string_view key);

}  // namespace ggufmill
