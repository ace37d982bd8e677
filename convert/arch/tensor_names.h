// Names of tensors as the matcher sees them.
//
// A name is cut at its dots; every segment that is a plain number becomes '#':
// "backbone.layers.12.mixer.experts.5.up_proj.weight" has the key "backbone.layers.#.mixer.experts.#.up_proj.weight" and the
// numbers 12, 5. A pattern has the same key, and says what each number must be: a literal, a block {bid} or an expert {xid}.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ggufmill {

inline constexpr int64_t kBlock = -1, kExpert = -2;  // what a number of a pattern stands for; >= 0: itself
inline constexpr size_t kMaxNumbers = 4;             // numbers in one name; more is no tensor of ours

struct NameKey {
  std::string text;
  std::array<int64_t, kMaxNumbers> numbers{};
  size_t n_numbers = 0;
};

// A canonical decimal number below 2^31: no sign, no leading zero.
bool parse_number(std::string_view segment, int64_t& number);

// Fills `key` from a tensor name or, with `pattern`, from a rule's. False: more than kMaxNumbers numbers.
bool make_key(std::string_view name, bool pattern, NameKey& key);

// `pattern` with the numbers of a block, an expert and the MTP block.
std::string filled(std::string_view pattern, int64_t block, int64_t expert, int64_t mtp_block);

}  // namespace ggufmill
