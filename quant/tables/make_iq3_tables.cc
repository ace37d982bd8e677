// Prints the C++ source of kIq3SNeighbours and kIq3XxsNeighbours (iq3_grids.h), at build time.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "quant/iq3_grids.h"
#include "quant/tables/iq3_points.h"

namespace ggufmill {
namespace {

struct Codebook {
  const char* name;
  std::span<const uint16_t> points;
  std::array<uint8_t, 8> magnitudes;
  int unit, step;  // a cell's middle is unit * (2 * level + 1); offsets are counted in steps
};

int offset(const Codebook& book, size_t cell, uint16_t point, size_t e) {
  return book.magnitudes[point >> (3 * e) & 7] - book.unit * (2 * static_cast<int>(cell >> (3 * e) & 7) + 1);
}

std::vector<uint16_t> nearest_points(const Codebook& book, size_t cell) {
  std::vector<std::pair<int, size_t>> by_distance;
  for (size_t k = 0; k < book.points.size(); ++k) {
    int sum = 0;
    for (size_t e = 0; e < 4; ++e) sum += offset(book, cell, book.points[k], e) * offset(book, cell, book.points[k], e);
    by_distance.emplace_back(sum, k);
  }
  std::partial_sort(by_distance.begin(), by_distance.begin() + Iq3Neighbours::kNear, by_distance.end());
  std::vector<uint16_t> nearest;
  for (size_t c = 0; c < Iq3Neighbours::kNear; ++c) nearest.push_back(book.points[by_distance[c].second]);
  return nearest;
}

void print_numbers(const char* member, const std::vector<uint32_t>& numbers) {
  std::printf("    .%s = {", member);
  for (size_t i = 0; i < numbers.size(); ++i) std::printf("%s%u,", i % 16 == 0 ? "\n" : "", numbers[i]);
  std::printf("},\n");
}

void print(const Codebook& book) {
  std::vector<uint32_t> offsets, nearest, index(Iq3Neighbours::kCells, Iq3Neighbours::kNoPoint);
  for (size_t cell = 0; cell < Iq3Neighbours::kCells; ++cell) {
    const std::vector<uint16_t> points = nearest_points(book, cell);
    for (const uint16_t point : points) {
      uint32_t packed = 0;
      for (size_t e = 0; e < 4; ++e) packed |= static_cast<uint32_t>(offset(book, cell, point, e) / book.step & 255) << (8 * e);
      offsets.push_back(packed);
    }
    nearest.push_back(0);
    for (size_t e = 0; e < 4; ++e) {
      nearest.back() |= static_cast<uint32_t>(book.magnitudes[points[0] >> (3 * e) & 7] / book.step) << (8 * e);
    }
  }
  for (size_t k = 0; k < book.points.size(); ++k) index[book.points[k]] = static_cast<uint32_t>(k);
  std::printf("const Iq3Neighbours %s = {\n", book.name);
  print_numbers("offsets", offsets);
  print_numbers("nearest", nearest);
  print_numbers("index", index);
  std::printf("};\n");
}

}  // namespace
}  // namespace ggufmill

int main() {
  using namespace ggufmill;
  std::printf("#include \"quant/iq3_grids.h\"\nnamespace ggufmill {\n");
  print({"kIq3SNeighbours", kIq3SPoints, kIq3SMagnitudes, 1, static_cast<int>(Iq3SSteps::kStep)});
  print({"kIq3XxsNeighbours", kIq3XxsPoints, kIq3XxsMagnitudes, 4, static_cast<int>(Iq3XxsSteps::kStep)});
  std::printf("}  // namespace ggufmill\n");
}
