// Prints the tables of the point nearest to every cell of the codebooks of eights (quant/grid8.h) as C++ source.
//
// A cell is the base-3 number of 8 levels; its middle is the levels' values. Distances are squared, in integers; of equals the
// lowest index.
#include <cstdio>

#include "quant/grid8_points.h"

namespace ggufmill {
namespace {

constexpr int kCells = 6561;

struct Levels {
  explicit Levels(int number) {
    for (int& l : level) {
      l = number % 3;
      number /= 3;
    }
  }
  unsigned packed() const {
    unsigned bits = 0;
    for (int e = 0; e < 8; ++e) bits |= static_cast<unsigned>(level[e]) << (2 * e);
    return bits;
  }
  int level[8];
};

template <size_t kPoints>
void print_nearest(const char* name, const std::array<uint16_t, kPoints>& points, const int (&values)[3]) {
  std::printf("\nextern const int32_t %s[%d] = {", name, kCells);
  for (int cell = 0; cell < kCells; ++cell) {
    const Levels middle(cell);
    int least = 1 << 30;
    unsigned nearest = 0;
    for (size_t k = 0; k < kPoints; ++k) {
      const Levels point(points[k]);
      int distance = 0;
      for (int e = 0; e < 8; ++e) {
        const int off = values[point.level[e]] - values[middle.level[e]];
        distance += off * off;
      }
      if (distance < least) {
        least = distance;
        nearest = static_cast<unsigned>(k) << 16 | point.packed();
      }
    }
    std::printf("%s%u,", cell % 12 == 0 ? "\n" : "", nearest);
  }
  std::printf("\n};\n");
}

void print_tables() {
  std::printf("#include <cstdint>\n\nnamespace ggufmill {\n");
  constexpr int kIq2[3] = {8, 25, 43}, kIq1[3] = {-1, 0, 1};
  print_nearest("kIq2XxsNearest", kIq2XxsPoints, kIq2);
  print_nearest("kIq2XsNearest", kIq2XsPoints, kIq2);
  print_nearest("kIq2SNearest", kIq2SPoints, kIq2);
  print_nearest("kIq1Nearest", kIq1Points, kIq1);
  std::printf("\n}  // namespace ggufmill\n");
}

}  // namespace
}  // namespace ggufmill

int main() { ggufmill::print_tables(); }
