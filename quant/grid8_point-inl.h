// The best point of a codebook of eights for given scales, by weighted squared error: every point is looked at. Compiled once
// per SIMD target.
//
// The error of a point is a sum over its 8 values of a term with 3 possible amounts. Less the least of the three, as bytes, two
// values at a time, the terms are 4 tables of 9 bytes, and a point is 4 byte lookups and 3 saturated additions: up to 64 points
// at once. The unit of the bytes is chosen per eight so that a point already known (the nearest to the cell, or that of the
// round before) costs 240: worse points may saturate, better ones are told apart to about one part in 200 of that. Where the
// number of minus signs is wrong, one value must take the wrong sign, at a cost that depends on its level too: a second set of
// tables holds the cheaper of each two values, and a point costs the least of its 4 on top.
#if defined(GGUFMILL_QUANT_GRID8_POINT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_GRID8_POINT_INL
#undef GGUFMILL_QUANT_GRID8_POINT_INL
#else
#define GGUFMILL_QUANT_GRID8_POINT_INL
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "quant/grid8_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lane = eight.
struct Grid8Points {
  bool known = false;  // whether `code` holds points from before
  Lanes32 scale, shift;
  Lanes32 xq, qq, cost;
  HWY_ALIGN int32_t code[kEights];  // index << 16 | levels

  void copy_lane(const Grid8Points& from, size_t lane) {
    scale.lane[lane] = from.scale.lane[lane];
    shift.lane[lane] = from.shift.lane[lane];
    xq.lane[lane] = from.xq.lane[lane];
    qq.lane[lane] = from.qq.lane[lane];
    cost.lane[lane] = from.cost.lane[lane];
    code[lane] = from.code[lane];
  }
};

#if HWY_TARGET == HWY_SCALAR

// The index of the best point, written plainly.
template <class Format, bool kFlip>
size_t best_point(const float* x, const float* w, float scale, float shift, float per_unit) {
  unsigned excess[8][3], flip[8][3];
  for (size_t e = 0; e < 8; ++e) {
    float cost[3], at[3];
    for (size_t l = 0; l < 3; ++l) {
      at[l] = scale * (Format::kLevels[l] + shift);
      cost[l] = at[l] * (at[l] - (x[e] + x[e]));
    }
    const float least = std::min(std::min(cost[0], cost[1]), cost[2]), weight = w[e] * per_unit;
    const float xx = x[e] + x[e];
    for (size_t l = 0; l < 3; ++l) {
      excess[e][l] = static_cast<unsigned>(std::nearbyint(std::min((cost[l] - least) * weight, 255.0f)));
      flip[e][l] = kFlip ? static_cast<unsigned>(std::nearbyint(std::min(at[l] * (weight * (xx + xx)), 255.0f))) : 0;
    }
  }
  size_t best = 0;
  unsigned best_cost = 256;
  for (size_t k = 0; k < Format::kPoints; ++k) {
    unsigned sum = 0, cheapest_flip = 255;
    for (size_t e = 0; e < 8; ++e) {
      const unsigned level = Format::grid().levels[k] >> (2 * e) & 3;
      sum += excess[e][level];
      cheapest_flip = std::min(cheapest_flip, flip[e][level]);
    }
    const unsigned cost = std::min(sum + (kFlip ? cheapest_flip : 0), 255u);
    if (cost >= best_cost) continue;
    best_cost = cost;
    best = k;
  }
  return best;
}

#else

// Per pair of values 16 bytes, of which 9 are used: [level + 3 * level of the second].
struct PairTables {
  HWY_ALIGN uint8_t pair[4][16];
};

// `levels`: per value the bytes of its three levels in the low bytes of a lane. Writes the pairs of the values from `first` on.
template <class DI, class VI, class Join>
HWY_INLINE void join_pairs(DI di, VI levels, size_t first, PairTables& tables, Join join) {
  HWY_ALIGN static constexpr uint8_t kA[16] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 3, 3, 3, 3, 3, 3};
  HWY_ALIGN static constexpr uint8_t kB[16] = {4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7};
  const hn::Repartition<uint8_t, DI> du;
  const auto bytes = hn::BitCast(du, levels);
  const auto a = hn::LoadDup128(du, kA), b = hn::LoadDup128(du, kB), eight = hn::Set(du, 8);
  // A vector of 128 bits holds 4 values: pairs 2k and 2k + 1.
  const auto even = join(hn::TableLookupBytes(bytes, a), hn::TableLookupBytes(bytes, b));
  const auto odd = join(hn::TableLookupBytes(bytes, hn::Or(a, eight)), hn::TableLookupBytes(bytes, hn::Or(b, eight)));
  const size_t half = first / 4;  // tables.pair: 0 and 2 of the eight, then 1 and 3
  hn::StoreU(even, du, tables.pair[half]);
  hn::StoreU(odd, du, tables.pair[2 + half]);
}

struct EightTables {
  PairTables excess;  // over the best level
  PairTables flip;    // of a wrong sign, at that level
};

template <class DI, class V>
HWY_INLINE hn::Vec<DI> to_bytes(DI di, V excess, V per_unit, V limit) {
  return hn::BitCast(di, hn::NearestInt(hn::Min(hn::Mul(excess, per_unit), limit)));
}

// The tables of one eight.
template <class Format, bool kFlip>
HWY_INLINE void build_tables(const float* x8, const float* w8, float scale, float shift, float per_unit, EightTables& tables) {
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> di;
  using V = hn::Vec<decltype(d)>;
  V at[3];
  for (size_t l = 0; l < 3; ++l) at[l] = hn::Set(d, scale * (Format::kLevels[l] + shift));
  const V inverse = hn::Set(d, per_unit), limit = hn::Set(d, 255.0f);
  for (size_t first = 0; first < 8; first += hn::Lanes(d)) {
    const V x = hn::Load(d, x8 + first), w = hn::Load(d, w8 + first);
    const V xx = hn::Add(x, x);
    V cost[3];
    for (size_t l = 0; l < 3; ++l) cost[l] = hn::Mul(at[l], hn::Sub(at[l], xx));
    const V least = hn::Min(hn::Min(cost[0], cost[1]), cost[2]);
    const V weight = hn::Mul(w, inverse);
    auto levels = to_bytes(di, hn::Sub(cost[0], least), weight, limit);
    levels = hn::Or(levels, hn::ShiftLeft<8>(to_bytes(di, hn::Sub(cost[1], least), weight, limit)));
    levels = hn::Or(levels, hn::ShiftLeft<16>(to_bytes(di, hn::Sub(cost[2], least), weight, limit)));
    join_pairs(di, levels, first, tables.excess, [](auto a, auto b) HWY_ATTR { return hn::SaturatedAdd(a, b); });
    if constexpr (kFlip) {
      const V wx4 = hn::Mul(weight, hn::Add(xx, xx));
      auto flips = to_bytes(di, at[0], wx4, limit);
      flips = hn::Or(flips, hn::ShiftLeft<8>(to_bytes(di, at[1], wx4, limit)));
      flips = hn::Or(flips, hn::ShiftLeft<16>(to_bytes(di, at[2], wx4, limit)));
      join_pairs(di, flips, first, tables.flip, [](auto a, auto b) HWY_ATTR { return hn::Min(a, b); });
    }
  }
}

// The first index of the least byte.
template <size_t kCount>
HWY_INLINE size_t first_least(const uint8_t* bytes, const uint8_t* least_of_lanes, size_t lanes) {
  const hn::CappedTag<uint8_t, 16> d16;
  const hn::Repartition<uint16_t, decltype(d16)> du16;
  auto least = hn::Load(d16, least_of_lanes);
  for (size_t i = 16; i < lanes; i += 16) least = hn::Min(least, hn::Load(d16, least_of_lanes + i));
  const auto words = hn::BitCast(du16, least);
  const auto two = hn::Min(hn::And(words, hn::Set(du16, 255)), hn::ShiftRight<8>(words));
  const auto value = static_cast<uint8_t>(hn::GetLane(hn::MinOfLanes(du16, two)));
  const hn::CappedTag<uint8_t, 64> d;
  const auto wanted = hn::Set(d, value);
  for (size_t k = 0; k < kCount; k += hn::Lanes(d)) {
    const intptr_t found = hn::FindFirstTrue(d, hn::Eq(hn::Load(d, bytes + k), wanted));
    if (found >= 0) return k + static_cast<size_t>(found);
  }
  return 0;
}

template <class Format, bool kFlip>
HWY_INLINE size_t least_point(const EightTables& tables) {
  const hn::CappedTag<uint8_t, 64> d;
  const auto& grid = Format::grid();
  const auto t0 = hn::LoadDup128(d, tables.excess.pair[0]), t1 = hn::LoadDup128(d, tables.excess.pair[2]);
  const auto t2 = hn::LoadDup128(d, tables.excess.pair[1]), t3 = hn::LoadDup128(d, tables.excess.pair[3]);
  auto f0 = t0, f1 = t1, f2 = t2, f3 = t3;
  if constexpr (kFlip) {
    f0 = hn::LoadDup128(d, tables.flip.pair[0]);
    f1 = hn::LoadDup128(d, tables.flip.pair[2]);
    f2 = hn::LoadDup128(d, tables.flip.pair[1]);
    f3 = hn::LoadDup128(d, tables.flip.pair[3]);
  }
  HWY_ALIGN uint8_t cost[Format::kPoints];
  HWY_ALIGN uint8_t least_of_lanes[64];
  auto least = hn::Set(d, 255);
  for (size_t k = 0; k < Format::kPoints; k += hn::Lanes(d)) {
    const auto p0 = hn::Load(d, grid.pair[0] + k), p1 = hn::Load(d, grid.pair[1] + k);
    const auto p2 = hn::Load(d, grid.pair[2] + k), p3 = hn::Load(d, grid.pair[3] + k);
    auto sum = hn::SaturatedAdd(hn::SaturatedAdd(hn::TableLookupBytes(t0, p0), hn::TableLookupBytes(t1, p1)),
                                hn::SaturatedAdd(hn::TableLookupBytes(t2, p2), hn::TableLookupBytes(t3, p3)));
    if constexpr (kFlip) {
      const auto flip = hn::Min(hn::Min(hn::TableLookupBytes(f0, p0), hn::TableLookupBytes(f1, p1)),
                                hn::Min(hn::TableLookupBytes(f2, p2), hn::TableLookupBytes(f3, p3)));
      sum = hn::SaturatedAdd(sum, flip);
    }
    hn::Store(sum, d, cost + k);
    least = hn::Min(least, sum);
  }
  hn::Store(least, d, least_of_lanes);
  return first_least<Format::kPoints>(cost, least_of_lanes, hn::Lanes(d));
}

template <class Format, bool kFlip>
HWY_INLINE size_t best_point(const float* x, const float* w, float scale, float shift, float per_unit) {
  EightTables tables;
  build_tables<Format, kFlip>(x, w, scale, shift, per_unit, tables);
  return least_point<Format, kFlip>(tables);
}

#endif  // HWY_SCALAR

// For each eight a known point, in `points.code`, and how many bytes' units its cost over that of the cell is: 0 where it
// cannot be bettered.
template <class Format>
void bound_points(const Grid8Block& block, Grid8Points& points, Lanes32& per_unit) {
  const Grid8Tag d;
  const hn::RebindToSigned<Grid8Tag> di;
  using V = hn::Vec<Grid8Tag>;
  for (size_t first = 0; first < kEights; first += hn::Lanes(d)) {
    const V scale = hn::Load(d, points.scale.lane + first), shift = hn::Load(d, points.shift.lane + first);
    V xq, qq;
    auto code = nearest_sums<Format>(d, block, first, scale, shift, xq, qq);
    V cost = cost_of(d, scale, xq, qq);
    if (points.known) {
      V known_xq, known_qq, flipped = hn::Zero(d);
      const auto known = hn::Load(di, points.code + first);
      point_sums<Format>(d, block, first, known, shift, known_xq, known_qq, flipped);
      const V known_cost = cost_of(d, scale, known_xq, known_qq);
      const auto better = hn::Lt(known_cost, cost);
      cost = hn::IfThenElse(better, known_cost, cost);
      code = hn::IfThenElse(hn::RebindMask(di, better), known, code);
    }
    V floor = hn::Zero(d), weight = hn::Zero(d);
    for (size_t e = 0; e < 8; ++e) {
      const V x = hn::Load(d, block.x[e] + first), w = hn::Load(d, block.w[e] + first);
      const V xx = hn::Add(x, x);
      V least = hn::Set(d, 1e30f);
      for (const float level : Format::kLevels) {
        const V at = hn::Mul(scale, Format::kShift != 0 ? hn::Add(shift, hn::Set(d, level)) : hn::Set(d, level));
        least = hn::Min(least, hn::Mul(at, hn::Sub(at, xx)));
      }
      floor = hn::Add(floor, hn::Mul(w, least));
      weight = hn::Add(weight, w);
    }
    const V excess = hn::Sub(cost, floor);
    // Excesses within the rounding of the sums are none.
    const V slack = hn::Mul(hn::Set(d, 1e-5f), hn::Max(hn::Abs(floor), hn::Mul(weight, hn::Mul(scale, scale))));
    const auto open = hn::Gt(excess, slack);
    const V unit = hn::Div(hn::Set(d, 240.0f), hn::IfThenElse(open, excess, hn::Set(d, 1.0f)));
    const V largest_unit = hn::Set(d, 1e30f);  // its product with an excess of 0 is 0
    hn::Store(hn::IfThenElseZero(open, hn::Min(unit, largest_unit)), d, per_unit.lane + first);
    hn::Store(code, di, points.code + first);
  }
}

// Step 3: the points of all eights at points.scale and points.shift, with their sums and costs.
template <class Format>
void find_points(const Grid8Block& block, Grid8Points& points) {
  Lanes32 per_unit;
  bound_points<Format>(block, points, per_unit);
  for (size_t g = 0; g < kEights; ++g) {
    if (per_unit.lane[g] == 0) continue;
    const float *x = block.row_x + 8 * g, *w = block.row_w + 8 * g;
    const float scale = points.scale.lane[g], shift = Format::kShift != 0 ? points.shift.lane[g] : 0.0f;
    size_t index;
    if (Format::kEvenParity && block.odd[g] != 0) {
      index = best_point<Format, Format::kEvenParity>(x, w, scale, shift, per_unit.lane[g]);
    } else {
      index = best_point<Format, false>(x, w, scale, shift, per_unit.lane[g]);
    }
    points.code[g] = static_cast<int32_t>(index << 16 | Format::grid().levels[index]);
  }
  const Grid8Tag d;
  const hn::RebindToSigned<Grid8Tag> di;
  for (size_t first = 0; first < kEights; first += hn::Lanes(d)) {
    const auto scale = hn::Load(d, points.scale.lane + first);
    auto xq = hn::Zero(d), qq = hn::Zero(d), flipped = hn::Zero(d);
    point_sums<Format>(d, block, first, hn::Load(di, points.code + first), hn::Load(d, points.shift.lane + first), xq, qq,
                       flipped);
    hn::Store(xq, d, points.xq.lane + first);
    hn::Store(qq, d, points.qq.lane + first);
    hn::Store(cost_of(d, scale, xq, qq), d, points.cost.lane + first);
  }
}

// Of a chosen point, the value whose sign is to be wrong: the one that costs least. As point_sums takes it.
template <class Format>
size_t flipped_value(const Grid8Block& block, size_t g, int32_t code) {
  size_t flip = 0;
  float least = 0;
  for (size_t e = 0; e < 8; ++e) {
    const float q = Format::kLevels[code >> (2 * e) & 3];
    const float wxq = block.row_w[8 * g + e] * q * block.row_x[8 * g + e];
    if (e > 0 && !(wxq < least)) continue;
    least = wxq;
    flip = e;
  }
  return flip;
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
