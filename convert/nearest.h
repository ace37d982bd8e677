// "Did you mean": the nearest of some known words.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ggufmill {

// The known word with the smallest edit distance (letter case ignored), "" where none is near (more than a third wrong).
std::string nearest_word(std::string_view word, std::span<const std::string> known);

}  // namespace ggufmill
