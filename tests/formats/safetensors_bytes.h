// Builds safetensors files, right and wrong ones: the header's text is free, the length in front can be made to lie.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace ggufmill {

inline std::string safetensors_bytes(std::string_view header, std::string_view data, uint64_t claimed_header_bytes) {
  char length[8];
  std::memcpy(length, &claimed_header_bytes, sizeof length);
  return std::string(length, sizeof length) + std::string(header) + std::string(data);
}

inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  return safetensors_bytes(header, data, header.size());
}

// F32 vectors of two values each, in this order.
inline std::string shard_bytes(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i == 0 ? "\"" : ",\"") + names[i] + R"(":{"dtype":"F32","shape":[2],"data_offsets":[)" + std::to_string(8 * i) +
              "," + std::to_string(8 * i + 8) + "]}";
  }
  return safetensors_bytes(header + "}", std::string(8 * names.size(), '\x01'));
}

}  // namespace ggufmill
