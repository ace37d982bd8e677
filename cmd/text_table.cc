#include "cmd/text_table.h"

#include <algorithm>

namespace ggufmill {
namespace {

// Characters shown, not bytes: UTF-8 continuation bytes take no room.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

void TextTable::print(std::ostream& out) const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t w = width(columns_[c].title);
    for (const auto& row : rows_) {
      if (!row.empty()) w = std::max(w, width(row[c]));
    }
    widths.push_back(w);
  }
  const auto line = [&](const auto& cell_of) {
    std::string text;
    for (size_t c = 0; c < columns_.size(); ++c) {
      const std::string cell = cell_of(c);
      const std::string pad(widths[c] - width(cell), ' ');
      if (c > 0) text += "  ";
      text += columns_[c].align == Align::kRight ? pad + cell : cell + pad;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << '\n';
  };
  line([&](size_t c) { return columns_[c].title; });
  for (const auto& row : rows_) {
    line([&](size_t c) { return row.empty() ? std::string(widths[c], '-') : row[c]; });
  }
}

}  // namespace ggufmill
