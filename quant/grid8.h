// The codebooks of eights (grid8_points.h), as decoders and encoders use them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "quant/grid8_points.h"

namespace ggufmill {

inline constexpr size_t kGrid8Cells = 6561;

// What each level stands for, in units of the scale d * (2l + 1): 8, 25, 43 eighths and -1, 0, 1.
inline constexpr std::array<float, 3> kIq2Levels = {1.0f, 3.125f, 5.375f};
inline constexpr std::array<float, 3> kIq1Levels = {-1.0f, 0.0f, 1.0f};

template <size_t kPoints_>
struct Grid8 {
  static constexpr size_t kPoints = kPoints_;

  explicit constexpr Grid8(const std::array<uint16_t, kPoints>& points) {
    for (size_t k = 0; k < kPoints; ++k) {
      unsigned rest = points[k];
      for (size_t p = 0; p < 4; ++p, rest /= 9) {
        pair[p][k] = static_cast<uint8_t>(rest % 9);
        levels[k] = static_cast<uint16_t>(levels[k] | (rest % 3) << (4 * p) | (rest / 3 % 3) << (4 * p + 2));
      }
    }
  }

  // Elements 2p and 2p + 1 of every point: level + 3 * level, below 9.
  alignas(64) uint8_t pair[4][kPoints] = {};
  // All levels of a point, 2 bits each, element 0 in the lowest.
  uint16_t levels[kPoints] = {};
};

extern const Grid8<256> kIq2XxsGrid;
extern const Grid8<512> kIq2XsGrid;
extern const Grid8<1024> kIq2SGrid;
extern const Grid8<2048> kIq1Grid;

// For every cell (8 levels as a base-3 number, like a point) the nearest point, the lowest index of several:
// index << 16 | Grid8::levels of it. Computed at build time by quant/tables/make_iq2_tables.cc.
extern const int32_t kIq2XxsNearest[kGrid8Cells];
extern const int32_t kIq2XsNearest[kGrid8Cells];
extern const int32_t kIq2SNearest[kGrid8Cells];
extern const int32_t kIq1Nearest[kGrid8Cells];

// The values of every point, for decoders: 8, 25, 43 and -1, 0, 1.
using Grid8Values = std::array<float, 8>;
extern const std::array<Grid8Values, 256> kIq2XxsValues;
extern const std::array<Grid8Values, 512> kIq2XsValues;
extern const std::array<Grid8Values, 1024> kIq2SValues;
extern const std::array<Grid8Values, 2048> kIq1Values;

// Row s has -1 where bit e of s is set, else 1.
extern const std::array<Grid8Values, 256> kSignsOfEight;

// Eight signs of which seven are stored: the number of minus signs is even.
constexpr uint32_t even_signs(uint32_t stored) { return stored | static_cast<uint32_t>(std::popcount(stored) % 2) << 7; }

}  // namespace ggufmill
