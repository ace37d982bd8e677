// The codebooks of IQ3_XXS and IQ3_S: 256 and 512 points of four magnitudes each, and for encoders the points near every cell.
//
// A point is 4 levels of 3 bits, element 0 in the lowest bits: a number below 4096, written in octal, whose digits from right to
// left are elements 0 .. 3 (0321: levels 1, 2, 3, 0). A level stands for a magnitude:
//   IQ3_S    1 3 5 7 9 11 13 15
//   IQ3_XXS  4 12 20 28 36 44 52 62
// The numbers are the format's: iq3s_grid and iq3xxs_grid of ggml-common.h, llama.cpp b10573.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ggufmill {

struct Iq3Grid {
  std::span<const uint16_t> points;
  std::span<const std::array<float, 4>> values;  // of each point
  std::span<const uint32_t> packed;              // the same, a byte each, element 0 in the lowest
  std::array<uint8_t, 8> magnitudes;
  uint8_t unit;  // of the cells: level l is the cell around unit * (2l + 1)

  uint8_t magnitude(uint16_t point, size_t element) const { return magnitudes[point >> (3 * element) & 7]; }
};

extern const Iq3Grid kIq3SGrid;
extern const Iq3Grid kIq3XxsGrid;

// For each of the 4096 cells (4 levels, as a point) the 16 points nearest to its middle, the nearest first; ties by index.
// Printed at build time by tables/make_iq3_tables.cc.
struct Iq3Neighbours {
  static constexpr size_t kCells = 4096;
  static constexpr size_t kNear = 16;

  // Per point 4 signed bytes, element 0 in the lowest: how far its magnitudes lie from the middle of the cell, in steps.
  alignas(64) uint32_t offsets[kCells][kNear];
  alignas(64) uint32_t nearest[kCells];  // the 4 magnitudes of the nearest point in steps, a byte each
  uint16_t index[kCells];                // of the point whose levels are the cell's; kNoPoint where there is none
  static constexpr uint16_t kNoPoint = 0xFFFF;
};

extern const Iq3Neighbours kIq3SNeighbours;
extern const Iq3Neighbours kIq3XxsNeighbours;

// What the search must know of a codebook at compile time. Magnitudes and their distances from the middles of cells are whole
// numbers of steps.
struct Iq3SSteps {
  static constexpr float kUnit = 1, kStep = 1;
  static constexpr int kStepsPerLevelLog2 = 1;
  static constexpr bool kEvenParity = false;  // of the signs of 8 values
  static const Iq3Neighbours& near() { return kIq3SNeighbours; }
};
struct Iq3XxsSteps {
  static constexpr float kUnit = 4, kStep = 2;
  static constexpr int kStepsPerLevelLog2 = 2;
  static constexpr bool kEvenParity = true;
  static const Iq3Neighbours& near() { return kIq3XxsNeighbours; }
};

}  // namespace ggufmill
