// The search behind types with one scale for a few values and little else to choose: Q8_0, MXFP4, NVFP4 and the types of one or
// two bits. Compiled once per SIMD target; a lane is a candidate for the scale, so a block needs no neighbours.
//
// The scale is one of the numbers that the block can hold, so an exact answer is the smallest error among enough of them. Beside
// those around the largest value it pays to try many more: which of two close scales meets the important values is luck.
// `Codes::nearest(d, v)` is the code value nearest to v.
#if defined(GGUFMILL_QUANT_CANDIDATE_SCALES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_CANDIDATE_SCALES_INL
#undef GGUFMILL_QUANT_CANDIDATE_SCALES_INL
#else
#define GGUFMILL_QUANT_CANDIDATE_SCALES_INL
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// kTries scales (a power of two) and what each costs.
template <size_t kTries>
struct Candidates {
  HWY_ALIGN float scale[kTries];
  HWY_ALIGN float error[kTries];
};

// For values of at most 2. Scales below kTooSmall stand far below every value (the block saturates): of those the largest is
// best.
inline constexpr float kTooLarge = 1e15f, kTooSmall = 1e-15f;

// error = sum(w (x - scale * nearest code)^2); infinite where the scale is not above zero or far above the values. Every fourth
// value adds to the same sum, so that additions need not wait for each other.
template <class Codes, size_t kElems, size_t kTries>
HWY_INLINE void score_candidates(const float* x, const float* w, Candidates<kTries>& tried) {
  constexpr size_t kSums = 4;
  const hn::CappedTag<float, kTries> d;
  using V = hn::Vec<decltype(d)>;
  const V one = hn::Set(d, 1.0f), zero = hn::Zero(d), never = hn::Set(d, std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < kTries; i += hn::Lanes(d)) {
    const V scale = hn::Load(d, tried.scale + i);
    const auto usable = hn::And(hn::Gt(scale, zero), hn::Lt(scale, hn::Set(d, kTooLarge)));
    const V inverse = hn::Div(one, hn::IfThenElse(usable, scale, one));
    V sum[kSums] = {zero, zero, zero, zero};
    for (size_t e = 0; e < kElems; e += kSums) {
      for (size_t k = 0; k < kSums; ++k) {
        const V wanted = hn::Mul(hn::Set(d, x[e + k]), inverse);
        const V off = hn::Sub(wanted, Codes::nearest(d, wanted));
        sum[k] = hn::Add(sum[k], hn::Mul(hn::Set(d, w[e + k]), hn::Mul(off, off)));
      }
    }
    const V all = hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
    const V error = hn::IfThenElse(hn::Lt(scale, hn::Set(d, kTooSmall)), inverse, hn::Mul(hn::Mul(all, scale), scale));
    hn::Store(hn::IfThenElse(usable, error, never), d, tried.error + i);
  }
}

// The first of the candidates with the smallest error.
template <size_t kTries>
HWY_INLINE size_t best_candidate(const Candidates<kTries>& tried) {
  const hn::CappedTag<float, kTries> d;
  constexpr size_t kLanes = hn::MaxLanes(d);
  auto least = hn::Load(d, tried.error);
  for (size_t i = kLanes; i < kTries; i += kLanes) least = hn::Min(least, hn::Load(d, tried.error + i));
  const auto all = hn::MinOfLanes(d, least);
  for (size_t i = 0; i < kTries; i += kLanes) {
    const intptr_t at = hn::FindFirstTrue(d, hn::Eq(hn::Load(d, tried.error + i), all));
    if (at >= 0) return i + static_cast<size_t>(at);
  }
  return 0;
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
