// The search behind IQ3_S and IQ3_XXS: x = d*(2l+1) * sign * magnitude / unit; a super-block of 256 values has 8 sub-blocks of 32
// with a level l of 4 bits each; magnitudes come four at a time, as points of a codebook (iq3_grids.h). Two super-blocks are
// searched side by side. Compiled once per SIMD target.
//
// 1. Lane = sub-block: the real-valued scale at which the points nearest to |x| / scale (one table lookup per group of four) fit
//    best.
// 2. Lane = candidate d: with those points fixed, the weighted error of each d with its best levels is a sum of 8 quadratics.
// 3. The best points at the scale that the sub-block will really have (iq3_points-inl.h). Then d by least squares. Steps 2 and 3
//    are repeated with the scales that the new points want.
// 4. Lane = sub-block: the levels around the one found, each with its best points; then d again. This is worth more than finer
//    steps in 1, since points fitted to one scale say little about the next.
// Steps of a source's lattice are no candidates here: the codebooks have no zero and no even multiples, so no scale meets a
// lattice; 120 scales in step 1 in place of 12 do not lower the error on NVFP4 sources.
#if defined(GGUFMILL_QUANT_IQ3_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_IQ3_SEARCH_INL
#undef GGUFMILL_QUANT_IQ3_SEARCH_INL
#else
#define GGUFMILL_QUANT_IQ3_SEARCH_INL
#endif

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/iq3_points-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline constexpr size_t kIq3MostDTries = 48;

// How long to search.
struct Iq3Tuning {
  int scales;         // tried in step 1
  float scales_from;  // where the largest magnitude of a sub-block lands, in half cells; the codebook ends at 15
  float scales_step;
  size_t d_tries;  // in step 2; a multiple of 16
  int rounds;      // of steps 2 and 3
  int reach;       // of step 4
  int flips;       // places tried for the wrong sign of a group of eight
  int window;      // d tried around the best, each with step 4
};

// What is stored of two super-blocks.
struct Iq3Choice {
  float d[2] = {};  // rounded to f16, in the search's unit, of one step
  float gain[2] = {};
  Iq3Floats level = {};
  Iq3Points points = {};
};

// sum(w x q) and sum(w q q) of the lanes from `l` on, for the points nearest to the cells at `half_inverse`.
template <class Grid>
HWY_INLINE void nearest_point_sums(const float (*x)[kIq3Lanes], const float (*w)[kIq3Lanes], size_t l, Iq3Vec half_inverse,
                                   Iq3Vec& xq, Iq3Vec& qq) {
  const Iq3Tag d;
  const Iq3IntTag i32;
  xq = qq = hn::Zero(d);
  for (size_t first = 0; first < 32; first += 4) {
    Iq3Vec level[4];
    for (size_t e = 0; e < 4; ++e) {
      level[e] = rounded_level<Grid>(hn::Sub(hn::Mul(hn::Load(d, x[first + e] + l), half_inverse), hn::Set(d, 0.5f)));
    }
    const auto cell = cell_of(level[0], level[1], level[2], level[3]);
    auto packed = hn::GatherIndex(i32, reinterpret_cast<const int32_t*>(Grid::near().nearest), cell);
    for (size_t e = 0; e < 4; ++e) {
      const Iq3Vec q = hn::ConvertTo(d, hn::And(packed, hn::Set(i32, 255)));
      packed = hn::ShiftRight<8>(packed);
      const Iq3Vec wq = hn::Mul(hn::Load(d, w[first + e] + l), q);
      xq = hn::Add(xq, hn::Mul(wq, hn::Load(d, x[first + e] + l)));
      qq = hn::Add(qq, hn::Mul(wq, q));
    }
  }
}

// A first guess of the wrong signs: the value whose square weighs least.
template <class Grid>
const float (*guess_signs(const Iq3Pair& pair, float (*x)[kIq3Lanes]))[kIq3Lanes] {
  if constexpr (!Grid::kEvenParity) return pair.x;
  const Iq3Tag d;
  const Iq3IntTag i32;
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    const auto odd = odd_groups(hn::Load(i32, pair.minus + l));
    for (size_t k = 0; k < 4; ++k) {
      Iq3Vec dread[8], least = hn::Set(d, std::numeric_limits<float>::max());
      for (size_t i = 0; i < 8; ++i) {
        const Iq3Vec value = hn::Load(d, pair.x[8 * k + i] + l);
        dread[i] = hn::Mul(hn::Mul(hn::Load(d, pair.w[8 * k + i] + l), value), value);
        least = hn::Min(least, dread[i]);
      }
      const auto bit = hn::Set(i32, 1 << (8 * k));
      const auto is_odd = hn::RebindMask(d, hn::Eq(hn::And(odd, bit), bit));
      for (size_t i = 0; i < 8; ++i) {
        const Iq3Vec value = hn::Load(d, pair.x[8 * k + i] + l);
        hn::Store(hn::IfThenElse(hn::And(is_odd, hn::Eq(dread[i], least)), hn::Neg(value), value), d, x[8 * k + i] + l);
      }
    }
  }
  return x;
}

// Step 1.
template <class Grid>
void scan_scales(const Iq3Pair& pair, const Iq3Tuning& tuning, Iq3Floats& sum_xq, Iq3Floats& sum_qq) {
  HWY_ALIGN float guessed[32][kIq3Lanes];
  const float(*x)[kIq3Lanes] = guess_signs<Grid>(pair, guessed);
  const Iq3Tag d;
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    Iq3Vec largest = hn::Zero(d);
    for (size_t e = 0; e < 32; ++e) largest = hn::Max(largest, hn::Load(d, x[e] + l));
    const Iq3Vec half_unit = hn::Mul(inverse_or_zero(Iq3Tag(), largest), hn::Set(d, 0.5f));
    Iq3Vec best_gain = hn::Zero(d), best_xq = best_gain, best_qq = best_gain, xq, qq;
    const auto attempt = [&](Iq3Vec aim) {
      nearest_point_sums<Grid>(x, pair.w, l, hn::Mul(half_unit, aim), xq, qq);
      const Iq3Vec gain = hn::IfThenElseZero(hn::Gt(xq, hn::Zero(d)), hn::Mul(hn::Mul(xq, xq), inverse_or_zero(Iq3Tag(), qq)));
      const auto better = hn::Gt(gain, best_gain);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      best_xq = hn::IfThenElse(better, xq, best_xq);
      best_qq = hn::IfThenElse(better, qq, best_qq);
    };
    for (int k = 0; k < tuning.scales; ++k) {
      attempt(hn::Set(d, tuning.scales_from + static_cast<float>(k) * tuning.scales_step));
    }
    hn::Store(best_xq, d, &sum_xq[l]);
    hn::Store(best_qq, d, &sum_qq[l]);
  }
}

// The scales that the sums of the lanes want.
HWY_INLINE Iq3Floats wanted_scales(const Iq3Floats& xq, const Iq3Floats& qq) {
  const Iq3Tag d;
  Iq3Floats wanted;
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    const Iq3Vec positive = hn::Max(hn::Load(d, &xq.lane[l]), hn::Zero(d));
    hn::Store(hn::Mul(positive, inverse_or_zero(Iq3Tag(), hn::Load(d, &qq.lane[l]))), d, &wanted[l]);
  }
  return wanted;
}

// The place of the first of the smallest.
HWY_INLINE size_t place_of_smallest(const float* errors, size_t count) {
  const Iq3Tag d;
  Iq3Vec least = hn::Load(d, errors);
  for (size_t k = hn::Lanes(d); k < count; k += hn::Lanes(d)) least = hn::Min(least, hn::Load(d, errors + k));
  least = hn::MinOfLanes(d, least);
  for (size_t k = 0; k < count; k += hn::Lanes(d)) {
    const intptr_t found = hn::FindFirstTrue(d, hn::Eq(hn::Load(d, errors + k), least));
    if (found >= 0) return k + static_cast<size_t>(found);
  }
  return 0;
}

// The levels whose scales lie nearest to the wanted ones of the super-block whose lanes start at `first`.
HWY_INLINE void nearest_levels(const Iq3Floats& wanted, float d, size_t first, Iq3Floats& levels) {
  const float half_inverse = d > kSmallestScale ? 0.5f / d : 0.0f;
  for (size_t j = first; j < first + 8; ++j) {
    levels[j] = static_cast<float>(static_cast<int>(std::min(wanted[j] * half_inverse, 15.0f)));  // rounds, half a level below
  }
}

// Step 2 for the super-block whose lanes start at `first`: d, 0 where no sub-block wants anything, and levels.
template <class Grid>
float choose_d_and_levels(const Iq3Points& points, const Iq3Floats& wanted, size_t d_tries, size_t first, const BlockUnit& unit,
                          Iq3Floats& levels) {
  constexpr float kStored = Grid::kUnit / Grid::kStep;
  HWY_ALIGN float tried[kIq3MostDTries] = {}, error[kIq3MostDTries] = {};
  float largest = 0;
  for (size_t j = first; j < first + 8; ++j) largest = std::max(largest, wanted[j]);
  if (!(largest > 0)) return 0;
  const float smallest = largest / 31 * 0.95f, step = largest / 31 * 0.96f / static_cast<float>(d_tries);
  for (size_t k = 0; k < d_tries; ++k) tried[k] = smallest + step * static_cast<float>(k);
  // Among denormals rounding moves d farther than the candidates lie apart.
  constexpr uint16_t kFewBits = 0x0800;
  if (unit.scale_bits(smallest * kStored) < kFewBits) {
    for (size_t k = 0; k < d_tries; ++k) tried[k] = unit.rounded(tried[k] * kStored) / kStored;
  }
  const Iq3Tag d;
  for (size_t k = 0; k < d_tries; k += hn::Lanes(d)) {
    const Iq3Vec candidate = hn::Load(d, tried + k);
    const Iq3Vec half_inverse = hn::Mul(inverse_or_zero(Iq3Tag(), candidate), hn::Set(d, 0.5f));
    Iq3Vec sum = hn::Zero(d);
    for (size_t j = first; j < first + 8; ++j) {
      const Iq3Vec place = hn::Sub(hn::Mul(hn::Set(d, wanted[j]), half_inverse), hn::Set(d, 0.5f));
      const Iq3Vec level = hn::Round(hn::Min(hn::Max(place, hn::Zero(d)), hn::Set(d, 15.0f)));
      const Iq3Vec scale = hn::Mul(candidate, hn::Add(hn::Add(level, level), hn::Set(d, 1.0f)));
      const Iq3Vec slope = hn::Sub(hn::Mul(scale, hn::Set(d, points.qq[j])), hn::Set(d, 2 * points.xq[j]));
      sum = hn::Add(sum, hn::Mul(scale, slope));
    }
    hn::Store(sum, d, error + k);
  }
  const float chosen = unit.rounded(tried[place_of_smallest(error, d_tries)] * kStored) / kStored;
  if (!(chosen > kSmallestScale)) return 0;
  nearest_levels(wanted, chosen, first, levels);
  return chosen;
}

// The best d for the points and levels chosen, and what it gains.
template <class Grid>
void refit_and_score(const Iq3Points& points, const Iq3Floats& level, size_t first, const BlockUnit& unit, float& d,
                     float& gain) {
  constexpr float kStored = Grid::kUnit / Grid::kStep;
  float numerator = 0, denominator = 0;
  for (size_t j = first; j < first + 8; ++j) {
    const float factor = 2 * level[j] + 1;
    numerator += factor * points.xq[j];
    denominator += factor * factor * points.qq[j];
  }
  if (numerator > 0 && denominator > 0) d = unit.rounded(numerator / denominator * kStored) / kStored;
  gain = d * (2 * numerator - d * denominator);
}

HWY_INLINE void copy_sub_block(const Iq3Choice& from, size_t j, Iq3Choice& to) {
  to.level[j] = from.level[j];
  to.points.xq[j] = from.points.xq[j];
  to.points.qq[j] = from.points.qq[j];
  to.points.minus[j] = from.points.minus[j];
  for (size_t g = 0; g < 8; ++g) to.points.point[g][j] = from.points.point[g][j];
}

// Keeps what is better than before, per super-block.
inline void keep_better(const Iq3Choice& choice, Iq3Choice& best) {
  for (size_t s = 0; s < 2; ++s) {
    if (!(choice.gain[s] > best.gain[s])) continue;
    best.d[s] = choice.d[s];
    best.gain[s] = choice.gain[s];
    for (size_t j = 8 * s; j < 8 * s + 8; ++j) copy_sub_block(choice, j, best);
  }
}

// The best d for the points and levels of both super-blocks, and what they gain.
template <class Grid>
void refit(const Iq3Pair& pair, Iq3Choice& choice) {
  for (size_t s = 0; s < 2; ++s) {
    choice.gain[s] = 0;
    if (choice.d[s] > 0) refit_and_score<Grid>(choice.points, choice.level, 8 * s, pair.unit[s], choice.d[s], choice.gain[s]);
  }
}

// The scale of one step of every sub-block.
HWY_INLINE Iq3Floats stored_scales(const Iq3Choice& choice) {
  Iq3Floats scale;
  for (size_t j = 0; j < kIq3Lanes; ++j) scale[j] = choice.d[j / 8] * (2 * choice.level[j] + 1);
  return scale;
}

// What the sub-blocks from `l` on gain at their scales.
HWY_INLINE Iq3Vec lane_gains(const Iq3Points& points, const Iq3Floats& scale, size_t l) {
  const Iq3Tag d;
  const Iq3Vec s = hn::Load(d, &scale.lane[l]), xq = hn::Load(d, &points.xq.lane[l]);
  return hn::Mul(s, hn::Sub(hn::Add(xq, xq), hn::Mul(s, hn::Load(d, &points.qq.lane[l]))));
}

// Takes the sub-blocks of `trial` that gain more, at the same d.
HWY_INLINE void keep_better_levels(const Iq3Choice& trial, const Iq3Floats& trial_scale, Iq3Choice& best) {
  const Iq3Tag d;
  const Iq3IntTag i32;
  const Iq3Floats scale = stored_scales(best);
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    const auto better = hn::Gt(lane_gains(trial.points, trial_scale, l), lane_gains(best.points, scale, l));
    const auto take = [&](const auto& tag, const auto* from, auto* to) {
      hn::Store(hn::IfThenElse(hn::RebindMask(tag, better), hn::Load(tag, from + l), hn::Load(tag, to + l)), tag, to + l);
    };
    take(d, trial.level.lane, best.level.lane);
    take(d, trial.points.xq.lane, best.points.xq.lane);
    take(d, trial.points.qq.lane, best.points.qq.lane);
    take(i32, trial.points.minus, best.points.minus);
    for (size_t g = 0; g < 8; ++g) take(i32, trial.points.point[g], best.points.point[g]);
  }
}

// Every sub-block tries other levels at choice.d, each with its best points: one lower, one higher, then up to `reach` from the
// one that it has, on the better side.
template <class Grid>
void search_levels(const Iq3Pair& pair, int flips, int reach, Iq3Choice& choice) {
  const Iq3Tag d;
  Iq3Choice trial = choice;
  const Iq3Floats start = choice.level;
  Iq3Floats side, lower_gain = {};
  std::fill_n(side.lane, kIq3Lanes, -1.0f);
  const int trials = reach == 0 ? 0 : reach + 1;
  for (int step = 0; step < trials; ++step) {
    const float far = static_cast<float>(std::max(step, 1));
    for (size_t j = 0; j < kIq3Lanes; ++j) trial.level[j] = std::clamp(start[j] + far * side[j], 0.0f, 15.0f);
    const Iq3Floats scale = stored_scales(trial);
    choose_points<Grid>(pair, scale, flips, trial.points);
    keep_better_levels(trial, scale, choice);
    for (size_t l = 0; step < 2 && l < kIq3Lanes; l += hn::Lanes(d)) {
      const Iq3Vec gain = lane_gains(trial.points, scale, l), one = hn::Set(d, 1.0f);
      const auto lower = hn::Gt(hn::Load(d, &lower_gain[l]), gain);
      hn::Store(step == 0 ? one : hn::IfThenElse(lower, hn::Neg(one), one), d, &side[l]);
      hn::Store(gain, d, &lower_gain[l]);
    }
  }
  refit<Grid>(pair, choice);
}

// Other d around the best, each with its best levels.
template <class Grid>
void search_window(const Iq3Pair& pair, const Iq3Tuning& tuning, Iq3Choice& best) {
  constexpr float kStored = Grid::kUnit / Grid::kStep;
  constexpr float kStep = 0.02f;
  const Iq3Choice start = best;
  const Iq3Floats wanted = wanted_scales(start.points.xq, start.points.qq);
  for (int k = 0; k < tuning.window; ++k) {
    const float factor = 1 + kStep * static_cast<float>((k + 1) / 2) * (k % 2 == 0 ? 1.0f : -1.0f);
    Iq3Choice choice = start;
    for (size_t s = 0; s < 2; ++s) {
      choice.d[s] = start.d[s] > 0 ? pair.unit[s].rounded(start.d[s] * factor * kStored) / kStored : 0.0f;
      nearest_levels(wanted, choice.d[s], 8 * s, choice.level);
    }
    choose_points<Grid>(pair, stored_scales(choice), tuning.flips, choice.points);
    search_levels<Grid>(pair, tuning.flips, tuning.reach, choice);
    keep_better(choice, best);
  }
}

template <class Grid>
void search_pair(const Iq3Pair& pair, const Iq3Tuning& tuning, Iq3Choice& best) {
  Iq3Choice choice;
  best = Iq3Choice();
  scan_scales<Grid>(pair, tuning, choice.points.xq, choice.points.qq);
  for (int round = 0; round < tuning.rounds; ++round) {
    const Iq3Floats wanted = wanted_scales(choice.points.xq, choice.points.qq);
    for (size_t s = 0; s < 2; ++s) {
      choice.d[s] = choose_d_and_levels<Grid>(choice.points, wanted, tuning.d_tries, 8 * s, pair.unit[s], choice.level);
    }
    choose_points<Grid>(pair, stored_scales(choice), tuning.flips, choice.points);
    refit<Grid>(pair, choice);
    keep_better(choice, best);
  }
  choice = best;
  search_levels<Grid>(pair, tuning.flips, tuning.reach, choice);
  keep_better(choice, best);
  search_window<Grid>(pair, tuning, best);
}

// Fast, default, max. Default takes a twentieth to a thirtieth of ggml's time; fast half of that, max about half of ggml's.
inline constexpr Iq3Tuning kIq3Tunings[] = {
    {.scales = 10, .scales_from = 7, .scales_step = 1.9f, .d_tries = 16, .rounds = 2, .reach = 0, .flips = 1, .window = 0},
    {.scales = 12, .scales_from = 7, .scales_step = 1.6f, .d_tries = 32, .rounds = 2, .reach = 2, .flips = 1, .window = 0},
    {.scales = 21, .scales_from = 6, .scales_step = 0.9f, .d_tries = 48, .rounds = 2, .reach = 4, .flips = 2, .window = 9},
};

// Encodes a row of super-blocks of Format::kBytes each.
template <class Format>
void encode_iq3_row(Row row, const RowContext& context, std::byte* out) {
  using Grid = typename Format::Grid;
  const Iq3Tuning& tuning = kIq3Tunings[static_cast<size_t>(context.effort)];
  const RowWeights weights(context);
  Iq3Pair pair;
  Iq3Choice choice;
  for (size_t first = 0; first < row.size(); first += 512) {
    const size_t super_blocks = std::min<size_t>((row.size() - first) / 256, 2);
    pair.load(row.data(), weights, first, super_blocks);
    search_pair<Grid>(pair, tuning, choice);
    for (size_t s = 0; s < super_blocks; ++s, out += Format::kBytes) {
      Format::pack(pair.unit[s].scale_bits(choice.d[s] * (Grid::kUnit / Grid::kStep)), choice, 8 * s, out);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
