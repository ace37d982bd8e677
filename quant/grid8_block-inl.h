// A super-block of 32 eights turned so that lane = eight, and the point nearest to the cell of every eight at given scales: the
// ground of grid8_search-inl.h. Compiled once per SIMD target.
#if defined(GGUFMILL_QUANT_GRID8_BLOCK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_GRID8_BLOCK_INL
#undef GGUFMILL_QUANT_GRID8_BLOCK_INL
#else
#define GGUFMILL_QUANT_GRID8_BLOCK_INL
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hwy/highway.h"
#include "quant/grid8.h"

#ifndef GGUFMILL_QUANT_GRID8_BLOCK_ONCE
#define GGUFMILL_QUANT_GRID8_BLOCK_ONCE
namespace ggufmill {

inline constexpr size_t kEights = 32;

// How long to search.
struct Grid8Effort {
  std::span<const float> aims;  // scales tried, as multiples of the sub-block's weighted root mean square
  int rounds;                   // of levels, points and d
  int level_steps;              // neighbouring l tried per round ...
  float least_change;           // ... where a sub-block wants its scale to change by this part of the distance between two l
  bool other_shift;             // whether the shift is tried both ways with exact points
};

// Aims of IQ2 and IQ1. The last: one value far above the others, or all alike.
inline constexpr std::array kIq2FewAims = {0.2f, 0.26f, 0.33f, 0.42f, 0.7f};
inline constexpr std::array kIq2Aims = {0.22f, 0.27f, 0.32f, 0.37f, 0.43f, 0.5f, 0.7f};
inline constexpr std::array kIq2ManyAims = {0.18f, 0.2f,  0.22f, 0.24f, 0.26f, 0.28f, 0.3f,  0.32f,
                                            0.34f, 0.36f, 0.38f, 0.41f, 0.45f, 0.5f,  0.62f, 1.0f};
inline constexpr std::array kIq1FewAims = {1.0f, 1.4f, 1.9f, 2.6f};
inline constexpr std::array kIq1Aims = {0.9f, 1.2f, 1.55f, 2.0f, 2.7f};
inline constexpr std::array kIq1ManyAims = {0.75f, 0.85f, 0.95f, 1.05f, 1.15f, 1.25f, 1.35f, 1.45f,
                                            1.55f, 1.7f,  1.85f, 2.0f,  2.2f,  2.45f, 2.75f, 3.1f};

}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Grid8Tag = hn::CappedTag<float, 16>;

struct Lanes32 {
  HWY_ALIGN float lane[kEights];
};

struct Grid8Sums {
  Lanes32 xq, qq;  // sum(w x q), sum(w q q)
};

struct Grid8Block {
  HWY_ALIGN float row_x[256];  // in order: values, or magnitudes where signs are apart
  HWY_ALIGN float row_w[256];
  HWY_ALIGN float x[8][kEights];  // lane = eight
  HWY_ALIGN float w[8][kEights];
  HWY_ALIGN int32_t minus[kEights];  // bit e: value e of the eight is negative
  HWY_ALIGN float odd[kEights];      // 1 where an eight has an odd number of minus signs that the format cannot hold, else 0

  // row_w is set; `values` are 256.
  template <class Format>
  void load(const float* values);
};

// The 8 x 32 values of `row`, lane = eight.
inline void turn_eights(const float* row, float (*turned)[kEights]) {
#if HWY_TARGET == HWY_SCALAR
  for (size_t i = 0; i < 256; ++i) turned[i % 8][i / 8] = row[i];
#else
  const Grid8Tag d;
  const size_t lanes = hn::Lanes(d);
  for (size_t first = 0; first < kEights; first += lanes) {
    // Four apart: lane 2k of a has elements 0 .. 3 of eight k, lane 2k + 1 elements 4 .. 7.
    hn::Vec<Grid8Tag> a[4], b[4];
    hn::LoadInterleaved4(d, row + 8 * first, a[0], a[1], a[2], a[3]);
    hn::LoadInterleaved4(d, row + 8 * first + 4 * lanes, b[0], b[1], b[2], b[3]);
    for (size_t e = 0; e < 4; ++e) {
      hn::Store(hn::ConcatEven(d, b[e], a[e]), d, turned[e] + first);
      hn::Store(hn::ConcatOdd(d, b[e], a[e]), d, turned[e + 4] + first);
    }
  }
#endif
}

template <class Format>
void Grid8Block::load(const float* values) {
  turn_eights(values, x);
  turn_eights(row_w, w);
  for (size_t i = 0; i < 256; ++i) row_x[i] = Format::kSigns ? std::fabs(values[i]) : values[i];
  if constexpr (!Format::kSigns) return;
  for (size_t g = 0; g < kEights; ++g) {
    int32_t bits = 0, count = 0;
    for (size_t e = 0; e < 8; ++e) {
      const int32_t negative = x[e][g] < 0 ? 1 : 0;
      bits |= negative << e;
      count += negative;
      x[e][g] = std::fabs(x[e][g]);
    }
    minus[g] = bits;
    odd[g] = Format::kEvenParity ? static_cast<float>(count & 1) : 0.0f;
  }
}

// Puts into every lane the sum of the lanes of its sub-block of 1, 2 or 4 eights.
template <size_t kGroups>
HWY_INLINE void sum_sub_blocks(Lanes32& v) {
  static_assert(kGroups == 1 || kGroups == 2 || kGroups == 4);
  if constexpr (kGroups == 1) return;
#if HWY_TARGET == HWY_SCALAR
  for (size_t l = 0; l < kEights; l += 2) v.lane[l] = v.lane[l + 1] = v.lane[l] + v.lane[l + 1];
  for (size_t l = 0; l < kEights && kGroups == 4; l += 4) {
    v.lane[l] = v.lane[l + 1] = v.lane[l + 2] = v.lane[l + 3] = v.lane[l] + v.lane[l + 2];
  }
#else
  const Grid8Tag d;
  for (size_t first = 0; first < kEights; first += hn::Lanes(d)) {
    auto sum = hn::Load(d, v.lane + first);
    sum = hn::Add(sum, hn::Shuffle2301(sum));
    if constexpr (kGroups == 4) sum = hn::Add(sum, hn::Shuffle1032(sum));
    hn::Store(sum, d, v.lane + first);
  }
#endif
}

// Weighted squared error less that of zeros.
template <class D, class V>
HWY_INLINE V cost_of(D d, V scale, V xq, V qq) {
  return hn::Mul(scale, hn::Sub(hn::Mul(scale, qq), hn::Mul(hn::Set(d, 2.0f), xq)));
}

using Grid8Codes = hn::Vec<hn::RebindToSigned<Grid8Tag>>;  // index << 16 | levels, as in the tables of nearest points

// What levels stand for; `levels` are 0 .. 2.
template <class Format>
HWY_INLINE hn::Vec<Grid8Tag> level_values(Grid8Tag d, Grid8Codes levels) {
  HWY_ALIGN static constexpr float kTable[16] = {Format::kLevels[0], Format::kLevels[1], Format::kLevels[2], 0,
                                                 Format::kLevels[0], Format::kLevels[1], Format::kLevels[2], 0,
                                                 Format::kLevels[0], Format::kLevels[1], Format::kLevels[2], 0,
                                                 Format::kLevels[0], Format::kLevels[1], Format::kLevels[2], 0};
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(d, kTable[hn::GetLane(levels)]);
#else
  return hn::TableLookupLanes(hn::Load(d, kTable), hn::IndicesFromVec(d, levels));
#endif
}

// The sums of given points. With parity, the value whose wrong sign costs least has it: `flipped` is its w x q.
template <class Format, class V = hn::Vec<Grid8Tag>>
HWY_INLINE void point_sums(Grid8Tag d, const Grid8Block& block, size_t first, Grid8Codes code, V shift, V& xq, V& qq,
                           V& flipped) {
  const hn::RebindToSigned<Grid8Tag> di;
  xq = hn::Zero(d);
  qq = hn::Zero(d);
  for (size_t e = 0; e < 8; ++e) {
    V q = level_values<Format>(d, hn::And(code, hn::Set(di, 3)));
    code = hn::ShiftRight<2>(code);
    if constexpr (Format::kShift != 0) q = hn::Add(q, shift);
    const V wq = hn::Mul(hn::Load(d, block.w[e] + first), q);
    const V wxq = hn::Mul(wq, hn::Load(d, block.x[e] + first));
    xq = hn::Add(xq, wxq);
    qq = hn::Add(qq, hn::Mul(wq, q));
    if constexpr (Format::kEvenParity) flipped = e == 0 ? wxq : hn::Min(flipped, wxq);
  }
  if constexpr (Format::kEvenParity) {
    flipped = hn::Mul(flipped, hn::Load(d, block.odd + first));
    xq = hn::Sub(xq, hn::Add(flipped, flipped));
  }
}

// The cells of the eights: for each value the level nearest to x / scale.
template <class Format, class V = hn::Vec<Grid8Tag>>
HWY_INLINE Grid8Codes cells(Grid8Tag d, const Grid8Block& block, size_t first, V scale, V shift) {
  constexpr int32_t kPowers[8] = {1, 3, 9, 27, 81, 243, 729, 2187};
  const hn::RebindToSigned<Grid8Tag> di;
  const V low = hn::Mul(scale, hn::Add(shift, hn::Set(d, (Format::kLevels[0] + Format::kLevels[1]) / 2)));
  const V high = hn::Mul(scale, hn::Add(shift, hn::Set(d, (Format::kLevels[1] + Format::kLevels[2]) / 2)));
  Grid8Codes cell = hn::Zero(di), more = cell;
  for (size_t e = 0; e < 8; ++e) {
    const V x = hn::Load(d, block.x[e] + first);
    const auto power = hn::Set(di, kPowers[e]);
    cell = hn::Add(cell, hn::IfThenElseZero(hn::RebindMask(di, hn::Gt(x, low)), power));
    more = hn::Add(more, hn::IfThenElseZero(hn::RebindMask(di, hn::Gt(x, high)), power));
  }
  return hn::Add(cell, more);
}

// The sums of the points nearest to the cells.
template <class Format, class V = hn::Vec<Grid8Tag>>
HWY_INLINE Grid8Codes nearest_sums(Grid8Tag d, const Grid8Block& block, size_t first, V scale, V shift, V& xq, V& qq) {
  const hn::RebindToSigned<Grid8Tag> di;
  if constexpr (Format::kShift == 0) shift = hn::Zero(d);
  const Grid8Codes code = hn::GatherIndex(di, Format::nearest(), cells<Format>(d, block, first, scale, shift));
  V flipped = hn::Zero(d);
  point_sums<Format>(d, block, first, code, shift, xq, qq, flipped);
  return code;
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
