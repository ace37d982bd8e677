// The search behind IQ2_XXS, IQ2_XS, IQ2_S, IQ1_S and IQ1_M: x = d*(2l+1) * (level + shift), 256 values per super-block; levels
// come eight at a time, as points of a codebook (grid8.h); a sub-block of 2 or 4 eights shares l. Compiled once per SIMD
// target.
//
// IQ2's levels are magnitudes and have signs apart, free or with an even number of minus signs per eight; its shift is 0. IQ1's
// shift is +-1/8, chosen per sub-block or per eight. `Format` says which:
//   kPoints, grid, nearest   codebook (grid8.h)
//   kLevels, kTopLevel       what the three levels stand for; largest l
//   kGroups                  eights per sub-block
//   kSigns                   levels are magnitudes
//   kEvenParity              the number of minus signs per eight is even
//   kZeroCell                the cell of a point without negative values once the shift is added
//   kShift                   largest shift, or 0
//   kShiftGroups             eights that share the sign of the shift
//   kEfforts                 how long each effort searches
//
// 1. Lane = eight: over a range of scales, the point nearest to the cell of x / scale, one table lookup; the sums of the eights
//    of a sub-block say which scale fits best.
// 2. Lane = candidate d: with those points fixed, the weighted error of each d with its best l is a sum of quadratics.
// 3. For every eight the best point of the whole codebook at the scale that it will really have (grid8_point-inl.h).
//    Neighbouring l and the other shift are tried in the same way, where the effort allows.
// 4. d by least squares; steps 2 and 3 are repeated with the scales that the new points want.
#if defined(GGUFMILL_QUANT_GRID8_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_GRID8_SEARCH_INL
#undef GGUFMILL_QUANT_GRID8_SEARCH_INL
#else
#define GGUFMILL_QUANT_GRID8_SEARCH_INL
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "hwy/highway.h"
#include "quant/finite_block.h"
#include "quant/grid8.h"
#include "quant/grid8_block-inl.h"
#include "quant/grid8_point-inl.h"
#include "quant/row_weights.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The sums of the points nearest to the cells at `scale`, eight by eight.
template <class Format>
HWY_INLINE void nearest_points(const Grid8Block& block, const Lanes32& scale, float shift, Grid8Sums& sums) {
  const Grid8Tag d;
  for (size_t first = 0; first < kEights; first += hn::Lanes(d)) {
    hn::Vec<Grid8Tag> xq, qq;
    nearest_sums<Format>(d, block, first, hn::Load(d, scale.lane + first), hn::Set(d, shift), xq, qq);
    hn::Store(xq, d, sums.xq.lane + first);
    hn::Store(qq, d, sums.qq.lane + first);
  }
}

// The same for the cheaper shift of the two, which is written to `shift`.
template <class Format>
HWY_INLINE void nearest_points_of_both_shifts(const Grid8Block& block, const Lanes32& scale, Grid8Sums& sums, Lanes32& shift) {
  Grid8Sums other;
  Lanes32 cost, other_cost;
  nearest_points<Format>(block, scale, Format::kShift, sums);
  nearest_points<Format>(block, scale, -Format::kShift, other);
  for (size_t l = 0; l < kEights; ++l) {
    cost.lane[l] = scale.lane[l] * (scale.lane[l] * sums.qq.lane[l] - 2 * sums.xq.lane[l]);
    other_cost.lane[l] = scale.lane[l] * (scale.lane[l] * other.qq.lane[l] - 2 * other.xq.lane[l]);
  }
  sum_sub_blocks<Format::kShiftGroups>(cost);
  sum_sub_blocks<Format::kShiftGroups>(other_cost);
  for (size_t l = 0; l < kEights; ++l) {
    const bool is_other = other_cost.lane[l] < cost.lane[l];
    sums.xq.lane[l] = is_other ? other.xq.lane[l] : sums.xq.lane[l];
    sums.qq.lane[l] = is_other ? other.qq.lane[l] : sums.qq.lane[l];
    shift.lane[l] = is_other ? -Format::kShift : Format::kShift;
  }
}

// Step 1: the sums of each sub-block at its best scale, in all its lanes; the shifts that go with them.
template <class Format>
void scan_scales(const Grid8Block& block, std::span<const float> aims, Grid8Sums& best, Lanes32& best_shift) {
  Lanes32 weight, size, scale, shift;  // size: mean square, then its root
  Grid8Sums sums;
  for (size_t l = 0; l < kEights; ++l) {
    weight.lane[l] = size.lane[l] = 0;
    for (size_t e = 0; e < 8; ++e) {
      weight.lane[l] += block.w[e][l];
      size.lane[l] += block.w[e][l] * block.x[e][l] * block.x[e][l];
    }
    best.xq.lane[l] = 0;
    best.qq.lane[l] = 1;
    shift.lane[l] = best_shift.lane[l] = Format::kShift;
  }
  sum_sub_blocks<Format::kGroups>(weight);
  sum_sub_blocks<Format::kGroups>(size);
  for (size_t l = 0; l < kEights; ++l) size.lane[l] = std::sqrt(size.lane[l] / weight.lane[l]);
  for (const float aim : aims) {
    for (size_t l = 0; l < kEights; ++l) scale.lane[l] = size.lane[l] * aim;
    if constexpr (Format::kShift != 0) {
      nearest_points_of_both_shifts<Format>(block, scale, sums, shift);
    } else {
      nearest_points<Format>(block, scale, 0, sums);
    }
    sum_sub_blocks<Format::kGroups>(sums.xq);
    sum_sub_blocks<Format::kGroups>(sums.qq);
    for (size_t l = 0; l < kEights; ++l) {
      // The gain of the best scale for these points is xq^2 / qq.
      const float xq = std::max(sums.xq.lane[l], 0.0f), qq = sums.qq.lane[l];
      const bool better = xq * xq * best.qq.lane[l] > best.xq.lane[l] * best.xq.lane[l] * qq;
      best.xq.lane[l] = better ? xq : best.xq.lane[l];
      best.qq.lane[l] = better ? qq : best.qq.lane[l];
      best_shift.lane[l] = better ? shift.lane[l] : best_shift.lane[l];
    }
  }
}

// What a super-block is given. Lane = eight; level is the same in all lanes of a sub-block.
struct Grid8Choice {
  float d = 0;
  float gain = 0;  // against zeros
  Lanes32 level;   // l
  Grid8Points points;
};

// The d of `tried` whose best levels give the least error.
template <class Format, size_t kTries>
HWY_INLINE float best_of_d(const float (&tried)[kTries], const Grid8Sums& sums, const Lanes32& wanted) {
  HWY_ALIGN float error[kTries];
  const hn::CappedTag<float, kTries> d;
  for (size_t k = 0; k < kTries; k += hn::Lanes(d)) {
    const auto step = hn::Load(d, tried + k);
    const auto half_inverse = hn::Div(hn::Set(d, 0.5f), step);
    auto sum = hn::Zero(d);
    for (size_t lane = 0; lane < kEights; lane += Format::kGroups) {
      const auto want = hn::Set(d, wanted.lane[lane]);
      const auto aim = hn::Sub(hn::Mul(want, half_inverse), hn::Set(d, 0.5f));
      const auto level = hn::Min(hn::Max(hn::Round(aim), hn::Zero(d)), hn::Set(d, static_cast<float>(Format::kTopLevel)));
      const auto scale = hn::Mul(step, hn::Add(hn::Add(level, level), hn::Set(d, 1.0f)));
      // qq * (scale - wanted)^2 less a constant
      const auto off = hn::Sub(scale, want);
      sum = hn::Add(sum, hn::Mul(hn::Set(d, sums.qq.lane[lane]), hn::Mul(off, off)));
    }
    hn::Store(sum, d, error + k);
  }
  return tried[std::min_element(error, error + kTries) - error];
}

// Step 2: d and levels. `sums` are of sub-blocks, equal in all their lanes. False where no sub-block wants anything.
template <class Format>
bool choose_d_and_levels(const Grid8Sums& sums, const BlockUnit& unit, Grid8Choice& choice) {
  constexpr size_t kTries = 16;
  constexpr float kTop = Format::kTopLevel;
  Lanes32 wanted;
  float largest = 0;
  for (size_t l = 0; l < kEights; ++l) {
    const float scale = sums.xq.lane[l] / sums.qq.lane[l];
    wanted.lane[l] = scale > 0 ? scale : 0;
  }
  for (size_t l = 0; l < kEights; ++l) largest = std::max(largest, wanted.lane[l]);
  if (!(largest > 0)) return false;
  HWY_ALIGN float tried[kTries];
  for (size_t k = 0; k < kTries; ++k) {
    tried[k] = largest * (1 / (2 * kTop + 1)) * (Format::kFirstD + Format::kStepD * static_cast<float>(k));
  }
  if (largest * unit.up < 0x1p-9f) {  // f16 is coarse there
    for (float& d : tried) d = unit.rounded(d);
  }
  choice.d = unit.rounded(best_of_d<Format>(tried, sums, wanted));
  if (!(choice.d > 0)) return false;
  const Grid8Tag d;
  const auto half_inverse = hn::Set(d, 0.5f / choice.d);
  for (size_t first = 0; first < kEights; first += hn::Lanes(d)) {
    const auto aim = hn::Sub(hn::Mul(hn::Load(d, wanted.lane + first), half_inverse), hn::Set(d, 0.5f));
    hn::Store(hn::Min(hn::Max(hn::Round(aim), hn::Zero(d)), hn::Set(d, kTop)), d, choice.level.lane + first);
  }
  return true;
}

// Sums over the lanes of every sub-block, in all its lanes.
template <class Format>
void sub_block_sums(const Grid8Points& points, Grid8Sums& sums) {
  sums.xq = points.xq;
  sums.qq = points.qq;
  sum_sub_blocks<Format::kGroups>(sums.xq);
  sum_sub_blocks<Format::kGroups>(sums.qq);
}

// d by least squares for the points and levels of `choice`, and its gain.
inline void refit_and_score(const BlockUnit& unit, Grid8Choice& choice) {
  constexpr size_t kPartial = 8;  // sums side by side
  float numerators[kPartial] = {}, denominators[kPartial] = {};
  for (size_t first = 0; first < kEights; first += kPartial) {
    for (size_t p = 0; p < kPartial; ++p) {
      const float factor = 2 * choice.level.lane[first + p] + 1;
      numerators[p] += factor * choice.points.xq.lane[first + p];
      denominators[p] += factor * factor * choice.points.qq.lane[first + p];
    }
  }
  float numerator = 0, denominator = 0;
  for (size_t p = 0; p < kPartial; ++p) {
    numerator += numerators[p];
    denominator += denominators[p];
  }
  if (numerator > 0 && denominator > 0) choice.d = unit.rounded(numerator / denominator);
  choice.gain = choice.d * (2 * numerator - choice.d * denominator);
}

inline void set_scales(float d, const Lanes32& level, Lanes32& scale) {
  for (size_t lane = 0; lane < kEights; ++lane) scale.lane[lane] = d * (2 * level.lane[lane] + 1);
}

// Takes the points, levels and shifts of `other` wherever they cost less, sub-block by sub-block (or kUnit eights).
template <size_t kUnit>
void take_better(const Grid8Points& other, const Lanes32& other_level, Grid8Choice& choice) {
  for (size_t first = 0; first < kEights; first += kUnit) {
    float mine = 0, others = 0;
    for (size_t lane = first; lane < first + kUnit; ++lane) {
      mine += choice.points.cost.lane[lane];
      others += other.cost.lane[lane];
    }
    if (!(others < mine)) continue;
    for (size_t lane = first; lane < first + kUnit; ++lane) {
      choice.points.copy_lane(other, lane);
      choice.level.lane[lane] = other_level.lane[lane];
    }
  }
}

// Step 3's neighbours: the next l on the side on which the points of a sub-block want their scale, where they want it to change
// by more than `least_change` of the distance between two l.
template <class Format>
void try_next_level(const Grid8Block& block, float least_change, Grid8Choice& choice) {
  Grid8Sums sums;
  sub_block_sums<Format>(choice.points, sums);
  const float step = 2 * choice.d, least = least_change * step;
  Grid8Points points = choice.points;
  Lanes32 level;
  for (size_t l = 0; l < kEights; ++l) {
    const float now = choice.level.lane[l];
    const float scale = choice.d * (2 * now + 1), off = sums.xq.lane[l] / sums.qq.lane[l] - scale;
    const float next = off > least ? now + 1 : off < -least ? now - 1 : now;
    level.lane[l] = std::min(std::max(next, 0.0f), static_cast<float>(Format::kTopLevel));
    // A scale of 0 leaves nothing to search.
    points.scale.lane[l] = level.lane[l] == now ? 0 : choice.d * (2 * level.lane[l] + 1);
  }
  find_points<Format>(block, points);
  for (size_t l = 0; l < kEights; ++l) {
    if (points.scale.lane[l] == 0) points.cost.lane[l] = std::numeric_limits<float>::max();
  }
  take_better<Format::kGroups>(points, level, choice);
}

template <class Format>
void try_other_shift(const Grid8Block& block, Grid8Choice& choice) {
  Grid8Points points = choice.points;
  for (float& shift : points.shift.lane) shift = -shift;
  points.known = false;
  find_points<Format>(block, points);
  take_better<Format::kShiftGroups>(points, choice.level, choice);
}

// `x` are the 256 values of the super-block in the search's unit. A choice with d = 0 stands for zeros.
template <class Format>
void search_eights(const Grid8Block& block, const BlockUnit& unit, Effort effort, Grid8Choice& best) {
  const Grid8Effort& plan = Format::kEfforts[static_cast<size_t>(effort)];
  best.d = 0;
  best.gain = 0;
  Grid8Sums sums;
  Grid8Choice choice = {};
  scan_scales<Format>(block, plan.aims, sums, choice.points.shift);
  for (int round = 0; round < plan.rounds; ++round) {
    if (!choose_d_and_levels<Format>(sums, unit, choice)) break;
    set_scales(choice.d, choice.level, choice.points.scale);
    choice.points.known = round > 0;
    find_points<Format>(block, choice.points);
    if constexpr (Format::kShift != 0) {
      if (plan.other_shift) try_other_shift<Format>(block, choice);
    }
    for (int step = 0; step < plan.level_steps; ++step) try_next_level<Format>(block, plan.least_change, choice);
    refit_and_score(unit, choice);
    if (choice.gain > best.gain) best = choice;
    sub_block_sums<Format>(choice.points, sums);
  }
}

// What stands for zeros beside d = 0: values that d makes +0.
template <class Format>
void set_zeros(Grid8Block& block, Grid8Choice& choice) {
  for (size_t g = 0; g < kEights; ++g) {
    block.minus[g] = 0;
    block.odd[g] = 0;
    choice.level.lane[g] = 0;
    choice.points.shift.lane[g] = Format::kShift;
    choice.points.code[g] = Format::nearest()[Format::kZeroCell];
  }
}

// Every super-block of a row: pack(f16 bits of d, block, choice, its bytes).
template <class Format, class Pack>
void encode_eights(std::span<const float> row, const RowContext& context, std::byte* out, Pack pack) {
  const RowWeights row_weights(context);
  Grid8Block block = {};
  Grid8Choice choice = {};
  float x[256];
  for (size_t first = 0; first < row.size(); first += 256, out += Format::kBytes) {
    const BlockUnit unit = load_block(&row[first], 256, x);
    std::memset(out, 0, Format::kBytes);
    choice.d = 0;
    if (!unit.zero) {
      row_weights.load(first, 256, x, block.row_w);
      block.load<Format>(x);
      search_eights<Format>(block, unit, context.effort, choice);
    }
    const uint16_t d = unit.scale_bits(choice.d);
    if (d == 0) set_zeros<Format>(block, choice);
    pack(d, block, choice, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
