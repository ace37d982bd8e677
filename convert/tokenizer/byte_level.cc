// GPT-2's byte alphabet: every byte has a printable character, so that BPE works on text.
//
// Bytes 33..126, 161..172 and 174..255 are themselves as code points; the other 68, in order, are U+0100 onwards: space (32) is
// the 33rd of them, U+0120. Source: openai/gpt-2 encoder.py bytes_to_unicode; tokenizers pre_tokenizers/byte_level.rs.
#include <algorithm>
#include <array>

#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {
namespace {

constexpr uint32_t kFirstShifted = 0x100, kShifted = 68;

constexpr bool is_itself(uint32_t byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
}

constexpr std::array<uint8_t, kShifted> shifted_bytes() {
  std::array<uint8_t, kShifted> bytes{};
  size_t n = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (!is_itself(byte)) bytes[n++] = static_cast<uint8_t>(byte);
  }
  return bytes;
}

// Reads one code point of valid UTF-8 and advances.
uint32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t lead = byte(at);
  const size_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  uint32_t code = more == 0 ? lead : lead & (0x3Fu >> more);
  for (size_t i = 1; i <= more && at + i < text.size(); ++i) code = code << 6 | (byte(at + i) & 0x3F);
  at += more + 1;
  return code;
}

// Bytes of the longest prefix of `text` that could begin a UTF-8 sequence; `complete` tells whether it is one.
size_t utf8_prefix(std::string_view text, bool& complete) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = byte(0);
  complete = lead < 0x80;
  if (lead < 0xC2 || lead > 0xF4) return 1;
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range keeps out overlong forms, surrogates and code points above U+10FFFF.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  size_t good = 1;
  while (good < length && byte(good) >= (good == 1 ? low : 0x80u) && byte(good) <= (good == 1 ? high : 0xBFu)) ++good;
  complete = good == length;
  return good;
}

std::string with_replacement_characters(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    bool complete = false;
    const size_t n = utf8_prefix(bytes, complete);
    if (complete)
      text += bytes.substr(0, n);
    else
      text += "\uFFFD";
    bytes.remove_prefix(n);
  }
  return text;
}

void append_code_point(std::string& text, uint32_t code) {  // of two bytes at most
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

std::string byte_level_encoded(std::string_view bytes) {
  static constexpr std::array<uint8_t, kShifted> kBytes = shifted_bytes();
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    const auto shifted = std::lower_bound(kBytes.begin(), kBytes.end(), byte) - kBytes.begin();
    append_code_point(text, is_itself(byte) ? byte : kFirstShifted + static_cast<uint32_t>(shifted));
  }
  return text;
}

std::string byte_level_decoded(std::string_view token) {
  static constexpr std::array<uint8_t, kShifted> kBytes = shifted_bytes();
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const uint32_t code = next_code_point(token, at);
    if (is_itself(code))
      bytes += static_cast<char>(code);
    else if (code >= kFirstShifted && code < kFirstShifted + kShifted)
      bytes += static_cast<char>(kBytes[code - kFirstShifted]);
    else
      return std::string(token);
  }
  return with_replacement_characters(bytes);
}

}  // namespace ggufmill
