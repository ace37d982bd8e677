// Where a GGUF tensor stands by its name: "blk.7.attn_k.weight" is attn_k.weight of block 7.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ggufmill {

struct BlockName {
  uint64_t block = 0;
  std::string_view rest;  // behind "blk.N."
};
// nullopt for tensors outside of blocks.
std::optional<BlockName> in_block(std::string_view gguf_name);

}  // namespace ggufmill
