// Sizes as people write and read them: "512MiB", "50G"; "258.1 GB".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ggufmill {

// Bytes of a number with an optional suffix K M G T (powers of 1000) or KiB MiB GiB TiB; a fraction is allowed. Throws kUsage
// naming `option`.
uint64_t parse_size(std::string_view text, std::string_view option);

std::string format_bytes(uint64_t bytes);    // "258.1 GB", powers of 1000
std::string format_count(uint64_t count);    // "550.1 B", "13.8 M"
std::string format_seconds(double seconds);  // "4 h 12 min", "3 min 05 s", "12.3 s"
std::string format_fixed(double value, int digits);

}  // namespace ggufmill
