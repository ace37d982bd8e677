#include "quant/iq3_grids.h"

#include "quant/tables/iq3_points.h"

namespace ggufmill {
namespace {

template <size_t kPoints>
constexpr std::array<std::array<float, 4>, kPoints> point_values(const std::array<uint16_t, kPoints>& points,
                                                                 const std::array<uint8_t, 8>& magnitudes) {
  std::array<std::array<float, 4>, kPoints> values{};
  for (size_t k = 0; k < kPoints; ++k) {
    for (size_t e = 0; e < 4; ++e) values[k][e] = magnitudes[points[k] >> (3 * e) & 7];
  }
  return values;
}

template <size_t kPoints>
constexpr std::array<uint32_t, kPoints> packed_values(const std::array<uint16_t, kPoints>& points,
                                                      const std::array<uint8_t, 8>& magnitudes) {
  std::array<uint32_t, kPoints> packed{};
  for (size_t k = 0; k < kPoints; ++k) {
    for (size_t e = 0; e < 4; ++e) packed[k] |= static_cast<uint32_t>(magnitudes[points[k] >> (3 * e) & 7]) << (8 * e);
  }
  return packed;
}

constexpr auto kIq3SValues = point_values(kIq3SPoints, kIq3SMagnitudes);
constexpr auto kIq3XxsValues = point_values(kIq3XxsPoints, kIq3XxsMagnitudes);
constexpr auto kIq3SPacked = packed_values(kIq3SPoints, kIq3SMagnitudes);
constexpr auto kIq3XxsPacked = packed_values(kIq3XxsPoints, kIq3XxsMagnitudes);

}  // namespace

const Iq3Grid kIq3SGrid = {
    .points = kIq3SPoints, .values = kIq3SValues, .packed = kIq3SPacked, .magnitudes = kIq3SMagnitudes, .unit = 1};
const Iq3Grid kIq3XxsGrid = {
    .points = kIq3XxsPoints, .values = kIq3XxsValues, .packed = kIq3XxsPacked, .magnitudes = kIq3XxsMagnitudes, .unit = 4};

}  // namespace ggufmill
