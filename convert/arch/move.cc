#include "convert/arch/move.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <numeric>
#include <optional>
#include <string>

namespace ggufmill {
namespace {

using DimOf = std::function<uint64_t(std::string_view)>;

struct Named {
  std::string_view word;
  Axis axis;
  uint64_t first_elem = 0;  // of a part of a joined axis; stands with the part's outermost word
};

using Words = std::vector<std::string_view>;  // factors, outermost first
// One dimension: its factors, outermost first; a factor that is a joined axis has several parts, each with factors of its own.
using Factors = std::vector<std::vector<Words>>;

std::string_view next_word(std::string_view& text) {
  const size_t start = std::min(text.find_first_not_of(' '), text.size());
  text.remove_prefix(start);
  if (text.empty()) return {};
  const size_t end =
      std::string_view("()[]").find(text[0]) != std::string_view::npos ? 1 : std::min(text.find_first_of(" ()[]"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

std::vector<Factors> parse_side(std::string_view text) {
  std::vector<Factors> dims;
  bool in_dim = false, joined = false, in_part = false;
  for (std::string_view word = next_word(text); !word.empty(); word = next_word(text)) {
    if (word == "(" && joined) {
      in_part = true;
      dims.back().back().emplace_back();
    } else if (word == ")" && in_part) {
      in_part = false;
    } else if (word == "(") {
      in_dim = true;
      dims.emplace_back();
    } else if (word == ")") {
      in_dim = false;
    } else if (word == "]") {
      joined = false;
    } else if (in_part) {
      dims.back().back().back().push_back(word);
    } else if (joined) {
      dims.back().back().push_back({word});
    } else {
      if (!in_dim) dims.emplace_back();
      dims.back().emplace_back();
      if (word == "[")
        joined = true;
      else
        dims.back().back().push_back({word});
    }
  }
  return dims;
}

uint64_t size_of(std::string_view word, const DimOf& dim) {
  const size_t slash = word.find('/');
  uint64_t divisor = 1;
  if (slash != std::string_view::npos) std::from_chars(word.data() + slash + 1, word.data() + word.size(), divisor);
  return dim(word.substr(0, slash)) / divisor;
}

uint64_t size_of(const Words& part, const DimOf& dim) {
  return std::accumulate(part.begin(), part.end(), uint64_t{1},
                         [&](uint64_t n, std::string_view word) { return n * size_of(word, dim); });
}

uint64_t size_of(const std::vector<Words>& parts, const DimOf& dim) {
  return std::accumulate(parts.begin(), parts.end(), uint64_t{0},
                         [&](uint64_t n, const Words& part) { return n + size_of(part, dim); });
}

bool is_rest(const std::vector<Words>& factor) { return factor.size() == 1 && factor[0] == Words{"*"}; }

// The axes of the source by their words.
std::vector<Named> source_axes(const std::vector<Factors>& dims, std::span<const uint64_t> shape, const DimOf& dim) {
  assert(dims.size() == shape.size() && "the left side has the source's dimensions");
  std::vector<Named> axes;
  uint64_t stride = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    uint64_t rest = shape[d];  // what a '*' is
    for (const auto& factor : dims[d]) rest /= is_rest(factor) ? 1 : size_of(factor, dim);
    for (size_t f = dims[d].size(); f-- > 0;) {
      uint64_t steps = 0;  // of this factor
      for (const Words& part : dims[d][f]) {
        const uint64_t first_elem = steps * stride;
        uint64_t inner = 1;
        for (size_t w = part.size(); w-- > 0;) {
          const uint64_t size = part[w] == "*" ? rest : size_of(part[w], dim);
          axes.push_back({part[w], {size, stride * inner}, w == 0 ? first_elem : 0});
          inner *= size;
        }
        steps += inner;
      }
      stride *= steps;
    }
  }
  assert(stride == std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>()) && "a move covers its source");
  return axes;
}

}  // namespace

Move parse_move(std::string_view text, std::span<const uint64_t> shape, const DimOf& dim) {
  const size_t arrow = text.find("->");
  assert(arrow != std::string_view::npos && "a move has two sides");
  const std::vector<Named> axes = source_axes(parse_side(text.substr(0, arrow)), shape, dim);
  Move move;
  std::vector<std::vector<Axis>> out;
  uint64_t first_elem = 0;
  for (const Factors& factors : parse_side(text.substr(arrow + 2))) {
    out.emplace_back();
    uint64_t size = 1;
    for (const auto& factor : factors) {
      assert(factor.size() == 1 && factor[0].size() == 1 && "the right side joins nothing");
      const auto named = std::ranges::find(axes, factor[0][0], &Named::word);
      assert(named != axes.end() && "the right side's words stand on the left");
      out.back().push_back(named->axis);
      first_elem += named->first_elem;
      size *= named->axis.size;
    }
    move.ne.insert(move.ne.begin(), size);
  }
  const std::vector<Axis> columns = out.back();
  out.pop_back();
  std::vector<Axis> rows;
  for (const auto& axis_list : out) rows.insert(rows.end(), axis_list.begin(), axis_list.end());
  move.rows = map_rows(std::move(rows), columns, first_elem);
  return move;
}

}  // namespace ggufmill
