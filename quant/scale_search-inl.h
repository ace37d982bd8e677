// What searches of types with value = scale * code share: blocks or sub-blocks side by side in lanes, the sums that score a
// scale, and the scan for the scales that a lane wants. Compiled once per SIMD target.
//
// For a scale s and the codes q nearest to x / s, the weighted error is sum(w x^2) - gain,  gain = s * (2 sum(w x q) - s sum(w q
// q)), and the scale that is best for fixed codes is sum(w x q) / sum(w q q), of gain sum(w x q)^2 / sum(w q q). Scales of both
// signs are tried, since most code ranges are not symmetric (-4 .. 3). `Codes` says what the codes are:
//   nearest(d, v)      the code value nearest to v
//   index(d, v)        the integer that stands for it in the block
//   kAims[2]           where the value of largest magnitude may land in a scan of equal weights: once at the end of the negative
//                      codes, once at that of the positive ones
//   kWeightedAims[2]   the same where weights differ: a large value of little importance may lie far outside
//   kLattice           codes that one step of the source's lattice may become, one for either set (see CodeSets)
#if defined(GGUFMILL_QUANT_SCALE_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_SCALE_SEARCH_INL
#undef GGUFMILL_QUANT_SCALE_SEARCH_INL
#else
#define GGUFMILL_QUANT_SCALE_SEARCH_INL
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "quant/finite_block-inl.h"
#include "quant/lanes-inl.h"
#include "quant/row_weights.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// kLanes blocks side by side, turned so that lane l of x[e] is element e of block l.
template <size_t kElems_, size_t kLanes_>
struct LaneBlocks {
  static constexpr size_t kElems = kElems_;
  static constexpr size_t kLanes = kLanes_;
  HWY_ALIGN float x[kElems][kLanes];
  HWY_ALIGN float w[kElems][kLanes];

  // All lanes at once: block l is values[l * kElems] and following.
  void set_all(const float* values, const float* weights) {
    turn(values, x);
    turn(weights, w);
  }

 private:
  static void turn(const float* rows, float (*turned)[kLanes]) {
    static_assert(kElems % 4 == 0 && kLanes % 4 == 0);
#if HWY_TARGET == HWY_SCALAR
    for (size_t l = 0; l < kLanes; ++l) {
      for (size_t e = 0; e < kElems; ++e) turned[e][l] = rows[l * kElems + e];
    }
#else
    for (size_t l = 0; l < kLanes; l += 4) {
      for (size_t e = 0; e < kElems; e += 4) turn_tile(rows + l * kElems + e, turned + e, l);
    }
#endif
  }

#if HWY_TARGET != HWY_SCALAR
  // 4 elements of 4 blocks.
  static HWY_INLINE void turn_tile(const float* tile, float (*turned)[kLanes], size_t lane) {
    const hn::FixedTag<float, 4> d;
    const auto a = hn::LoadU(d, tile), b = hn::LoadU(d, tile + kElems);
    const auto c = hn::LoadU(d, tile + 2 * kElems), f = hn::LoadU(d, tile + 3 * kElems);
    const auto ab = hn::InterleaveLower(d, a, b), cf = hn::InterleaveLower(d, c, f);
    const auto ab_upper = hn::InterleaveUpper(d, a, b), cf_upper = hn::InterleaveUpper(d, c, f);
    hn::Store(hn::ConcatLowerLower(d, cf, ab), d, turned[0] + lane);
    hn::Store(hn::ConcatUpperUpper(d, cf, ab), d, turned[1] + lane);
    hn::Store(hn::ConcatLowerLower(d, cf_upper, ab_upper), d, turned[2] + lane);
    hn::Store(hn::ConcatUpperUpper(d, cf_upper, ab_upper), d, turned[3] + lane);
  }
#endif
};

// Nearest integer, ties to even, of |v| < 2^22: there 1.5 * 2^23 leaves no room for a fraction. Cheaper than a rounding
// instruction.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V rounded_small(D d, V v) {
  const V shift = hn::Set(d, 0x1.8p23f);
  return hn::Sub(hn::Add(v, shift), shift);
}

// sum(w x q) and sum(w q q) of the lanes that start at `first`, for the codes nearest to x * inverse[k]; several inverses at
// once.
template <class Codes, size_t kCount, class Blocks, class D, class V = hn::Vec<D>>
HWY_INLINE void code_sums(const Blocks& b, size_t first, D d, const V (&inverse)[kCount], V (&xq)[kCount], V (&qq)[kCount]) {
  for (size_t k = 0; k < kCount; ++k) xq[k] = qq[k] = hn::Zero(d);
  for (size_t e = 0; e < Blocks::kElems; ++e) {
    const V x = hn::Load(d, b.x[e] + first);
    const V w = hn::Load(d, b.w[e] + first);
    for (size_t k = 0; k < kCount; ++k) {
      const V q = Codes::nearest(d, hn::Mul(x, inverse[k]));
      const V wq = hn::Mul(w, q);
      xq[k] = hn::Add(xq[k], hn::Mul(wq, x));
      qq[k] = hn::Add(qq[k], hn::Mul(wq, q));
    }
  }
}

// What fixed codes of sums xq, qq gain at a scale.
template <class V>
HWY_INLINE V gain_at(V scale, V xq, V qq) {
  return hn::Mul(scale, hn::Sub(hn::Add(xq, xq), hn::Mul(scale, qq)));
}

struct Span {
  float from, to;
  // The k-th of `count` values spread evenly, each in the middle of its part.
  float at(int k, int count) const { return from + (to - from) * (static_cast<float>(k) + 0.5f) / static_cast<float>(count); }
};

// Per lane two sets of codes, known by their sums: set 0 has the largest value at the end of the negative codes, set 1 at that of
// the positive ones, so that one of them has a positive scale and the other a negative one.
template <size_t kLanes>
struct CodeSets {
  LaneFloats<kLanes> xq[2], qq[2];
};

// The lattice of the source under each lane: one step or two, in the search's unit; 0 where there is none.
template <size_t kLanes>
struct LaneSteps {
  size_t count = 0;
  LaneFloats<kLanes> step[2] = {};

  // Lane l holds columns [column, column + elems).
  void set_lane(const SourceLattice& lattice, size_t l, size_t column, size_t elems, const BlockUnit& unit) {
    if (lattice.group_elems == 0) return;
    const size_t groups[2] = {column / lattice.group_elems, (column + elems - 1) / lattice.group_elems};
    count = std::max<size_t>(count, groups[0] == groups[1] ? 1 : 2);
    for (size_t k = 0; k < 2; ++k) step[k][l] = groups[k] < lattice.steps.size() ? lattice.steps[groups[k]] * unit.down : 0.0f;
  }
};

// Step by step through the aims of both sets.
struct Scan {
  Span aims[2];
  int tries;

  template <class Codes, class Tuning>
  static Scan of(const Tuning& tuning, const RowWeights& weights) {
    if (weights.flat()) return {.aims = {Codes::kAims[0], Codes::kAims[1]}, .tries = tuning.flat_tries};
    return {.aims = {Codes::kWeightedAims[0], Codes::kWeightedAims[1]}, .tries = tuning.tries};
  }
};

// Keeps the better of two sets of codes; `favour` above 1 lets the new one win ties.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void keep_better(D d, V xq, V qq, float favour, V& best_xq, V& best_qq) {
  const auto better =
      hn::Gt(hn::Mul(hn::Mul(hn::Mul(xq, xq), hn::Set(d, favour)), best_qq), hn::Mul(hn::Mul(best_xq, best_xq), qq));
  best_xq = hn::IfThenElse(better, xq, best_xq);
  best_qq = hn::IfThenElse(better, qq, best_qq);
}

// The best two sets of codes per lane, without regard to how the scale will be stored.
template <class Codes, class Blocks>
void scan_scales(const Blocks& b, const LaneSteps<Blocks::kLanes>& lattice, const Scan& scan, CodeSets<Blocks::kLanes>& sets) {
  const hn::CappedTag<float, Blocks::kLanes> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t first = 0; first < Blocks::kLanes; first += hn::Lanes(d)) {
    V extreme = hn::Zero(d);
    for (size_t e = 0; e < Blocks::kElems; ++e) {
      const V x = hn::Load(d, b.x[e] + first);
      extreme = hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Abs(extreme)), x, extreme);
    }
    const V unit = inverse_or_zero(d, extreme);
    V best_xq[2] = {hn::Zero(d), hn::Zero(d)}, best_qq[2] = {hn::Set(d, 1.0f), hn::Set(d, 1.0f)};
    V xq[2], qq[2];
    for (int k = 0; k < scan.tries; ++k) {
      const V inverse[2] = {hn::Mul(hn::Set(d, scan.aims[0].at(k, scan.tries)), unit),
                            hn::Mul(hn::Set(d, scan.aims[1].at(k, scan.tries)), unit)};
      code_sums<Codes>(b, first, d, inverse, xq, qq);
      for (size_t set = 0; set < 2; ++set) keep_better(d, xq[set], qq[set], 1.0f, best_xq[set], best_qq[set]);
    }
    for (size_t s = 0; s < lattice.count; ++s) {
      const V per_step = inverse_or_zero(d, hn::Load(d, lattice.step[s].lane + first));
      for (const auto& multiple : Codes::kLattice) {
        const V inverse[2] = {hn::Mul(hn::Set(d, multiple[0]), per_step), hn::Mul(hn::Set(d, multiple[1]), per_step)};
        code_sums<Codes>(b, first, d, inverse, xq, qq);
        for (size_t set = 0; set < 2; ++set) keep_better(d, xq[set], qq[set], 1.00001f, best_xq[set], best_qq[set]);
      }
    }
    for (size_t set = 0; set < 2; ++set) {
      hn::Store(best_xq[set], d, &sets.xq[set][first]);
      hn::Store(best_qq[set], d, &sets.qq[set][first]);
    }
  }
}

// BlockUnit::rounded for lanes of scales.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V rounded_scale(D d, V scale, V up, V down) {
  const V rounded = hn::Max(f16_magnitude(d, hn::Mul(scale, up)), hn::Set(d, kF16Tiny));
  const V kept = hn::IfThenElse(hn::Eq(scale, hn::Zero(d)), hn::Zero(d), rounded);
  return hn::CopySign(hn::Mul(kept, down), scale);
}

// Indices of the codes nearest to values[i] * inverse, in order.
template <class Codes, size_t kElems>
HWY_INLINE void write_codes(const float* values, float inverse, uint8_t* codes) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<uint8_t, decltype(d)> u8;
  for (size_t e = 0; e < kElems; e += hn::Lanes(d)) {
    const auto index = Codes::index(d, hn::Mul(hn::LoadU(d, values + e), hn::Set(d, inverse)));
    hn::StoreU(hn::DemoteTo(u8, index), u8, codes + e);
  }
}

// Bytes from whole vectors of codes: out[m] = at(vector tag, m) for m = 0 .. kCount - 1.
template <size_t kCount, class At>
HWY_INLINE void write_bytes(std::byte* out, At at) {
  const hn::CappedTag<uint8_t, 16> u8;
  for (size_t m = 0; m < kCount; m += hn::Lanes(u8)) hn::StoreU(at(u8, m), u8, reinterpret_cast<uint8_t*>(out) + m);
}

// 4-bit codes in pairs: byte m holds low[m] in its low nibble and high[m] in its high one.
template <size_t kCount>
HWY_INLINE void write_nibbles(const uint8_t* low, const uint8_t* high, std::byte* out) {
  write_bytes<kCount>(out, [&](auto u8, size_t m) HWY_ATTR {
    const auto nibble = hn::Set(u8, 15);
    return hn::Or(hn::And(hn::LoadU(u8, low + m), nibble), hn::ShiftLeft<4>(hn::And(hn::LoadU(u8, high + m), nibble)));
  });
}

inline float scalar_inverse_or_zero(float scale) { return std::fabs(scale) > kSmallestScale ? 1.0f / scale : 0.0f; }

// Codes kMin .. kMax in steps of 1, stored as code - kMin.
template <int kMin, int kMax>
struct UniformCodes {
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V nearest(D d, V v) {
    return rounded_small(d, hn::Min(hn::Max(v, hn::Set(d, static_cast<float>(kMin))), hn::Set(d, static_cast<float>(kMax))));
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::RebindToSigned<D>> index(D d, V v) {
    const hn::RebindToSigned<D> i32;
    return hn::Sub(hn::ConvertTo(i32, nearest(d, v)), hn::Set(i32, kMin));
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
