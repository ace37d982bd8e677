// The search behind types whose values are scale * code - min, with both made of a 6-bit integer per sub-block times an f16 of
// the super-block (Q4_K, Q5_K): x = d*s*q - dmin*m. Compiled once per SIMD target; a lane is one of 8 sub-blocks of 32.
//
// 1. Per lane: real-valued (scale, min) by least squares, for codes that several first scales suggest.
// 2. d and dmin together, over a grid of both; with the codes of step 1 fixed, the error is a quadratic form in (scale, min)
//    whose coefficients are five sums per lane, so that a try costs no pass over the values.
// 3. Integers one step around, codes recomputed each time; then d and dmin by least squares; twice.
// Every later step is kept only where the exact error, at the scales the block will hold, falls.
#if defined(GGUFMILL_QUANT_MIN_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_MIN_SEARCH_INL
#undef GGUFMILL_QUANT_MIN_SEARCH_INL
#else
#define GGUFMILL_QUANT_MIN_SEARCH_INL
#endif

#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline constexpr size_t kMinLanes = 8;
inline constexpr float kMaxLevel = 63;
inline constexpr float kSmallestSpread = 0x1p-13f;  // of the codes' weighted variance over their mean square
using MinBlocks = LaneBlocks<32, kMinLanes>;
using MinFloats = LaneFloats<kMinLanes>;
using MinTag = hn::CappedTag<float, kMinLanes>;
using MinVec = hn::Vec<MinTag>;

// Sums of a lane for one choice of codes.
struct CodeSums {
  MinFloats q, qq, xq;  // sum(w q), sum(w q q), sum(w x q)
  MinFloats w, x;       // sum(w), sum(w x): the same for all codes
};

struct MinChoice {
  float d = 0, dmin = 0;           // rounded to f16, in the search's unit
  MinFloats level = {}, min = {};  // integers 0 .. 63
  MinFloats error = {};            // per lane
  float total = 0;
};

// For codes nearest to (x - base) * inverse: the sums, and the (scale, min >= 0) that is best for those codes, with its gain
// (how far the error is below sum(w x x)).
template <int kMaxCode>
HWY_INLINE void fit_codes(const MinBlocks& b, size_t first, MinVec inverse, MinVec base, MinVec sum_w, MinVec sum_x,
                          MinVec& scale, MinVec& min, MinVec& gain, MinVec& q1, MinVec& qq, MinVec& xq) {
  const MinTag d;
  const MinVec zero = hn::Zero(d);
  q1 = qq = xq = zero;
  for (size_t e = 0; e < MinBlocks::kElems; ++e) {
    const MinVec x = hn::Load(d, b.x[e] + first);
    const MinVec q = UniformCodes<0, kMaxCode>::nearest(d, hn::Mul(hn::Sub(x, base), inverse));
    const MinVec wq = hn::Mul(hn::Load(d, b.w[e] + first), q);
    q1 = hn::Add(q1, wq);
    qq = hn::Add(qq, hn::Mul(wq, q));
    xq = hn::Add(xq, hn::Mul(wq, x));
  }
  // Where almost all weight lies on one code, the determinant is what rounding left of it: no line through one point.
  const MinVec squares = hn::Mul(sum_w, qq);
  const MinVec det = hn::Sub(squares, hn::Mul(q1, q1));
  const auto one_code = hn::Le(det, hn::Mul(squares, hn::Set(d, kSmallestSpread)));
  const MinVec over_det = inverse_or_zero(d, det);
  const MinVec free_scale = hn::Mul(hn::Sub(hn::Mul(sum_w, xq), hn::Mul(sum_x, q1)), over_det);
  const MinVec free_min = hn::Mul(hn::Sub(hn::Mul(q1, xq), hn::Mul(qq, sum_x)), over_det);
  const auto bound = hn::Or(hn::Le(free_min, zero), hn::Le(free_scale, zero));  // min = 0 is then the best that can be stored
  scale = hn::IfThenElse(bound, hn::Mul(xq, inverse_or_zero(d, qq)), free_scale);
  scale = hn::IfThenElse(one_code, inverse_or_zero(d, inverse), hn::Max(scale, zero));
  min = hn::IfThenElse(bound, zero, free_min);
  const MinVec mean_min = hn::Mul(hn::Sub(hn::Mul(scale, q1), sum_x), inverse_or_zero(d, sum_w));
  min = hn::IfThenElse(one_code, hn::Max(mean_min, zero), min);
  // sum(w x x) - sum(w (x - s q + m)^2) = s (2 xq - s qq + 2 m q1) - m (2 sum_x + m sum_w)
  const MinVec by_scale = hn::Add(hn::Sub(hn::Add(xq, xq), hn::Mul(scale, qq)), hn::Mul(hn::Add(min, min), q1));
  const MinVec by_min = hn::Add(hn::Add(sum_x, sum_x), hn::Mul(min, sum_w));
  gain = hn::Sub(hn::Mul(scale, by_scale), hn::Mul(min, by_min));
}

// Step 1. `spread` lists how many codes the range of a lane's values may take.
template <int kMaxCode, size_t kTries>
void find_scales_and_mins(const MinBlocks& b, const float (&spread)[kTries], MinFloats& scales, MinFloats& mins, CodeSums& sums) {
  const MinTag d;
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    MinVec low = hn::Zero(d), high = hn::Load(d, b.x[0] + first), sum_w = hn::Zero(d), sum_x = hn::Zero(d);
    for (size_t e = 0; e < MinBlocks::kElems; ++e) {
      const MinVec x = hn::Load(d, b.x[e] + first), w = hn::Load(d, b.w[e] + first);
      low = hn::Min(low, x);
      high = hn::Max(high, x);
      sum_w = hn::Add(sum_w, w);
      sum_x = hn::Add(sum_x, hn::Mul(w, x));
    }
    const MinVec over_range = inverse_or_zero(d, hn::Sub(high, low));
    MinVec best_gain = hn::Zero(d), best_scale = best_gain, best_min = hn::Neg(low), best_q = best_gain, best_qq = best_gain,
           best_xq = best_gain, scale, min, gain, q1, qq, xq;
    for (size_t k = 0; k < kTries + 1; ++k) {
      const bool again = k == kTries;  // once more from the best
      const MinVec inverse = again ? inverse_or_zero(d, best_scale) : hn::Mul(over_range, hn::Set(d, spread[again ? 0 : k]));
      const MinVec base = again ? hn::Neg(best_min) : low;
      fit_codes<kMaxCode>(b, first, inverse, base, sum_w, sum_x, scale, min, gain, q1, qq, xq);
      const auto better = hn::Gt(gain, best_gain);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      best_scale = hn::IfThenElse(better, scale, best_scale);
      best_min = hn::IfThenElse(better, min, best_min);
      best_q = hn::IfThenElse(better, q1, best_q);
      best_qq = hn::IfThenElse(better, qq, best_qq);
      best_xq = hn::IfThenElse(better, xq, best_xq);
    }
    hn::Store(best_scale, d, &scales[first]);
    hn::Store(best_min, d, &mins[first]);
    hn::Store(best_q, d, &sums.q[first]);
    hn::Store(best_qq, d, &sums.qq[first]);
    hn::Store(best_xq, d, &sums.xq[first]);
    hn::Store(sum_w, d, &sums.w[first]);
    hn::Store(sum_x, d, &sums.x[first]);
  }
}

// The integer nearest to `real / unit` in 0 .. 63 (0 where unit is 0).
HWY_INLINE MinVec nearest_level(MinVec real, MinVec over_unit) {
  const MinTag d;
  return hn::Round(hn::Min(hn::Max(hn::Mul(real, over_unit), hn::Zero(d)), hn::Set(d, kMaxLevel)));
}

// The gain of a (d, dmin) with the codes behind `sums` fixed, lane by lane; integers in `choice`.
inline float gain_of_units(const CodeSums& sums, const MinFloats& scales, MinChoice& choice) {
  const MinTag d;
  HWY_ALIGN float gain[kMinLanes];
  const MinVec unit = hn::Set(d, choice.d), unit_min = hn::Set(d, choice.dmin);
  const MinVec over_unit = inverse_or_zero(d, unit), over_min = inverse_or_zero(d, unit_min);
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec q = hn::Load(d, sums.q.lane + first), qq = hn::Load(d, sums.qq.lane + first);
    const MinVec xq = hn::Load(d, sums.xq.lane + first);
    const MinVec w = hn::Load(d, sums.w.lane + first), x = hn::Load(d, sums.x.lane + first);
    const MinVec level = nearest_level(hn::Load(d, scales.lane + first), over_unit);
    const MinVec s = hn::Mul(level, unit);
    const MinVec wanted = hn::Mul(hn::Sub(hn::Mul(s, q), x), inverse_or_zero(d, w));
    const MinVec min_level = nearest_level(wanted, over_min);
    const MinVec m = hn::Mul(min_level, unit_min);
    const MinVec by_scale = hn::Add(hn::Sub(hn::Add(xq, xq), hn::Mul(s, qq)), hn::Mul(hn::Add(m, m), q));
    const MinVec by_min = hn::Add(hn::Add(x, x), hn::Mul(m, w));
    hn::Store(hn::Sub(hn::Mul(s, by_scale), hn::Mul(m, by_min)), d, gain + first);
    hn::Store(level, d, &choice.level[first]);
    hn::Store(min_level, d, &choice.min[first]);
  }
  float total = 0;
  for (const float g : gain) total += g;
  return total;
}

// Step 2. `stretch` lists the units tried, as multiples of the one whose integer 63 reaches the largest scale or min.
template <size_t kTries>
MinChoice choose_units(const CodeSums& sums, const BlockUnit& unit, const MinFloats& scales, const MinFloats& mins,
                       const float (&stretch)[kTries]) {
  float largest = 0, largest_min = 0;
  for (size_t l = 0; l < kMinLanes; ++l) {
    largest = std::max(largest, scales[l]);
    largest_min = std::max(largest_min, mins[l]);
  }
  float units[kTries + 1], min_units[kTries + 1];
  units[kTries] = unit.rounded_up(largest / kMaxLevel);
  min_units[kTries] = unit.rounded_up(largest_min / kMaxLevel);
  for (size_t k = 0; k < kTries; ++k) {
    units[k] = unit.rounded(largest / kMaxLevel * stretch[k]);
    min_units[k] = unit.rounded(largest_min / kMaxLevel * stretch[k]);
  }
  MinChoice best;
  float best_gain = 0;
  for (const float d : units) {
    for (const float dmin : min_units) {
      MinChoice choice{.d = d, .dmin = dmin};
      const float gain = gain_of_units(sums, scales, choice);
      if (gain > best_gain) {
        best_gain = gain;
        best = choice;
      }
    }
  }
  return best;
}

// The exact error of every lane at the integers given, codes nearest.
template <int kMaxCode>
void exact_errors(const MinBlocks& b, float unit, float unit_min, const MinFloats& level, const MinFloats& min,
                  MinFloats& error) {
  const MinTag d;
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec s = hn::Mul(hn::Set(d, unit), hn::Load(d, level.lane + first));
    const MinVec m = hn::Mul(hn::Set(d, unit_min), hn::Load(d, min.lane + first));
    const MinVec inverse = inverse_or_zero(d, s);
    MinVec sum = hn::Zero(d);
    for (size_t e = 0; e < MinBlocks::kElems; ++e) {
      const MinVec raised = hn::Add(hn::Load(d, b.x[e] + first), m);
      const MinVec q = UniformCodes<0, kMaxCode>::nearest(d, hn::Mul(raised, inverse));
      const MinVec off = hn::Sub(raised, hn::Mul(s, q));
      sum = hn::Add(sum, hn::Mul(hn::Load(d, b.w[e] + first), hn::Mul(off, off)));
    }
    hn::Store(sum, d, &error[first]);
  }
}

template <int kMaxCode>
void score(const MinBlocks& b, MinChoice& choice) {
  exact_errors<kMaxCode>(b, choice.d, choice.dmin, choice.level, choice.min, choice.error);
  choice.total = 0;
  for (const float e : choice.error.lane) choice.total += e;
}

// Step 3, integers: every lane may move its level and its min by one.
template <int kMaxCode>
void refine_levels(const MinBlocks& b, MinChoice& choice) {
  const MinChoice start = choice;
  MinFloats level, min, error;
  for (int step = -1; step <= 1; ++step) {
    for (int min_step = -1; min_step <= 1; ++min_step) {
      if (step == 0 && min_step == 0) continue;
      for (size_t l = 0; l < kMinLanes; ++l) {
        level[l] = clamp_level<0, 63>(start.level[l] + static_cast<float>(step));
        min[l] = clamp_level<0, 63>(start.min[l] + static_cast<float>(min_step));
      }
      exact_errors<kMaxCode>(b, choice.d, choice.dmin, level, min, error);
      for (size_t l = 0; l < kMinLanes; ++l) {
        if (!(error[l] < choice.error[l])) continue;
        choice.error[l] = error[l];
        choice.level[l] = level[l];
        choice.min[l] = min[l];
      }
    }
  }
  choice.total = 0;
  for (const float e : choice.error.lane) choice.total += e;
}

// The sums of the codes that are nearest at the choice's scales.
template <int kMaxCode>
void sums_of_choice(const MinBlocks& b, const MinChoice& choice, CodeSums& sums) {
  const MinTag d;
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec s = hn::Mul(hn::Set(d, choice.d), hn::Load(d, choice.level.lane + first));
    const MinVec m = hn::Mul(hn::Set(d, choice.dmin), hn::Load(d, choice.min.lane + first));
    MinVec scale, min, gain, q1, qq, xq;
    fit_codes<kMaxCode>(b, first, inverse_or_zero(d, s), hn::Neg(m), hn::Load(d, sums.w.lane + first),
                        hn::Load(d, sums.x.lane + first), scale, min, gain, q1, qq, xq);
    hn::Store(q1, d, &sums.q[first]);
    hn::Store(qq, d, &sums.qq[first]);
    hn::Store(xq, d, &sums.xq[first]);
  }
}

// Step 3, d and dmin: least squares over all lanes with codes and integers fixed.
template <int kMaxCode>
void refit_units(const MinBlocks& b, const BlockUnit& unit, CodeSums& sums, MinChoice& choice) {
  sums_of_choice<kMaxCode>(b, choice, sums);
  // Normal equations of  sum over lanes of w (x - d s q + dmin m)^2:  d a - dmin c = p,  -d c + dmin e = -r.
  float a = 0, c = 0, e = 0, p = 0, r = 0;
  for (size_t l = 0; l < kMinLanes; ++l) {
    const float s = choice.level[l], m = choice.min[l];
    a += s * s * sums.qq[l];
    c += s * m * sums.q[l];
    e += m * m * sums.w[l];
    p += s * sums.xq[l];
    r += m * sums.x[l];
  }
  const float det = a * e - c * c;
  MinChoice tried = choice;
  if (det > 0) {
    tried.d = unit.rounded((p * e - c * r) / det);
    tried.dmin = unit.rounded((c * p - a * r) / det);
  } else if (a > 0) {
    tried.d = unit.rounded(p / a);
  }
  if (!(tried.d >= 0 && tried.dmin >= 0)) return;
  score<kMaxCode>(b, tried);
  if (tried.total < choice.total) choice = tried;
}

template <int kMaxCode, size_t kSpreads, size_t kTries>
MinChoice search_mins(const MinBlocks& b, const BlockUnit& unit, const float (&spread)[kSpreads],
                      const float (&stretch)[kTries]) {
  MinFloats scales, mins;
  CodeSums sums;
  find_scales_and_mins<kMaxCode>(b, spread, scales, mins, sums);
  MinChoice choice = choose_units(sums, unit, scales, mins, stretch);
  score<kMaxCode>(b, choice);
  for (int round = 0; round < 2; ++round) {
    refine_levels<kMaxCode>(b, choice);
    refit_units<kMaxCode>(b, unit, sums, choice);
  }
  return choice;
}

// codes[l * 32 + e] of the choice, 0 .. kMaxCode.
template <int kMaxCode>
void write_min_codes(const MinBlocks& b, const MinChoice& choice, uint8_t* codes) {
  const MinTag d;
  const hn::RebindToSigned<MinTag> i32;
  HWY_ALIGN int32_t index[kMinLanes];
  for (size_t e = 0; e < MinBlocks::kElems; ++e) {
    for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
      const MinVec s = hn::Mul(hn::Set(d, choice.d), hn::Load(d, choice.level.lane + first));
      const MinVec m = hn::Mul(hn::Set(d, choice.dmin), hn::Load(d, choice.min.lane + first));
      const MinVec raised = hn::Add(hn::Load(d, b.x[e] + first), m);
      const MinVec q = UniformCodes<0, kMaxCode>::nearest(d, hn::Mul(raised, inverse_or_zero(d, s)));
      hn::Store(hn::ConvertTo(i32, q), i32, index + first);
    }
    for (size_t l = 0; l < kMinLanes; ++l) codes[l * MinBlocks::kElems + e] = static_cast<uint8_t>(index[l]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
