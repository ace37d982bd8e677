// A run of bytes in a file: offset and size travel together.
#pragma once

#include <cstdint>

namespace ggufmill {

struct Extent {
  uint64_t file_offset = 0;
  uint64_t bytes = 0;
  uint64_t end() const { return file_offset + bytes; }
  bool operator==(const Extent&) const = default;
};

}  // namespace ggufmill
