#include "convert/arch/tensor_names.h"

#include <algorithm>
#include <cassert>

namespace ggufmill {

bool parse_number(std::string_view segment, int64_t& number) {
  if (segment.empty() || segment.size() > 10 || (segment.size() > 1 && segment[0] == '0')) return false;
  number = 0;
  for (const char c : segment) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + (c - '0');
  }
  return number < (int64_t{1} << 31);
}

bool make_key(std::string_view name, bool pattern, NameKey& key) {
  key.text.clear();
  key.n_numbers = 0;
  for (size_t at = 0; at <= name.size();) {
    const size_t dot = std::min(name.find('.', at), name.size());
    const std::string_view segment = name.substr(at, dot - at);
    int64_t number = 0;
    const bool is_block = pattern && segment == "{bid}", is_expert = pattern && segment == "{xid}";
    if (at > 0) key.text += '.';
    if (is_block || is_expert || parse_number(segment, number)) {
      if (key.n_numbers == kMaxNumbers) return false;
      key.numbers[key.n_numbers++] = is_block ? kBlock : is_expert ? kExpert : number;
      key.text += '#';
    } else {
      key.text += segment;
    }
    at = dot + 1;
  }
  return true;
}

std::string filled(std::string_view pattern, int64_t block, int64_t expert, int64_t mtp_block) {
  std::string name;
  for (size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '{') {
      name += pattern[at++];
      continue;
    }
    const std::string_view variable = pattern.substr(at, 5);
    assert(variable == "{bid}" || variable == "{xid}" || variable == "{mtp}");
    name += std::to_string(variable == "{bid}" ? block : variable == "{xid}" ? expert : mtp_block);
    at += 5;
  }
  return name;
}

}  // namespace ggufmill
