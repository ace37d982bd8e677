#include "formats/block_name.h"

#include <charconv>

namespace ggufmill {

std::optional<BlockName> in_block(std::string_view gguf_name) {
  constexpr std::string_view kStart = "blk.";
  if (!gguf_name.starts_with(kStart)) return std::nullopt;
  uint64_t block = 0;
  const char* const end = gguf_name.data() + gguf_name.size();
  const auto [after, error] = std::from_chars(gguf_name.data() + kStart.size(), end, block);
  if (error != std::errc() || after == end || *after != '.') return std::nullopt;
  return BlockName{block, std::string_view(after + 1, end)};
}

}  // namespace ggufmill
