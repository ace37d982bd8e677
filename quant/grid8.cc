#include "quant/grid8.h"

namespace ggufmill {
namespace {

template <size_t kPoints>
constexpr std::array<Grid8Values, kPoints> values_of(const std::array<uint16_t, kPoints>& points,
                                                     const std::array<float, 3>& level_values) {
  std::array<Grid8Values, kPoints> values{};
  for (size_t k = 0; k < kPoints; ++k) {
    unsigned rest = points[k];
    for (size_t e = 0; e < 8; ++e, rest /= 3) values[k][e] = level_values[rest % 3];
  }
  return values;
}

constexpr std::array<Grid8Values, 256> signs_of_eight() {
  std::array<Grid8Values, 256> rows{};
  for (size_t s = 0; s < 256; ++s) {
    for (size_t e = 0; e < 8; ++e) rows[s][e] = (s >> e & 1) != 0 ? -1.0f : 1.0f;
  }
  return rows;
}

constexpr std::array<float, 3> kIq2Magnitudes = {8, 25, 43};

}  // namespace

constexpr Grid8<256> kIq2XxsGrid(kIq2XxsPoints);
constexpr Grid8<512> kIq2XsGrid(kIq2XsPoints);
constexpr Grid8<1024> kIq2SGrid(kIq2SPoints);
constexpr Grid8<2048> kIq1Grid(kIq1Points);

constexpr std::array<Grid8Values, 256> kIq2XxsValues = values_of(kIq2XxsPoints, kIq2Magnitudes);
constexpr std::array<Grid8Values, 512> kIq2XsValues = values_of(kIq2XsPoints, kIq2Magnitudes);
constexpr std::array<Grid8Values, 1024> kIq2SValues = values_of(kIq2SPoints, kIq2Magnitudes);
constexpr std::array<Grid8Values, 2048> kIq1Values = values_of(kIq1Points, kIq1Levels);

constexpr std::array<Grid8Values, 256> kSignsOfEight = signs_of_eight();

}  // namespace ggufmill
