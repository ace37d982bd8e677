// The search behind types whose values are scale * code - min: Q2_K, Q4_K and Q5_K, where both are a small integer per sub-block
// times an f16 of the super-block (x = d*s*q - dmin*m), and Q4_1 and Q5_1, where both are f16 of the block. Compiled once per
// SIMD target; a lane is one of 16 sub-blocks, of as many super-blocks as have 16 together. Lanes of different super-blocks never
// meet.
//
// 1. fit_lanes, per lane: real-valued (scale, min) by least squares, for codes that several first scales suggest.
// 2. choose_units, per super-block: d and dmin together, over a grid of both. With the codes of step 1 fixed, the error is a
//    quadratic form in (scale, min) whose coefficients are five sums per lane, so that a try costs no pass over the values.
// 3. scan_levels, per lane: integers around those wanted, each pair scored with its own nearest codes; then d and dmin by least
//    squares (refit_units); repeated.
// Every later step is kept only where the exact error, at the scales the block will hold, falls.
// Type: kElems of a sub-block, kSubs of a super-block, kMaxCode, kMaxLevel; kFreeMin where mins may be negative.
#if defined(GGUFMILL_QUANT_MIN_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_MIN_SEARCH_INL
#undef GGUFMILL_QUANT_MIN_SEARCH_INL
#else
#define GGUFMILL_QUANT_MIN_SEARCH_INL
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "quant/finite_block.h"
#include "quant/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kMinLanes = 16;
using MinTag = hn::CappedTag<float, kMinLanes>;
using MinVec = hn::Vec<MinTag>;

using MinFloats = LaneFloats<kMinLanes>;

// 16 sub-blocks, turned so that lane l of x[e] is element e of sub-block l. `step` is of the lattice under it, 0 where unknown.
template <size_t kElems>
struct MinBlocks {
  HWY_ALIGN float x[kElems][kMinLanes];
  HWY_ALIGN float w[kElems][kMinLanes];
  MinFloats step = {};

  void set_lane(size_t lane, const float* values, const float* weights) {
    for (size_t e = 0; e < kElems; ++e) {
      x[e][lane] = values[e];
      w[e][lane] = weights[e];
    }
  }
  void set_zero(size_t lane) {
    for (size_t e = 0; e < kElems; ++e) {
      x[e][lane] = 0;
      w[e][lane] = 1;
    }
    step[lane] = 0;
  }
};

// Where codes start: the range of a lane's values takes `spread` codes, and the lowest value lies at `shift`.
struct MinStart {
  float spread, shift;
};

// Sums of a lane for one choice of codes.
struct CodeSums {
  MinFloats q, qq, xq;  // sum(w q), sum(w q q), sum(w x q)
  MinFloats w, x;       // sum(w), sum(w x): the same for all codes
};

// What every lane holds: scale = d * level, min = dmin * min_level; d and dmin are those of its super-block.
struct MinChoice {
  MinFloats d = {}, dmin = {}, level = {}, min = {};
  MinFloats error = {};
};

// The integer nearest to v in 0 .. most (below 2^22).
HWY_INLINE MinVec nearest_in(MinVec v, MinVec most) {
  const MinTag d;
  const MinVec whole = hn::Set(d, 0x1.8p23f);
  return hn::Sub(hn::Add(hn::Min(hn::Max(v, hn::Zero(d)), most), whole), whole);
}

// The sums of one lane vector, and the (scale, min) that is best for its codes, with its gain: how far the error is below
// sum(w x x).
struct LaneFit {
  MinVec scale, min, gain, q, qq, xq;
};

// For codes nearest to (x - base) * inverse.
template <class Type, class Blocks>
HWY_INLINE LaneFit fit_codes(const Blocks& b, size_t first, MinVec inverse, MinVec base, MinVec sum_w, MinVec sum_x) {
  constexpr float kSmallestSpread = 0x1p-13f;  // of the codes' weighted variance over their mean square
  const MinTag d;
  const MinVec zero = hn::Zero(d), most = hn::Set(d, static_cast<float>(Type::kMaxCode));
  const MinVec shift = hn::Mul(base, inverse);
  MinVec q1 = zero, qq = zero, xq = zero;
  for (size_t e = 0; e < Type::kElems; ++e) {
    const MinVec x = hn::Load(d, b.x[e] + first);
    const MinVec q = nearest_in(hn::Sub(hn::Mul(x, inverse), shift), most);
    const MinVec wq = hn::Mul(hn::Load(d, b.w[e] + first), q);
    q1 = hn::Add(q1, wq);
    qq = hn::Add(qq, hn::Mul(wq, q));
    xq = hn::Add(xq, hn::Mul(wq, x));
  }
  // Where almost all weight lies on one code, the determinant is what rounding left of it: no line through one point.
  const MinVec squares = hn::Mul(sum_w, qq);
  const MinVec det = hn::Sub(squares, hn::Mul(q1, q1));
  const auto one_code = hn::Le(det, hn::Mul(squares, hn::Set(d, kSmallestSpread)));
  const MinVec over_det = inverse_or_zero(MinTag(), det);
  const MinVec free_scale = hn::Mul(hn::Sub(hn::Mul(sum_w, xq), hn::Mul(sum_x, q1)), over_det);
  const MinVec free_min = hn::Mul(hn::Sub(hn::Mul(q1, xq), hn::Mul(qq, sum_x)), over_det);
  auto bound = hn::Le(free_scale, zero);
  if (!Type::kFreeMin) bound = hn::Or(bound, hn::Le(free_min, zero));  // min = 0 is then the best that can be stored
  MinVec scale = hn::IfThenElse(bound, hn::Mul(xq, inverse_or_zero(MinTag(), qq)), free_scale);
  scale = hn::IfThenElse(one_code, inverse_or_zero(MinTag(), inverse), hn::Max(scale, zero));
  MinVec mean_min = hn::Mul(hn::Sub(hn::Mul(scale, q1), sum_x), inverse_or_zero(MinTag(), sum_w));
  if (!Type::kFreeMin) mean_min = hn::Max(mean_min, zero);
  const MinVec min = hn::IfThenElse(one_code, mean_min, hn::IfThenElse(bound, zero, free_min));
  // sum(w x x) - sum(w (x - s q + m)^2) = s (2 xq - s qq + 2 m q1) - m (2 sum_x + m sum_w)
  const MinVec by_scale = hn::Add(hn::Sub(hn::Add(xq, xq), hn::Mul(scale, qq)), hn::Mul(hn::Add(min, min), q1));
  const MinVec by_min = hn::Add(hn::Add(sum_x, sum_x), hn::Mul(min, sum_w));
  return {scale, min, hn::Sub(hn::Mul(scale, by_scale), hn::Mul(min, by_min)), q1, qq, xq};
}

HWY_INLINE void keep_better(const LaneFit& fit, LaneFit& best) {
  const auto better = hn::Gt(fit.gain, best.gain);
  best.gain = hn::IfThenElse(better, fit.gain, best.gain);
  best.scale = hn::IfThenElse(better, fit.scale, best.scale);
  best.min = hn::IfThenElse(better, fit.min, best.min);
  best.q = hn::IfThenElse(better, fit.q, best.q);
  best.qq = hn::IfThenElse(better, fit.qq, best.qq);
  best.xq = hn::IfThenElse(better, fit.xq, best.xq);
}

// Step 1, from every start, from whole multiples of the lattice's step, and once more from the best.
template <class Type, size_t kStarts, class Blocks>
void fit_lanes(const Blocks& b, const MinStart (&starts)[kStarts], bool with_lattice, MinFloats& scales, MinFloats& mins,
               CodeSums& sums) {
  const MinTag d;
  const MinVec zero = hn::Zero(d), codes = hn::Set(d, static_cast<float>(Type::kMaxCode));
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec x0 = hn::Load(d, b.x[0] + first);
    MinVec low = Type::kFreeMin ? x0 : zero, high = x0, sum_w = zero, sum_x = zero;
    for (size_t e = 0; e < Type::kElems; ++e) {
      const MinVec x = hn::Load(d, b.x[e] + first), w = hn::Load(d, b.w[e] + first);
      low = hn::Min(low, x);
      high = hn::Max(high, x);
      sum_w = hn::Add(sum_w, w);
      sum_x = hn::Add(sum_x, hn::Mul(w, x));
    }
    const MinVec range = hn::Sub(high, low), over_range = inverse_or_zero(MinTag(), range);
    LaneFit best = {zero, hn::Neg(low), zero, zero, zero, zero};
    for (const MinStart& start : starts) {
      const MinVec inverse = hn::Mul(over_range, hn::Set(d, start.spread));
      const MinVec base = hn::Sub(low, hn::Mul(range, hn::Set(d, start.shift / start.spread)));
      keep_better(fit_codes<Type>(b, first, inverse, base, sum_w, sum_x), best);
    }
    if (with_lattice) {
      const MinVec step = hn::Load(d, b.step.lane + first);
      const MinVec fewest = hn::Max(hn::Ceil(hn::Div(hn::Mul(range, inverse_or_zero(MinTag(), step)), codes)), hn::Set(d, 1.0f));
      for (const float more : {0.0f, 1.0f}) {
        const MinVec inverse = inverse_or_zero(MinTag(), hn::Mul(step, hn::Add(fewest, hn::Set(d, more))));
        keep_better(fit_codes<Type>(b, first, inverse, low, sum_w, sum_x), best);
      }
    }
    keep_better(fit_codes<Type>(b, first, inverse_or_zero(MinTag(), best.scale), hn::Neg(best.min), sum_w, sum_x), best);
    hn::Store(best.scale, d, &scales[first]);
    hn::Store(best.min, d, &mins[first]);
    hn::Store(best.q, d, &sums.q[first]);
    hn::Store(best.qq, d, &sums.qq[first]);
    hn::Store(best.xq, d, &sums.xq[first]);
    hn::Store(sum_w, d, &sums.w[first]);
    hn::Store(sum_x, d, &sums.x[first]);
  }
}

// The exact errors at `scale` and each of kMins mins, codes nearest.
template <class Type, size_t kMins, class Blocks>
HWY_INLINE void exact_errors(const Blocks& b, size_t first, MinVec scale, const MinVec (&mins)[kMins], MinVec (&error)[kMins]) {
  const MinTag d;
  const auto usable = hn::Gt(scale, hn::Set(d, 1e-35f));
  const MinVec one = hn::Set(d, 1.0f), zero = hn::Zero(d);
  const MinVec unit = hn::IfThenElse(usable, scale, one), inverse = hn::Div(one, unit);
  const MinVec most = hn::IfThenElseZero(usable, hn::Set(d, static_cast<float>(Type::kMaxCode)));
  MinVec shift[kMins], sum[kMins];
  for (size_t k = 0; k < kMins; ++k) {
    shift[k] = hn::Mul(mins[k], inverse);
    sum[k] = zero;
  }
  for (size_t e = 0; e < Type::kElems; ++e) {
    const MinVec x = hn::Mul(hn::Load(d, b.x[e] + first), inverse), w = hn::Load(d, b.w[e] + first);
    for (size_t k = 0; k < kMins; ++k) {
      const MinVec wanted = hn::Add(x, shift[k]);
      const MinVec off = hn::Sub(wanted, nearest_in(wanted, most));
      sum[k] = hn::Add(sum[k], hn::Mul(w, hn::Mul(off, off)));
    }
  }
  for (size_t k = 0; k < kMins; ++k) error[k] = hn::Mul(hn::Mul(sum[k], unit), unit);
}

// codes[l * kElems + e] for scale and min of every lane.
template <class Type, class Blocks>
void write_min_codes(const Blocks& b, const MinFloats& scale, const MinFloats& min, uint8_t* codes) {
  const MinTag d;
  const hn::RebindToSigned<MinTag> i32;
  HWY_ALIGN int32_t index[kMinLanes];
  const MinVec most = hn::Set(d, static_cast<float>(Type::kMaxCode));
  for (size_t e = 0; e < Type::kElems; ++e) {
    for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
      const MinVec inverse = inverse_or_zero(MinTag(), hn::Load(d, scale.lane + first));
      const MinVec shift = hn::Mul(hn::Load(d, min.lane + first), inverse);
      const MinVec q = nearest_in(hn::Add(hn::Mul(hn::Load(d, b.x[e] + first), inverse), shift), most);
      hn::Store(hn::ConvertTo(i32, q), i32, index + first);
    }
    for (size_t l = 0; l < kMinLanes; ++l) codes[l * Type::kElems + e] = static_cast<uint8_t>(index[l]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
