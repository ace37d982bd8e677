// The search behind IQ3_S and IQ3_XXS: x = d*(2l+1) * sign * magnitude / unit; a super-block of 256 values has 8 sub-blocks of 32
// with a level l of 4 bits each; magnitudes come four at a time, as points of a codebook (iq3_grids.h). Compiled once per SIMD
// target.
//
// 1. Lane = sub-block: the real-valued scale at which the points nearest to |x| / scale (one table lookup per group of four) fit
//    best.
// 2. Lane = candidate d: with those points fixed, the weighted error of each d with its best levels is a sum of 8 quadratics.
// 3. Lane = point: for every group the best of the 16 points around its cell, by exact weighted error at the scale that the
//    sub-block will really have. Then d by least squares. Steps 2 and 3 are repeated with the scales that the new points want.
// Where signs have even parity per 8 values (IQ3_XXS), a group of 8 with an odd number of minus signs must have one of them
// wrong; step 3 takes the one that costs least after both of its points are chosen again.
#if defined(GGUFMILL_QUANT_IQ3_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_IQ3_SEARCH_INL
#undef GGUFMILL_QUANT_IQ3_SEARCH_INL
#else
#define GGUFMILL_QUANT_IQ3_SEARCH_INL
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "quant/iq3_grids.h"
#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline constexpr size_t kIq3Lanes = 8;
using Iq3Blocks = LaneBlocks<32, kIq3Lanes>;
using Iq3Floats = LaneFloats<kIq3Lanes>;

// What a super-block will hold, and the sums that score it.
struct Iq3Choice {
  float d = 0;  // rounded to f16, in the search's unit, over the grid's unit
  float gain = 0;
  Iq3Floats level = {};                 // 0 .. 15
  std::array<uint16_t, 64> point = {};  // index into the codebook
  std::array<uint32_t, 8> minus = {};   // bit e: value e of the sub-block is negative
};

// What a super-block is searched from: magnitudes in natural order, and the signs apart. For parity formats `magnitude` may
// hold a negative number where the sign bit is the wrong one.
struct Iq3Values {
  HWY_ALIGN float magnitude[256];
  HWY_ALIGN float weight[256];
  std::array<uint32_t, 8> minus = {};
};

struct Iq3Sums {
  Iq3Floats xq = {}, qq = {};  // sum(w x q), sum(w q q) per sub-block
};

template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> cell_level(D d, hn::Vec<D> magnitude, hn::Vec<D> half_inverse) {
  const hn::RebindToSigned<D> i32;
  const auto level = hn::Sub(hn::Mul(magnitude, half_inverse), hn::Set(d, 0.5f));
  return hn::ConvertTo(i32, hn::Round(hn::Min(hn::Max(level, hn::Zero(d)), hn::Set(d, 7.0f))));
}

// sum(w x q) and sum(w q q) of the lanes from `first` on, for the points nearest to the cells at `half_inverse`.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void nearest_point_sums(const Iq3Blocks& b, size_t first, D d, const Iq3Neighbours& near, V half_inverse, V& xq,
                                   V& qq) {
  const hn::RebindToSigned<D> i32;
  xq = hn::Zero(d);
  qq = hn::Zero(d);
  for (size_t group = 0; group < 8; ++group) {
    const float(*x)[kIq3Lanes] = b.x + 4 * group;
    const float(*w)[kIq3Lanes] = b.w + 4 * group;
    auto cell = cell_level(d, hn::Load(d, x[0] + first), half_inverse);
    cell = hn::Or(cell, hn::ShiftLeft<3>(cell_level(d, hn::Load(d, x[1] + first), half_inverse)));
    cell = hn::Or(cell, hn::ShiftLeft<6>(cell_level(d, hn::Load(d, x[2] + first), half_inverse)));
    cell = hn::Or(cell, hn::ShiftLeft<9>(cell_level(d, hn::Load(d, x[3] + first), half_inverse)));
    auto packed = hn::GatherIndex(i32, reinterpret_cast<const int32_t*>(near.nearest), cell);
    for (size_t e = 0; e < 4; ++e) {
      const V q = hn::ConvertTo(d, hn::And(packed, hn::Set(i32, 255)));
      packed = hn::ShiftRight<8>(packed);
      const V wq = hn::Mul(hn::Load(d, w[e] + first), q);
      xq = hn::Add(xq, hn::Mul(wq, hn::Load(d, x[e] + first)));
      qq = hn::Add(qq, hn::Mul(wq, q));
    }
  }
}

// Step 1.
inline void scan_scales(const Iq3Values& values, const Iq3Neighbours& near, Iq3Sums& sums) {
  // Where the largest magnitude of a sub-block may land, in cells; the codebook ends at 15.
  constexpr int kTries = 21;
  Iq3Blocks b;
  for (size_t j = 0; j < kIq3Lanes; ++j) b.set_lane(j, values.magnitude + 32 * j, values.weight + 32 * j);
  const hn::CappedTag<float, kIq3Lanes> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t first = 0; first < kIq3Lanes; first += hn::Lanes(d)) {
    V largest = hn::Zero(d);
    for (size_t e = 0; e < 32; ++e) largest = hn::Max(largest, hn::Load(d, b.x[e] + first));
    const V half_unit = hn::Mul(inverse_or_zero(d, largest), hn::Set(d, 0.5f));
    V best_gain = hn::Zero(d), best_xq = best_gain, best_qq = best_gain, xq, qq;
    for (int k = 0; k < kTries; ++k) {
      const float aim = 15.0f + static_cast<float>(k - kTries / 2) * (8.0f / kTries);
      nearest_point_sums(b, first, d, near, hn::Mul(half_unit, hn::Set(d, aim)), xq, qq);
      const V gain = hn::IfThenElseZero(hn::Gt(xq, hn::Zero(d)), hn::Mul(hn::Mul(xq, xq), inverse_or_zero(d, qq)));
      const auto better = hn::Gt(gain, best_gain);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      best_xq = hn::IfThenElse(better, xq, best_xq);
      best_qq = hn::IfThenElse(better, qq, best_qq);
    }
    hn::Store(best_xq, d, &sums.xq[first]);
    hn::Store(best_qq, d, &sums.qq[first]);
  }
}

HWY_INLINE float wanted_scale(const Iq3Sums& sums, size_t j) {
  return sums.qq[j] > 0 && sums.xq[j] > 0 ? sums.xq[j] / sums.qq[j] : 0.0f;
}

// Step 2: d and levels. False where no sub-block wants anything.
inline bool choose_d_and_levels(const Iq3Sums& sums, const BlockUnit& unit, float grid_unit, Iq3Choice& choice) {
  constexpr size_t kTries = 48;
  HWY_ALIGN float tried[kTries], error[kTries];
  float largest = 0;
  for (size_t j = 0; j < kIq3Lanes; ++j) largest = std::max(largest, wanted_scale(sums, j));
  if (!(largest > 0)) return false;
  for (size_t k = 0; k < kTries; ++k) {
    const float d = largest / 31 * (0.95f + 0.02f * static_cast<float>(k));
    tried[k] = unit.rounded(d * grid_unit) / grid_unit;
  }
  const hn::CappedTag<float, 16> d;
  for (size_t k = 0; k < kTries; k += hn::Lanes(d)) {
    const auto step = hn::Load(d, tried + k);
    const auto half_inverse = hn::Mul(inverse_or_zero(d, step), hn::Set(d, 0.5f));
    auto sum = hn::Zero(d);
    for (size_t j = 0; j < kIq3Lanes; ++j) {
      const auto wanted = hn::Mul(hn::Set(d, wanted_scale(sums, j)), half_inverse);
      const auto level = hn::Min(hn::Max(hn::Round(hn::Sub(wanted, hn::Set(d, 0.5f))), hn::Zero(d)), hn::Set(d, 15.0f));
      const auto scale = hn::Mul(step, hn::Add(hn::Add(level, level), hn::Set(d, 1.0f)));
      const auto slope = hn::Sub(hn::Mul(scale, hn::Set(d, sums.qq[j])), hn::Set(d, 2 * sums.xq[j]));
      sum = hn::Add(sum, hn::Mul(scale, slope));
    }
    hn::Store(sum, d, error + k);
  }
  choice.d = tried[std::min_element(error, error + kTries) - error];
  if (!(choice.d > kSmallestScale)) return false;
  for (size_t j = 0; j < kIq3Lanes; ++j) {
    const float level = std::nearbyint(0.5f * wanted_scale(sums, j) / choice.d - 0.5f);
    choice.level[j] = std::clamp(level, 0.0f, 15.0f);
  }
  return true;
}

struct NearestPoint {
  float cost;  // weighted squared error over the scale, less a constant of the group
  uint16_t cell;
  uint8_t place;  // among the cell's neighbours
};

HWY_INLINE float offset_of(uint32_t packed, size_t e) { return static_cast<float>(static_cast<int8_t>(packed >> (8 * e) & 255)); }

HWY_INLINE float magnitude_of(const Iq3Grid& grid, const Iq3Neighbours& near, const NearestPoint& point, size_t e) {
  const float middle = static_cast<float>(grid.unit * (2 * (point.cell >> (3 * e) & 7) + 1));
  const float step = grid.unit == 1 ? kIq3SStep : kIq3XxsStep;
  return middle + offset_of(near.offsets[point.cell][point.place], e) * step;
}
HWY_INLINE uint16_t point_index(const Iq3Grid& grid, const Iq3Neighbours& near, const NearestPoint& point) {
  size_t levels = 0;
  for (size_t e = 0; e < 4; ++e) {
    const auto magnitude = static_cast<int>(magnitude_of(grid, near, point, e));
    levels |= static_cast<size_t>((magnitude - grid.unit) / (2 * grid.unit)) << (3 * e);
  }
  return near.index[levels];
}

// Step 3 for four values at `scale` (> 0): the exact best of the points around their cell.
HWY_INLINE NearestPoint best_point(const float* x, const float* w, float scale, float half_inverse, const Iq3Grid& grid,
                                   const Iq3Neighbours& near) {
  const hn::CappedTag<float, Iq3Neighbours::kNear> d;
  const hn::RebindToSigned<decltype(d)> i32;
  const auto step = hn::Set(d, grid.unit == 1 ? kIq3SStep : kIq3XxsStep);
  uint32_t cell = 0;
  for (size_t e = 0; e < 4; ++e) {
    const float level = std::min(std::max(x[e] * half_inverse - 0.5f, 0.0f), 7.0f);
    cell |= static_cast<uint32_t>(level + 0.5f) << (3 * e);
  }
  HWY_ALIGN float cost[Iq3Neighbours::kNear];
  auto least = hn::Set(d, std::numeric_limits<float>::max());
  for (size_t c = 0; c < Iq3Neighbours::kNear; c += hn::Lanes(d)) {
    auto sum = hn::Zero(d);
    auto packed = hn::Load(i32, reinterpret_cast<const int32_t*>(near.offsets[cell]) + c);
    for (size_t e = 0; e < 4; ++e) {
      const auto offset = hn::ShiftRight<24>(hn::ShiftLeft<24>(packed));
      packed = hn::ShiftRight<8>(packed);
      const auto middle = hn::Set(d, static_cast<float>(grid.unit * (2 * (cell >> (3 * e) & 7) + 1)));
      const auto q = hn::Add(hn::Mul(hn::ConvertTo(d, offset), step), middle);
      const auto slope = hn::Sub(hn::Mul(q, hn::Set(d, w[e] * scale)), hn::Set(d, 2 * w[e] * x[e]));
      sum = hn::Add(sum, hn::Mul(q, slope));
    }
    hn::Store(sum, d, cost + c);
    least = hn::Min(least, sum);
  }
  least = hn::MinOfLanes(d, least);
  size_t place = 0;  // the first of equals
  for (size_t c = 0; c < Iq3Neighbours::kNear; c += hn::Lanes(d)) {
    const intptr_t found = hn::FindFirstTrue(d, hn::Eq(hn::Load(d, cost + c), least));
    if (found < 0) continue;
    place = c + static_cast<size_t>(found);
    break;
  }
  return {.cost = hn::GetLane(least), .cell = static_cast<uint16_t>(cell), .place = static_cast<uint8_t>(place)};
}

// Adds the group's terms to the sums of its sub-block.
HWY_INLINE void add_point(const float* x, const float* w, const NearestPoint& point, const Iq3Grid& grid, const Iq3Neighbours& near, size_t j,
                          Iq3Sums& sums) {
  for (size_t e = 0; e < 4; ++e) {
    const float q = magnitude_of(grid, near, point, e);
    sums.xq[j] += w[e] * x[e] * q;
    sums.qq[j] += w[e] * q * q;
  }
}

// Parity formats: which of 8 values may best carry the wrong sign. `best` holds the points of both groups and is replaced. Of the
// values, those few are tried whose wrong sign would cost least with the points as they are.
inline size_t cheapest_flip(const float* x, const float* w, float scale, float half_inverse, const Iq3Grid& grid, const Iq3Neighbours& near,
                            NearestPoint (&best)[2]) {
  constexpr int kTries = 3;
  float dread[8];
  for (size_t i = 0; i < 8; ++i) {
    const NearestPoint& point = best[i / 4];
    dread[i] = w[i] * x[i] * magnitude_of(grid, near, point, i % 4);
  }
  size_t flip = 0;
  float least = std::numeric_limits<float>::max();
  NearestPoint replaced = best[0];
  for (int round = 0; round < kTries; ++round) {
    const size_t i = static_cast<size_t>(std::min_element(dread, dread + 8) - dread);
    dread[i] = std::numeric_limits<float>::max();
    const size_t half = i / 4;
    float flipped[4];
    std::copy_n(x + 4 * half, 4, flipped);
    flipped[i % 4] = -flipped[i % 4];
    const NearestPoint point = best_point(flipped, w + 4 * half, scale, half_inverse, grid, near);
    const float extra = point.cost - best[half].cost;
    if (extra < least) {
      least = extra;
      flip = i;
      replaced = point;
    }
  }
  best[flip / 4] = replaced;
  return flip;
}

// Step 3 for all groups at the scales of `choice`; the sums of the new points.
template <bool kEvenParity>
void choose_points(Iq3Values& values, const Iq3Grid& grid, const Iq3Neighbours& near, Iq3Choice& choice, Iq3Sums& sums) {
  sums = {};
  choice.minus = values.minus;
  for (size_t group8 = 0; group8 < 32; ++group8) {
    const size_t j = group8 / 4;
    float* x = values.magnitude + 8 * group8;
    const float* w = values.weight + 8 * group8;
    const float scale = choice.d * (2 * choice.level[j] + 1);
    const float half_inverse = 0.5f / (scale * static_cast<float>(grid.unit));
    if constexpr (kEvenParity) {
      for (size_t i = 0; i < 8; ++i) x[i] = std::fabs(x[i]);
    }
    NearestPoint best[2] = {best_point(x, w, scale, half_inverse, grid, near), best_point(x + 4, w + 4, scale, half_inverse, grid, near)};
    if constexpr (kEvenParity) {
      const unsigned shift = group8 % 4 * 8;
      if (std::popcount(values.minus[j] >> shift & 255) % 2 != 0) {
        const size_t flip = cheapest_flip(x, w, scale, half_inverse, grid, near, best);
        x[flip] = -x[flip];
        choice.minus[j] ^= uint32_t{1} << (shift + flip);
      }
    }
    for (size_t half = 0; half < 2; ++half) {
      choice.point[2 * group8 + half] = point_index(grid, near, best[half]);
      add_point(x + 4 * half, w + 4 * half, best[half], grid, near, j, sums);
    }
  }
}

inline void refit_and_score(const Iq3Sums& sums, const BlockUnit& unit, float grid_unit, Iq3Choice& choice) {
  float numerator = 0, denominator = 0;
  for (size_t j = 0; j < kIq3Lanes; ++j) {
    const float factor = 2 * choice.level[j] + 1;
    numerator += factor * sums.xq[j];
    denominator += factor * factor * sums.qq[j];
  }
  if (numerator > 0 && denominator > 0) choice.d = unit.rounded(numerator / denominator * grid_unit) / grid_unit;
  // The gain of d is a sum over the sub-blocks: 2 d numerator - d^2 denominator.
  choice.gain = choice.d * (2 * numerator - choice.d * denominator);
}

// A first guess of the wrong signs for step 1: the value whose square weighs least.
inline void flip_smallest(Iq3Values& values) {
  for (size_t group8 = 0; group8 < 32; ++group8) {
    if (std::popcount(values.minus[group8 / 4] >> (group8 % 4 * 8) & 255) % 2 == 0) continue;
    float* x = values.magnitude + 8 * group8;
    const float* w = values.weight + 8 * group8;
    size_t smallest = 0;
    for (size_t i = 1; i < 8; ++i) {
      if (w[i] * x[i] * x[i] < w[smallest] * x[smallest] * x[smallest]) smallest = i;
    }
    x[smallest] = -x[smallest];
  }
}

// `x` are the 256 values of the super-block in the search's unit. A choice with d = 0 stands for zeros.
template <bool kEvenParity>
Iq3Choice search_points(const float* x, const BlockUnit& unit, const Iq3Grid& grid, const Iq3Neighbours& near,
                        Iq3Values& values) {
  constexpr int kRounds = 3;
  for (size_t i = 0; i < 256; ++i) {
    values.magnitude[i] = std::fabs(x[i]);
    if (i % 32 == 0) values.minus[i / 32] = 0;
    values.minus[i / 32] |= static_cast<uint32_t>(x[i] < 0) << (i % 32);
  }
  if constexpr (kEvenParity) flip_smallest(values);
  const float grid_unit = grid.unit;
  Iq3Sums sums;
  scan_scales(values, near, sums);
  Iq3Choice best, choice;
  for (int round = 0; round < kRounds; ++round) {
    if (!choose_d_and_levels(sums, unit, grid_unit, choice)) break;
    choose_points<kEvenParity>(values, grid, near, choice, sums);
    refit_and_score(sums, unit, grid_unit, choice);
    if (choice.gain > best.gain) best = choice;
  }
  return best;
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
