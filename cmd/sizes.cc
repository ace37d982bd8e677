#include "cmd/sizes.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "formats/error.h"

namespace ggufmill {
namespace {

struct Suffix {
  std::string_view text;
  double factor;
};
constexpr auto kSuffixes = std::to_array<Suffix>({{"", 1},
                                                  {"K", 1e3},
                                                  {"M", 1e6},
                                                  {"G", 1e9},
                                                  {"T", 1e12},
                                                  {"KiB", 1024.0},
                                                  {"MiB", 1048576.0},
                                                  {"GiB", 1073741824.0},
                                                  {"TiB", 1099511627776.0}});

std::string scaled(double value, std::string_view units, const char* suffix) {
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < units.size()) value /= 1000, ++unit;
  const std::string number = unit == 0 ? format_fixed(value, 0) : format_fixed(value, 1);
  std::string out = number + " ";
  if (units[unit] != ' ') out += units[unit];
  return out + suffix;
}

}  // namespace

uint64_t parse_size(std::string_view text, std::string_view option) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error == std::errc() && number >= 0) {
    for (const Suffix& s : kSuffixes) {
      const double bytes = std::floor(number * s.factor);
      if (suffix == s.text && bytes < 9.2e18) return static_cast<uint64_t>(bytes);
    }
  }
  throw Error(Exit::kUsage, std::string(option) + " " + printable(text) +
                                ": expected bytes with an optional suffix K M G T or KiB MiB GiB TiB");
}

std::string format_fixed(double value, int digits) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string format_bytes(uint64_t bytes) { return scaled(static_cast<double>(bytes), " kMGTP", "B"); }

std::string format_count(uint64_t count) {
  std::string out = scaled(static_cast<double>(count), " kMBT", "");
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string format_seconds(double seconds) {
  if (seconds < 59.95) return format_fixed(seconds, 1) + " s";
  const auto whole = static_cast<uint64_t>(std::llround(seconds));
  std::array<char, 64> text;
  if (whole < 3600) {
    std::snprintf(text.data(), text.size(), "%u min %02u s", static_cast<unsigned>(whole / 60),
                  static_cast<unsigned>(whole % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%llu h %02u min", static_cast<unsigned long long>(whole / 3600),
                  static_cast<unsigned>(whole / 60 % 60));
  }
  return text.data();
}

}  // namespace ggufmill
