// Two super-blocks of IQ3 side by side, turned so that a lane is a sub-block of 32 values: the ground of iq3_points-inl.h and
// iq3_search-inl.h. Lanes 0 .. 7 are the first super-block. Compiled once per SIMD target.
#if defined(GGUFMILL_QUANT_IQ3_LANES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_IQ3_LANES_INL
#undef GGUFMILL_QUANT_IQ3_LANES_INL
#else
#define GGUFMILL_QUANT_IQ3_LANES_INL
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "quant/finite_block-inl.h"
#include "quant/iq3_grids.h"
#include "quant/lanes-inl.h"
#include "quant/row_weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kIq3Lanes = 16;
using Iq3Tag = hn::CappedTag<float, kIq3Lanes>;
using Iq3IntTag = hn::RebindToSigned<Iq3Tag>;
using Iq3Vec = hn::Vec<Iq3Tag>;

using Iq3Floats = LaneFloats<kIq3Lanes>;

struct Iq3Pair {
  HWY_ALIGN float x[32][kIq3Lanes];  // magnitudes
  HWY_ALIGN float w[32][kIq3Lanes];
  HWY_ALIGN int32_t minus[kIq3Lanes];  // bit e: value e is negative
  BlockUnit unit[2];

  // `super_blocks` (1 or 2) of the row from column `first` on.
  void load(const float* row, const RowWeights& weights, size_t first, size_t super_blocks);
};

// Added to a number below 2^22 in magnitude, it leaves the nearest integer in the low bits; taken away again, that integer as a
// float. Conversions would check for numbers out of range.
inline constexpr float kIq3Rounder = 12582912.0f;  // 1.5 * 2^23

// The level of the cell around `place`, which is -0.5 .. 7.5 inside the grid: level + kIq3Rounder.
template <class Grid>
HWY_INLINE Iq3Vec rounded_level(Iq3Vec place) {
  const Iq3Tag d;
  Iq3Vec inside = hn::Min(place, hn::Set(d, 7.0f));
  if constexpr (Grid::kEvenParity) inside = hn::Max(inside, hn::Zero(d));  // else above -0.5, which is 0
  return hn::Add(inside, hn::Set(d, kIq3Rounder));
}

// Four levels as one number, from what rounded_level made of them.
HWY_INLINE hn::Vec<Iq3IntTag> cell_of(Iq3Vec l0, Iq3Vec l1, Iq3Vec l2, Iq3Vec l3) {
  const Iq3IntTag i32;
  const auto low = hn::Or(hn::BitCast(i32, l0), hn::ShiftLeft<3>(hn::BitCast(i32, l1)));
  const auto high = hn::Or(hn::BitCast(i32, l2), hn::ShiftLeft<3>(hn::BitCast(i32, l3)));
  return hn::And(hn::Or(low, hn::ShiftLeft<6>(high)), hn::Set(i32, 4095));
}

#if HWY_TARGET == HWY_SCALAR
// turned[e][lane] = values[32 * lane + e].
HWY_INLINE void turn_sub_blocks(const float* values, float (*turned)[kIq3Lanes]) {
  for (size_t e = 0; e < 32; ++e) {
    for (size_t lane = 0; lane < kIq3Lanes; ++lane) turned[e][lane] = values[32 * lane + e];
  }
}
#else
// The same, four by four.
HWY_INLINE void turn_sub_blocks(const float* values, float (*turned)[kIq3Lanes]) {
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<uint64_t, 2> pair;
  const auto join = [&](auto low, auto high, auto combine) {
    return hn::BitCast(d, combine(pair, hn::BitCast(pair, high), hn::BitCast(pair, low)));
  };
  const auto lower = [](auto tag, auto high, auto low) { return hn::ConcatLowerLower(tag, high, low); };
  const auto upper = [](auto tag, auto high, auto low) { return hn::ConcatUpperUpper(tag, high, low); };
  for (size_t lane = 0; lane < kIq3Lanes; lane += 4) {
    for (size_t e = 0; e < 32; e += 4) {
      const float* from = values + 32 * lane + e;
      const auto a = hn::Load(d, from), b = hn::Load(d, from + 32), c = hn::Load(d, from + 64), f = hn::Load(d, from + 96);
      const auto ab0 = hn::InterleaveLower(d, a, b), ab1 = hn::InterleaveUpper(d, a, b);
      const auto cf0 = hn::InterleaveLower(d, c, f), cf1 = hn::InterleaveUpper(d, c, f);
      hn::Store(join(ab0, cf0, lower), d, turned[e] + lane);
      hn::Store(join(ab0, cf0, upper), d, turned[e + 1] + lane);
      hn::Store(join(ab1, cf1, lower), d, turned[e + 2] + lane);
      hn::Store(join(ab1, cf1, upper), d, turned[e + 3] + lane);
    }
  }
}
#endif

inline void Iq3Pair::load(const float* row, const RowWeights& weights, size_t first, size_t super_blocks) {
  HWY_ALIGN float values[512];
  HWY_ALIGN float value_weights[512];
  for (size_t s = 0; s < 2; ++s) {
    unit[s] = BlockUnit();
    if (s < super_blocks) unit[s] = load_finite_block<256>(row + first + 256 * s, values + 256 * s);
    if (unit[s].zero) {
      std::fill_n(values + 256 * s, 256, 0.0f);
      std::fill_n(value_weights + 256 * s, 256, 1.0f);
    } else {
      load_weights<256>(weights, first + 256 * s, values + 256 * s, value_weights + 256 * s);
    }
  }
  turn_sub_blocks(values, x);
  turn_sub_blocks(value_weights, w);
  const Iq3Tag d;
  const Iq3IntTag i32;
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    auto signs = hn::Zero(i32);
    for (size_t e = 0; e < 32; ++e) {
      const auto value = hn::Add(hn::Load(d, x[31 - e] + l), hn::Zero(d));  // no -0
      signs = hn::Add(signs, signs);
      signs = hn::Sub(signs, hn::BroadcastSignBit(hn::BitCast(i32, value)));
      hn::Store(hn::Abs(value), d, x[31 - e] + l);
    }
    hn::Store(signs, i32, minus + l);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
