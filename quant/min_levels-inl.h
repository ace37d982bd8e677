// Steps 2 and 3 of the search for types with scales and mins (min_search-inl.h), and the row loop around them: integers and two
// f16 per super-block (Q2_K, Q4_K, Q5_K). Type also says kBytes, kDivisors and pack(d bits, dmin bits, levels, mins, codes,
// block).
#if defined(GGUFMILL_QUANT_MIN_LEVELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_MIN_LEVELS_INL
#undef GGUFMILL_QUANT_MIN_LEVELS_INL
#else
#define GGUFMILL_QUANT_MIN_LEVELS_INL
#endif

#include <cstring>
#include <limits>

#include "quant/codec_functions.h"
#include "quant/finite_block-inl.h"
#include "quant/min_search-inl.h"
#include "quant/row_weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

template <class Type>
inline constexpr size_t kSupersOf = kMinLanes / Type::kSubs;
template <class Type>
inline constexpr size_t kSuperElems = Type::kSubs* Type::kElems;

// A lane of 16 is a candidate for dmin; so many candidates for d.
inline constexpr size_t kUnitTries = 16;
struct UnitPair {
  float d = 0, dmin = 0, gain = -std::numeric_limits<float>::infinity();
};

// The f16 values tried for a unit: the largest scale divided by the integers that might stand for it. Where scales are f16
// denormals, the nearest may be too small by half; one candidate is rounded up.
template <class Type>
void unit_candidates(const BlockUnit& unit, float largest, MinFloats& units) {
  static_assert(std::size(Type::kDivisors) == kUnitTries - 1);
  for (size_t k = 0; k + 1 < kUnitTries; ++k) units[k] = unit.rounded(largest / Type::kDivisors[k]);
  units[kUnitTries - 1] = unit.rounded_up(largest / static_cast<float>(Type::kMaxLevel));
}

// The gains of one d with every dmin, the codes behind `sums` fixed; lanes [lane, lane + kSubs) are the super-block.
template <class Type>
HWY_INLINE void gains_of_unit(const CodeSums& sums, const MinFloats& scales, size_t lane, float unit, const MinFloats& min_units,
                              MinFloats& gains) {
  const MinTag d;
  const MinVec most = hn::Set(d, static_cast<float>(Type::kMaxLevel));
  for (size_t first = 0; first < kUnitTries; first += hn::Lanes(d)) {
    const MinVec min_unit = hn::Load(d, min_units.lane + first), over_min = inverse_or_zero(MinTag(), min_unit);
    MinVec gain = hn::Zero(d);
    for (size_t l = lane; l < lane + Type::kSubs; ++l) {
      const float level = unit > 0 ? std::min(std::nearbyint(scales[l] / unit), static_cast<float>(Type::kMaxLevel)) : 0;
      const float s = level * unit;
      const float wanted = (s * sums.q[l] - sums.x[l]) / sums.w[l];
      const MinVec m = hn::Mul(nearest_in(hn::Mul(hn::Set(d, wanted), over_min), most), min_unit);
      const MinVec slope = hn::Set(d, 2 * (s * sums.q[l] - sums.x[l]));
      const MinVec by_min = hn::Mul(m, hn::Sub(slope, hn::Mul(m, hn::Set(d, sums.w[l]))));
      gain = hn::Add(gain, hn::Add(hn::Set(d, s * (2 * sums.xq[l] - s * sums.qq[l])), by_min));
    }
    hn::Store(gain, d, &gains[first]);
  }
}

// Step 2: the kBest pairs of units with the largest gains, best first.
template <class Type, size_t kBest>
void choose_units(const CodeSums& sums, const BlockUnit& unit, const MinFloats& scales, const MinFloats& mins, size_t lane,
                  UnitPair (&best)[kBest]) {
  float largest = 0, largest_min = 0;
  for (size_t l = lane; l < lane + Type::kSubs; ++l) {
    largest = std::max(largest, scales[l]);
    largest_min = std::max(largest_min, mins[l]);
  }
  MinFloats units, min_units, gains;
  unit_candidates<Type>(unit, largest, units);
  unit_candidates<Type>(unit, largest_min, min_units);
  for (const float d : units.lane) {
    gains_of_unit<Type>(sums, scales, lane, d, min_units, gains);
    for (size_t k = 0; k < kUnitTries; ++k) {
      UnitPair pair = {d, min_units[k], gains[k]};
      for (UnitPair& other : best) {
        if (pair.gain > other.gain) std::swap(pair, other);
      }
    }
  }
}

// The levels that the lanes want of their units; errors not known yet.
template <class Type>
void start_from(const UnitPair& pair, const MinFloats& scales, size_t lane, MinChoice& choice) {
  for (size_t l = lane; l < lane + Type::kSubs; ++l) {
    choice.d[l] = pair.d;
    choice.dmin[l] = pair.dmin;
    choice.level[l] = pair.d > 0 ? std::min(std::nearbyint(scales[l] / pair.d), static_cast<float>(Type::kMaxLevel)) : 0;
    choice.min[l] = 0;
    choice.error[l] = std::numeric_limits<float>::infinity();
  }
}

// Step 3, integers: levels up to kLevelReach from the present one, and for each the mins up to kMinReach from the one that is
// best for the codes behind `sums`.
template <class Type, int kLevelReach, int kMinReach, class Blocks>
void scan_levels(const Blocks& b, const CodeSums& sums, MinChoice& choice) {
  constexpr size_t kMins = 2 * kMinReach + 1;
  const MinTag d;
  const MinVec zero = hn::Zero(d), most = hn::Set(d, static_cast<float>(Type::kMaxLevel));
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec unit = hn::Load(d, choice.d.lane + first), min_unit = hn::Load(d, choice.dmin.lane + first);
    const MinVec over_min = inverse_or_zero(MinTag(), min_unit),
                 over_w = hn::Div(hn::Set(d, 1.0f), hn::Load(d, sums.w.lane + first));
    const MinVec q = hn::Load(d, sums.q.lane + first), sum_x = hn::Load(d, sums.x.lane + first);
    const MinVec start = hn::Load(d, choice.level.lane + first);
    MinVec best = start, best_min = hn::Load(d, choice.min.lane + first), best_error = hn::Load(d, choice.error.lane + first);
    MinVec levels[kMins], mins[kMins], errors[kMins];
    for (int step = -kLevelReach; step <= kLevelReach; ++step) {
      const MinVec level = hn::Min(hn::Max(hn::Add(start, hn::Set(d, static_cast<float>(step))), zero), most);
      const MinVec scale = hn::Mul(level, unit);
      const MinVec wanted = hn::Mul(hn::Mul(hn::Sub(hn::Mul(scale, q), sum_x), over_w), over_min);
      const MinVec middle = nearest_in(wanted, most);
      for (int k = -kMinReach; k <= kMinReach; ++k) {
        const MinVec moved = hn::Add(middle, hn::Set(d, static_cast<float>(k)));
        levels[k + kMinReach] = hn::Min(hn::Max(moved, zero), most);
        mins[k + kMinReach] = hn::Mul(levels[k + kMinReach], min_unit);
      }
      exact_errors<Type>(b, first, scale, mins, errors);
      for (size_t k = 0; k < kMins; ++k) {
        const auto better = hn::Lt(errors[k], best_error);
        best_error = hn::IfThenElse(better, errors[k], best_error);
        best = hn::IfThenElse(better, level, best);
        best_min = hn::IfThenElse(better, levels[k], best_min);
      }
    }
    hn::Store(best, d, &choice.level[first]);
    hn::Store(best_min, d, &choice.min[first]);
    hn::Store(best_error, d, &choice.error[first]);
  }
}

// The sums of the codes nearest at the choice's scales, and, for the units in `tried`, the exact errors of the same integers.
template <class Type, class Blocks>
void sums_of_choice(const Blocks& b, const MinChoice& choice, CodeSums& sums) {
  const MinTag d;
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec scale = hn::Mul(hn::Load(d, choice.d.lane + first), hn::Load(d, choice.level.lane + first));
    const MinVec min = hn::Mul(hn::Load(d, choice.dmin.lane + first), hn::Load(d, choice.min.lane + first));
    const LaneFit fit = fit_codes<Type>(b, first, inverse_or_zero(MinTag(), scale), hn::Neg(min),
                                        hn::Load(d, sums.w.lane + first), hn::Load(d, sums.x.lane + first));
    hn::Store(fit.q, d, &sums.q[first]);
    hn::Store(fit.qq, d, &sums.qq[first]);
    hn::Store(fit.xq, d, &sums.xq[first]);
  }
}
template <class Type, class Blocks>
void score_choice(const Blocks& b, MinChoice& choice) {
  const MinTag d;
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec scale = hn::Mul(hn::Load(d, choice.d.lane + first), hn::Load(d, choice.level.lane + first));
    const MinVec min[1] = {hn::Mul(hn::Load(d, choice.dmin.lane + first), hn::Load(d, choice.min.lane + first))};
    MinVec error[1];
    exact_errors<Type>(b, first, scale, min, error);
    hn::Store(error[0], d, &choice.error[first]);
  }
}

template <class Type>
float super_error(const MinChoice& choice, size_t lane) {
  float total = 0;
  for (size_t l = lane; l < lane + Type::kSubs; ++l) total += choice.error[l];
  return total;
}

// Of each super-block the better choice.
template <class Type>
void keep_better(const MinChoice& tried, MinChoice& best) {
  for (size_t lane = 0; lane < kMinLanes; lane += Type::kSubs) {
    if (!(super_error<Type>(tried, lane) < super_error<Type>(best, lane))) continue;
    for (size_t l = lane; l < lane + Type::kSubs; ++l) {
      best.d[l] = tried.d[l];
      best.dmin[l] = tried.dmin[l];
      best.level[l] = tried.level[l];
      best.min[l] = tried.min[l];
      best.error[l] = tried.error[l];
    }
  }
}

// Step 3, d and dmin: least squares over a super-block's lanes with codes and integers fixed.
template <class Type, class Blocks>
void refit_units(const Blocks& b, const BlockUnit* units, CodeSums& sums, MinChoice& choice) {
  sums_of_choice<Type>(b, choice, sums);
  MinChoice tried = choice;
  for (size_t lane = 0; lane < kMinLanes; lane += Type::kSubs) {
    // Normal equations of  sum over lanes of w (x - d s q + dmin m)^2:  d a - dmin c = p,  -d c + dmin e = -r.
    float a = 0, c = 0, e = 0, p = 0, r = 0;
    for (size_t l = lane; l < lane + Type::kSubs; ++l) {
      const float s = choice.level[l], m = choice.min[l];
      a += s * s * sums.qq[l];
      c += s * m * sums.q[l];
      e += m * m * sums.w[l];
      p += s * sums.xq[l];
      r += m * sums.x[l];
    }
    const BlockUnit& unit = units[lane / Type::kSubs];
    const float det = a * e - c * c;
    float d = choice.d[lane], dmin = choice.dmin[lane];
    if (det > 0) {
      d = unit.rounded((p * e - c * r) / det);
      dmin = unit.rounded((c * p - a * r) / det);
    } else if (a > 0) {
      d = unit.rounded(p / a);
    }
    if (!(d >= 0 && dmin >= 0)) continue;
    for (size_t l = lane; l < lane + Type::kSubs; ++l) {
      tried.d[l] = d;
      tried.dmin[l] = dmin;
    }
  }
  score_choice<Type>(b, tried);
  keep_better<Type>(tried, choice);
}

// Effort: kStarts of step 1 (those that Type lists for it), kUnits pairs of units pursued, the reach of scan_levels, kRounds.
template <class Type, class Search, class Blocks>
MinChoice search_mins(const Blocks& b, const BlockUnit* units, bool with_lattice) {
  MinFloats scales, mins;
  CodeSums fitted;
  fit_lanes<Type>(b, Search::kStarts, with_lattice, scales, mins, fitted);
  UnitPair pairs[kSupersOf<Type>][Search::kUnits];
  for (size_t super = 0; super < kSupersOf<Type>; ++super) {
    choose_units<Type>(fitted, units[super], scales, mins, super * Type::kSubs, pairs[super]);
  }
  MinChoice best;
  best.error = {};
  for (size_t k = 0; k < Search::kUnits; ++k) {
    MinChoice choice;
    for (size_t super = 0; super < kSupersOf<Type>; ++super) {
      start_from<Type>(pairs[super][k], scales, super * Type::kSubs, choice);
    }
    CodeSums sums = fitted;
    for (int round = 0; round < Search::kRounds; ++round) {
      scan_levels<Type, Search::kLevelReach, Search::kMinReach>(b, sums, choice);
      refit_units<Type>(b, units, sums, choice);
    }
    if (k == 0) {
      best = choice;
    } else {
      keep_better<Type>(choice, best);
    }
  }
  return best;
}

// The lanes of one super-block, from column `first` on.
template <class Type>
HWY_INLINE BlockUnit load_lanes(Row row, size_t first, const RowWeights& row_weights, const SourceLattice& lattice, size_t lane,
                                MinBlocks<Type::kElems>& lanes) {
  constexpr size_t kElems = Type::kElems;
  HWY_ALIGN float x[kSuperElems<Type>];
  HWY_ALIGN float w[kSuperElems<Type>];
  BlockUnit unit;
  if (first < row.size()) unit = load_finite_block<kSuperElems<Type>>(&row[first], x);
  if (unit.zero) {
    for (size_t j = 0; j < Type::kSubs; ++j) lanes.set_zero(lane + j);
    return unit;
  }
  load_weights<kSuperElems<Type>>(row_weights, first, x, w);
  for (size_t j = 0; j < Type::kSubs; ++j) {
    lanes.set_lane(lane + j, x + kElems * j, w + kElems * j);
    if (lattice.group_elems == 0) continue;
    lanes.step[lane + j] = std::fabs(lattice.steps[(first + kElems * j) / lattice.group_elems]) * unit.down;
  }
  return unit;
}

template <class Type, class Search>
void encode_min_row(Row row, const RowContext& context, std::byte* out) {
  constexpr size_t kSupers = kSupersOf<Type>, kSuper = kSuperElems<Type>;
  const RowWeights row_weights(context);
  MinBlocks<Type::kElems> lanes;
  BlockUnit units[kSupers];
  uint8_t codes[kMinLanes * Type::kElems], levels[Type::kSubs], mins[Type::kSubs];
  for (size_t start = 0; start < row.size(); start += kSupers * kSuper) {
    for (size_t s = 0; s < kSupers; ++s) {
      units[s] = load_lanes<Type>(row, start + s * kSuper, row_weights, context.lattice, s * Type::kSubs, lanes);
    }
    const MinChoice choice = search_mins<Type, Search>(lanes, units, context.lattice.group_elems != 0);
    MinFloats scale, min;
    for (size_t l = 0; l < kMinLanes; ++l) {
      scale[l] = choice.d[l] * choice.level[l];
      min[l] = choice.dmin[l] * choice.min[l];
    }
    write_min_codes<Type>(lanes, scale, min, codes);
    for (size_t s = 0; s < kSupers && start + s * kSuper < row.size(); ++s, out += Type::kBytes) {
      if (units[s].zero) {
        std::memset(out, 0, Type::kBytes);
        continue;
      }
      const size_t lane = s * Type::kSubs;
      for (size_t j = 0; j < Type::kSubs; ++j) {
        levels[j] = static_cast<uint8_t>(choice.level[lane + j]);
        mins[j] = static_cast<uint8_t>(choice.min[lane + j]);
      }
      Type::pack(units[s].scale_bits(choice.d[lane]), units[s].scale_bits(choice.dmin[lane]), levels, mins, codes + s * kSuper,
                 out);
    }
  }
}

// Searches is a struct of three: Fast, Default, Max.
template <class Type, class Searches>
void encode_min_row(Row row, const RowContext& context, std::byte* out, Searches) {
  switch (context.effort) {
    case Effort::kFast:
      return encode_min_row<Type, typename Searches::Fast>(row, context, out);
    case Effort::kDefault:
      return encode_min_row<Type, typename Searches::Default>(row, context, out);
    case Effort::kMax:
      return encode_min_row<Type, typename Searches::Max>(row, context, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
