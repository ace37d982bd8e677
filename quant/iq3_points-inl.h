// The best points of IQ3's codebooks for two super-blocks at given scales. Compiled once per SIMD target.
//
// A value t = x / scale lies in a cell of the grid of levels, r from its middle; a point whose magnitude lies o from the middle
// costs w (o - r)^2 = w o o - 2 w r o + a constant. Per group of four w and -2 w r are brought to 16 bits, and the offsets are
// small integers (at most 29 steps), so the costs of 16 points are a few integer dot products, the same on every target, and at
// most 4 * (29 * 29 + 29) * 32767 < 2^27. Cost and place among the 16 travel as one integer; the smallest is the answer.
//
// Where signs have even parity per 8 values (IQ3_XXS), an eight with an odd number of minus signs must have one of them wrong:
// the value that can best bear it is negated before its point is chosen.
#if defined(GGUFMILL_QUANT_IQ3_POINTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_IQ3_POINTS_INL
#undef GGUFMILL_QUANT_IQ3_POINTS_INL
#else
#define GGUFMILL_QUANT_IQ3_POINTS_INL
#endif

#include <algorithm>
#include <limits>

#include "quant/iq3_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

// What a pair of super-blocks holds besides scales, and the sums that score it.
struct Iq3Points {
  HWY_ALIGN int32_t point[8][kIq3Lanes];  // levels, as iq3_grids.h packs them, of every group of four
  HWY_ALIGN int32_t minus[kIq3Lanes];
  Iq3Floats xq, qq;  // sum(w x q), sum(w q q) per sub-block; q in steps of the grid
};

// 16 groups of four, one per sub-block: where they lie in their cells, and as 16-bit numbers what their offsets cost.
struct Iq3Cells {
  HWY_ALIGN int32_t cell[kIq3Lanes];
  HWY_ALIGN int32_t square[2][kIq3Lanes];  // w of elements 0 and 2, of 1 and 3: the first in the low half
  HWY_ALIGN int32_t linear[2][kIq3Lanes];  // -2 w r
};

// `t` are the four values of each lane in steps of the grid; negative where the sign will be the wrong one.
template <class Grid>
HWY_INLINE void find_cells(const Iq3Vec (&t)[4], const float (*w)[kIq3Lanes], size_t l, Iq3Cells& cells) {
  constexpr float kUnit = Grid::kUnit / Grid::kStep;
  const Iq3Tag d;
  const Iq3IntTag i32;
  const Iq3Vec rounder = hn::Set(d, kIq3Rounder);
  Iq3Vec level[4], twice_off[4], weight[4], most = hn::Zero(d);
  for (size_t e = 0; e < 4; ++e) {
    const Iq3Vec place = hn::Sub(hn::Mul(t[e], hn::Set(d, 0.5f / kUnit)), hn::Set(d, 0.5f));
    level[e] = rounded_level<Grid>(place);
    twice_off[e] = hn::Mul(hn::Sub(hn::Sub(level[e], rounder), place), hn::Set(d, 4 * kUnit));
    weight[e] = hn::Load(d, w[e] + l);
    most = hn::Max(most, hn::Mul(weight[e], hn::Max(hn::Abs(twice_off[e]), hn::Set(d, 1.0f))));
  }
  hn::Store(cell_of(level[0], level[1], level[2], level[3]), i32, cells.cell + l);
  const Iq3Vec to_16_bits = hn::Div(hn::Set(d, 32767.0f), most);
  for (size_t e = 0; e < 4; ++e) weight[e] = hn::Mul(weight[e], to_16_bits);
  const auto pair = [&](Iq3Vec first, Iq3Vec second) {
    const auto low = hn::And(hn::BitCast(i32, hn::Add(first, rounder)), hn::Set(i32, 0xFFFF));
    return hn::Or(low, hn::ShiftLeft<16>(hn::BitCast(i32, hn::Add(second, rounder))));
  };
  for (size_t e = 0; e < 2; ++e) {
    hn::Store(pair(weight[e], weight[e + 2]), i32, cells.square[e] + l);
    hn::Store(pair(hn::Mul(weight[e], twice_off[e]), hn::Mul(weight[e + 2], twice_off[e + 2])), i32, cells.linear[e] + l);
  }
}

#if HWY_TARGET == HWY_SCALAR
// The place of the best of 16 points, for 16 groups.
HWY_INLINE void best_places(const Iq3Neighbours& near, const Iq3Cells& cells, int32_t* places) {
  const auto half_of = [](int32_t both, size_t half) { return static_cast<int16_t>(both >> (16 * half) & 0xFFFF); };
  for (size_t l = 0; l < kIq3Lanes; ++l) {
    int32_t least = std::numeric_limits<int32_t>::max();
    for (int32_t c = 0; c < 16; ++c) {
      int32_t cost = 0;
      for (size_t e = 0; e < 4; ++e) {
        const int offset = static_cast<int8_t>(near.offsets[cells.cell[l]][c] >> (8 * e) & 255);
        cost += offset * (offset * half_of(cells.square[e % 2][l], e / 2) + half_of(cells.linear[e % 2][l], e / 2));
      }
      least = std::min(least, cost * 16 + c);
    }
    places[l] = least & 15;
  }
}
#else
// For lane `l`: per vector lane the smallest of cost * 16 + place among the points that share it.
HWY_INLINE hn::Vec<Iq3IntTag> cheapest_of_lanes(const Iq3Neighbours& near, const Iq3Cells& cells, size_t l) {
  const Iq3IntTag i32;
  const hn::Repartition<int16_t, Iq3IntTag> i16;
  const auto coefficient = [&](const int32_t* of) { return hn::BitCast(i16, hn::Set(i32, of[l])); };
  const auto square0 = coefficient(cells.square[0]), square1 = coefficient(cells.square[1]);
  const auto linear0 = coefficient(cells.linear[0]), linear1 = coefficient(cells.linear[1]);
  const auto* row = reinterpret_cast<const int32_t*>(near.offsets[cells.cell[l]]);
  auto least = hn::Zero(i32);
  for (size_t c = 0; c < Iq3Neighbours::kNear; c += hn::Lanes(i32)) {
    const auto packed = hn::BitCast(i16, hn::Load(i32, row + c));
    const auto odd = hn::ShiftRight<8>(packed), even = hn::ShiftRight<8>(hn::ShiftLeft<8>(packed));
    auto more = hn::Zero(i32);
    auto cost = hn::ReorderWidenMulAccumulate(i32, even, linear0, hn::Zero(i32), more);
    cost = hn::ReorderWidenMulAccumulate(i32, odd, linear1, cost, more);
    cost = hn::ReorderWidenMulAccumulate(i32, hn::Mul(even, even), square0, cost, more);
    cost = hn::ReorderWidenMulAccumulate(i32, hn::Mul(odd, odd), square1, cost, more);
    const auto key = hn::Or(hn::ShiftLeft<4>(hn::RearrangeToOddPlusEven(cost, more)), hn::Iota(i32, static_cast<int>(c)));
    least = c == 0 ? key : hn::Min(least, key);
  }
  return least;
}

// The place of the best of 16 points, for 16 groups.
HWY_INLINE void best_places(const Iq3Neighbours& near, const Iq3Cells& cells, int32_t* places) {
  const Iq3IntTag i32;
  const hn::FixedTag<int32_t, 4> block;
  HWY_ALIGN int32_t least[kIq3Lanes * 4];
  for (size_t l = 0; l < kIq3Lanes; l += 4) {
    // In every block of four lanes the smallest of four groups.
    const auto a = cheapest_of_lanes(near, cells, l), b = cheapest_of_lanes(near, cells, l + 1);
    const auto c = cheapest_of_lanes(near, cells, l + 2), e = cheapest_of_lanes(near, cells, l + 3);
    const auto ac = hn::Min(hn::InterleaveLower(i32, a, c), hn::InterleaveUpper(i32, a, c));
    const auto be = hn::Min(hn::InterleaveLower(i32, b, e), hn::InterleaveUpper(i32, b, e));
    hn::Store(hn::Min(hn::InterleaveLower(i32, ac, be), hn::InterleaveUpper(i32, ac, be)), i32, least);
    auto all = hn::Load(block, least);
    for (size_t k = 4; k < hn::Lanes(i32); k += 4) all = hn::Min(all, hn::Load(block, least + k));
    hn::Store(hn::And(all, hn::Set(block, 15)), block, places + l);
  }
}
#endif

// The points chosen for 16 groups: 4 signed bytes each.
HWY_INLINE void choose_offsets(const Iq3Neighbours& near, const Iq3Cells& cells, int32_t* offsets) {
  const Iq3IntTag i32;
  HWY_ALIGN int32_t places[kIq3Lanes];
  best_places(near, cells, places);
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(i32)) {
    const auto at = hn::Add(hn::ShiftLeft<4>(hn::Load(i32, cells.cell + l)), hn::Load(i32, places + l));
    hn::Store(hn::GatherIndex(i32, reinterpret_cast<const int32_t*>(near.offsets[0]), at), i32, offsets + l);
  }
}

// q = what the chosen offsets make of the four values, in steps of the grid; the levels of the points.
template <class Grid>
HWY_INLINE hn::Vec<Iq3IntTag> chosen_point(const Iq3Cells& cells, const int32_t* offsets, size_t l, Iq3Vec (&q)[4]) {
  constexpr float kUnit = Grid::kUnit / Grid::kStep;
  const Iq3Tag d;
  const Iq3IntTag i32;
  auto cell = hn::Load(i32, cells.cell + l), packed = hn::Load(i32, offsets + l), point = hn::Zero(i32);
  for (size_t e = 0; e < 4; ++e) {
    const auto offset = hn::ShiftRight<24>(hn::ShiftLeft<24>(packed));
    const auto level = hn::And(cell, hn::Set(i32, 7));
    packed = hn::ShiftRight<8>(packed);
    cell = hn::ShiftRight<3>(cell);
    // The last magnitude of IQ3_XXS lies one step beyond the middle of its cell: hence the shift, which rounds down.
    const auto chosen = hn::Add(level, hn::ShiftRight<Grid::kStepsPerLevelLog2>(offset));
    point = hn::Or(point, hn::ShiftLeftSame(chosen, static_cast<int>(3 * e)));
    const auto middle = hn::Add(hn::ShiftLeft<Grid::kStepsPerLevelLog2>(level), hn::Set(i32, static_cast<int>(kUnit)));
    q[e] = hn::ConvertTo(d, hn::Add(middle, offset));
  }
  return point;
}

// Parity formats: the values that carry the wrong sign in the groups of eight with an odd number of minus signs. Of the eight,
// the one whose error would grow least if its magnitude became the smallest; a vector of 1 << bit per group of eight.
HWY_INLINE hn::Vec<Iq3IntTag> odd_groups(hn::Vec<Iq3IntTag> minus) {
  auto folded = hn::Xor(minus, hn::ShiftRight<4>(minus));
  folded = hn::Xor(folded, hn::ShiftRight<2>(folded));
  return hn::And(hn::Xor(folded, hn::ShiftRight<1>(folded)), hn::Set(Iq3IntTag(), 0x01010101));
}

// The values of one group of eight in steps of the grid. Odd groups: the value that can best carry the wrong sign is negated;
// `passed` holds those that may not be chosen, as bits, and gets the new one.
template <class Grid>
HWY_INLINE void values_in_steps(const Iq3Pair& pair, size_t first, size_t l, Iq3Vec inverse, hn::Vec<Iq3IntTag> odd,
                                hn::Vec<Iq3IntTag>& flip, hn::Vec<Iq3IntTag>& passed, Iq3Vec (&t)[8]) {
  const Iq3Tag d;
  const Iq3IntTag i32;
  for (size_t i = 0; i < 8; ++i) {
    t[i] = hn::Mul(hn::Load(d, pair.x[first + i] + l), inverse);
  }
  flip = hn::Zero(i32);
  if constexpr (Grid::kEvenParity) {
    // What a flip costs over what a value costs on the average anyway; the low three bits say which value.
    hn::Vec<Iq3IntTag> dread[8];
    auto least = hn::Set(i32, 0x7F7FFFFF);
    for (size_t i = 0; i < 8; ++i) {
      const Iq3Vec off = hn::Add(t[i], hn::Set(d, Grid::kUnit / Grid::kStep));
      const Iq3Vec extra = hn::Mul(hn::Load(d, pair.w[first + i] + l), hn::Sub(hn::Mul(off, off), hn::Set(d, 1.3f)));
      dread[i] = hn::Or(hn::AndNot(hn::Set(i32, 7), hn::BitCast(i32, extra)), hn::Set(i32, static_cast<int>(i)));
      const auto bit = hn::Set(i32, 1 << i);
      dread[i] = hn::IfThenElse(hn::Eq(hn::And(passed, bit), bit), hn::Set(i32, 0x7F7FFFFF), dread[i]);
      least = hn::Min(least, dread[i]);
    }
    const auto sign = hn::Set(i32, std::numeric_limits<int32_t>::min());
    const auto is_odd = hn::Gt(odd, hn::Zero(i32));
    for (size_t i = 0; i < 8; ++i) {
      const auto chosen = hn::And(is_odd, hn::Eq(dread[i], least));
      flip = hn::Or(flip, hn::IfThenElseZero(chosen, hn::Set(i32, 1 << i)));
      t[i] = hn::BitCast(d, hn::Xor(hn::BitCast(i32, t[i]), hn::IfThenElseZero(chosen, sign)));
    }
    passed = hn::Or(passed, flip);
  }
}

// What is chosen for one group of eight per sub-block.
struct Iq3Eights {
  HWY_ALIGN float q[8][kIq3Lanes];
  HWY_ALIGN int32_t point[2][kIq3Lanes];
  HWY_ALIGN int32_t flip[kIq3Lanes];  // bit i: value i has the wrong sign
  HWY_ALIGN float cost[kIq3Lanes];    // only where several flips are compared
};

// The points of groups of eight k. `passed`: the flips not to be tried again.
template <class Grid>
HWY_INLINE void choose_eights(const Iq3Pair& pair, const Iq3Floats& inverse, const int32_t* odd_groups, size_t k, bool with_cost,
                              int32_t* passed, Iq3Eights& eights) {
  const Iq3Tag d;
  const Iq3IntTag i32;
  Iq3Cells cells[2];
  HWY_ALIGN int32_t offsets[2][kIq3Lanes];
  HWY_ALIGN float t_of[8][kIq3Lanes];
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    Iq3Vec t[8];
    hn::Vec<Iq3IntTag> flip, tried = hn::Load(i32, passed + l);
    const auto odd = hn::And(hn::Load(i32, odd_groups + l), hn::Set(i32, 1 << (8 * k)));
    values_in_steps<Grid>(pair, 8 * k, l, hn::Load(d, &inverse.lane[l]), odd, flip, tried, t);
    hn::Store(flip, i32, eights.flip + l);
    hn::Store(tried, i32, passed + l);
    find_cells<Grid>({t[0], t[1], t[2], t[3]}, pair.w + 8 * k, l, cells[0]);
    find_cells<Grid>({t[4], t[5], t[6], t[7]}, pair.w + 8 * k + 4, l, cells[1]);
    for (size_t i = 0; with_cost && i < 8; ++i) hn::Store(t[i], d, t_of[i] + l);
  }
  for (size_t half = 0; half < 2; ++half) choose_offsets(Grid::near(), cells[half], offsets[half]);
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    for (size_t half = 0; half < 2; ++half) {
      Iq3Vec q[4];
      hn::Store(chosen_point<Grid>(cells[half], offsets[half], l, q), i32, eights.point[half] + l);
      for (size_t e = 0; e < 4; ++e) hn::Store(q[e], d, eights.q[4 * half + e] + l);
    }
    if (!with_cost) continue;
    Iq3Vec cost = hn::Zero(d);
    for (size_t i = 0; i < 8; ++i) {
      const Iq3Vec off = hn::Sub(hn::Load(d, eights.q[i] + l), hn::Load(d, t_of[i] + l));
      cost = hn::Add(cost, hn::Mul(hn::Load(d, pair.w[8 * k + i] + l), hn::Mul(off, off)));
    }
    hn::Store(cost, d, eights.cost + l);
  }
}

// Per sub-block the cheaper of both.
HWY_INLINE void keep_cheaper(const Iq3Eights& other, Iq3Eights& best) {
  const Iq3Tag d;
  const Iq3IntTag i32;
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    const auto better = hn::Lt(hn::Load(d, other.cost + l), hn::Load(d, best.cost + l));
    const auto take = [&](const auto& tag, const auto* from, auto* to) {
      hn::Store(hn::IfThenElse(hn::RebindMask(tag, better), hn::Load(tag, from + l), hn::Load(tag, to + l)), tag, to + l);
    };
    for (size_t i = 0; i < 8; ++i) take(d, other.q[i], best.q[i]);
    for (size_t half = 0; half < 2; ++half) take(i32, other.point[half], best.point[half]);
    take(i32, other.flip, best.flip);
    take(d, other.cost, best.cost);
  }
}

// Adds the terms of groups of eight k.
template <class Grid>
HWY_INLINE void add_eights(const Iq3Pair& pair, const Iq3Eights& eights, size_t k, Iq3Points& chosen) {
  const Iq3Tag d;
  const Iq3IntTag i32;
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    Iq3Vec xq = hn::Load(d, &chosen.xq[l]), qq = hn::Load(d, &chosen.qq[l]);
    const auto flip = hn::Load(i32, eights.flip + l);
    for (size_t i = 0; i < 8; ++i) {
      const Iq3Vec q = hn::Load(d, eights.q[i] + l);
      const Iq3Vec wq = hn::Mul(hn::Load(d, pair.w[8 * k + i] + l), q);
      Iq3Vec x = hn::Load(d, pair.x[8 * k + i] + l);
      if constexpr (Grid::kEvenParity) {
        const auto sign = hn::ShiftLeft<31>(hn::ShiftRightSame(flip, static_cast<int>(i)));
        x = hn::BitCast(d, hn::Xor(hn::BitCast(i32, x), sign));
      }
      xq = hn::Add(xq, hn::Mul(wq, x));
      qq = hn::Add(qq, hn::Mul(wq, q));
    }
    hn::Store(xq, d, &chosen.xq[l]);
    hn::Store(qq, d, &chosen.qq[l]);
    for (size_t half = 0; half < 2; ++half) hn::Store(hn::Load(i32, eights.point[half] + l), i32, chosen.point[2 * k + half] + l);
    if constexpr (Grid::kEvenParity) {
      const auto minus = hn::Load(i32, chosen.minus + l);
      hn::Store(hn::Xor(minus, hn::ShiftLeftSame(flip, static_cast<int>(8 * k))), i32, chosen.minus + l);
    }
  }
}

// The points at `scale` (per sub-block, of one step), their signs and their sums. Parity formats try `flips` wrong signs for each
// odd group of eight.
template <class Grid>
void choose_points(const Iq3Pair& pair, const Iq3Floats& scale, int flips, Iq3Points& chosen) {
  const Iq3Tag d;
  const Iq3IntTag i32;
  HWY_ALIGN int32_t odd[kIq3Lanes], passed[kIq3Lanes];
  Iq3Floats inverse;
  Iq3Eights eights, other;
  constexpr float kMost = 1e12f;  // of a scale that is next to nothing; no product overflows
  for (size_t l = 0; l < kIq3Lanes; l += hn::Lanes(d)) {
    hn::Store(hn::Min(inverse_or_zero(Iq3Tag(), hn::Load(d, &scale.lane[l])), hn::Set(d, kMost)), d, &inverse[l]);
    const auto minus = hn::Load(i32, pair.minus + l);
    hn::Store(minus, i32, chosen.minus + l);
    hn::Store(odd_groups(minus), i32, odd + l);
    hn::Store(hn::Zero(d), d, &chosen.xq[l]);
    hn::Store(hn::Zero(d), d, &chosen.qq[l]);
  }
  const bool compare = Grid::kEvenParity && flips > 1;
  for (size_t k = 0; k < 4; ++k) {
    std::fill_n(passed, kIq3Lanes, 0);
    choose_eights<Grid>(pair, inverse, odd, k, compare, passed, eights);
    for (int flip = 1; compare && flip < flips; ++flip) {
      choose_eights<Grid>(pair, inverse, odd, k, compare, passed, other);
      keep_cheaper(other, eights);
    }
    add_eights<Grid>(pair, eights, k, chosen);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
