#include "formats/error.h"

#include <array>
#include <cstring>
#include <utility>

namespace ggufmill {
namespace {

constexpr std::array<ExitCodeRow, 8> kExitCodes = {{
    {Exit::kOk, "done, and everything checked holds"},
    {Exit::kDifference, "a check found a difference (verify, diff)"},
    {Exit::kUsage, "wrong usage"},
    {Exit::kBadInput, "bad input: missing, corrupt, truncated, inconsistent or unsupported SOURCE"},
    {Exit::kInternal, "internal error"},
    {Exit::kCannotCreate, "OUT exists, is the input, or cannot be created"},
    {Exit::kSystem, "the system refused (disk full, I/O error); work so far is kept"},
    {Exit::kTryAgain, "try again: another process holds this output, or units are missing"},
}};

// Length of the valid UTF-8 sequence at the start of `s`, 0 if there is none (overlong forms and surrogates included).
size_t utf8_sequence(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned lead = byte(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0 || length > s.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F) || (lead == 0xF0 && byte(1) < 0x90) ||
      (lead == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return length;
}

}  // namespace

std::span<const ExitCodeRow> exit_codes() { return kExitCodes; }

Error::Error(Exit code, std::string message, std::string hint)
    : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

Error system_error(std::string_view where, std::string_view doing, int errno_value, Exit code) {
  return Error(code, printable(where, 4096) + ": " + std::string(doing) + ": " + std::strerror(errno_value));
}

std::string printable(std::string_view text, size_t max_chars) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  size_t chars = 0;
  while (!text.empty()) {
    if (chars++ == max_chars) return out + "...";
    const size_t length = utf8_sequence(text);
    const auto lead = static_cast<unsigned char>(text[0]);
    const bool c1_control = length == 2 && lead == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
    if (length == 0 || lead < 0x20 || lead == 0x7F || c1_control) {
      out += {'\\', 'x', kHex[lead >> 4], kHex[lead & 15]};
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

std::string quoted_tensor(std::string_view name) { return "tensor \"" + printable(name) + "\""; }

std::string listed(std::span<const std::string> items, size_t max_items, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < items.size() && i < max_items; ++i) {
    if (i > 0) out += separator;
    out += items[i];
  }
  if (items.size() > max_items) out += " and " + std::to_string(items.size() - max_items) + " more";
  return out;
}

}  // namespace ggufmill
