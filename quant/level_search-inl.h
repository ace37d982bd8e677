// The search behind Q3_K, Q6_K and IQ4_XS: value = d * level * code, a super-block of 256 values with an f16 scale d and one
// small integer level per sub-block of 16 or 32. Compiled once per SIMD target; a lane is a sub-block, 16 of them side by side,
// that is one super-block or two.
//
// 1. scan_scales: two sets of codes per lane, at the scales that fit best.
// 2. Lane = candidate d: with those codes fixed, the gain of each d with its best levels is a sum of quadratics; no value is
// read.
// 3. For the best few d: codes recomputed for the two levels around the scale wanted.
// 4. d by least squares, then each level moved by up to `reach`, codes recomputed; several rounds.
// Of a lattice source, d is also tried where the steps of the sub-blocks become whole levels.
// `Type` describes a format:
//   Codes                what the codes are (scale_search-inl.h)
//   kElems               values per sub-block
//   kMin, kMax           levels
//   kBytes               of a super-block
//   kStretch             super-block scales tried, as multiples of the one that puts the largest scale wanted at kMin
//   kTuning[effort]      how long to search
//   pack(d_bits, levels, codes, block)   int8_t levels[256 / kElems], uint8_t codes[256]
#if defined(GGUFMILL_QUANT_LEVEL_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_LEVEL_SEARCH_INL
#undef GGUFMILL_QUANT_LEVEL_SEARCH_INL
#else
#define GGUFMILL_QUANT_LEVEL_SEARCH_INL
#endif

#include "quant/codec_functions.h"
#include "quant/level_tuning.h"
#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

inline constexpr size_t kLevelLanes = 16;
using LevelFloats = LaneFloats<kLevelLanes>;
using LevelTag = hn::CappedTag<float, kLevelLanes>;
using LevelVec = hn::Vec<LevelTag>;

// One choice per lane, and what it is worth. The lanes of a super-block share d.
struct LevelState {
  LevelFloats d = {}, level = {}, xq = {}, qq = {}, gain = {};

  void take(const LevelState& from, size_t first, size_t count) {
    for (LevelFloats LevelState::*part :
         {&LevelState::d, &LevelState::level, &LevelState::xq, &LevelState::qq, &LevelState::gain}) {
      std::copy_n((from.*part).lane + first, count, (this->*part).lane + first);
    }
  }
  float total(size_t first, size_t count) const {
    float sum = 0;
    for (size_t l = first; l < first + count; ++l) sum += gain[l];
    return sum;
  }
};

template <class Type>
HWY_INLINE LevelVec clamped_level(LevelVec level) {
  const LevelTag d;
  return hn::Min(hn::Max(level, hn::Set(d, static_cast<float>(Type::kMin))), hn::Set(d, static_cast<float>(Type::kMax)));
}

// Step 2's list: super-block scales of one super-block, rounded to f16. Lattice sources add those that make the smallest or the
// largest step a small integer.
struct UnitTries {
  static constexpr int kMost = 96;
  int count = 0;
  HWY_ALIGN float d[kMost], score[kMost];

  void add(float scale) { d[count++] = scale; }

  void round(const BlockUnit& unit) {
    const LevelTag tag;
    while (count % kLevelLanes != 0) add(d[count - 1]);
    for (int k = 0; k < count; k += static_cast<int>(hn::Lanes(tag))) {
      const LevelVec rounded = rounded_scale(tag, hn::Load(tag, d + k), hn::Set(tag, unit.up), hn::Set(tag, unit.down));
      hn::Store(rounded, tag, d + k);
    }
  }
  // The best not yet taken.
  float take_best() {
    const auto best = static_cast<size_t>(std::max_element(score, score + count) - score);
    const float found = d[best];
    for (int k = 0; k < count; ++k) score[k] = d[k] == found ? -1.0f : score[k];
    return found;
  }
};

// The scales that the sets of codes want.
struct Wanted {
  LevelFloats scale[2];
};

inline void find_wanted(const CodeSets<kLevelLanes>& sets, Wanted& wanted) {
  const LevelTag d;
  for (size_t set = 0; set < 2; ++set) {
    for (size_t first = 0; first < kLevelLanes; first += hn::Lanes(d)) {
      const LevelVec qq = hn::Load(d, sets.qq[set].lane + first);
      hn::Store(hn::Mul(hn::Load(d, sets.xq[set].lane + first), inverse_or_zero(d, qq)), d, wanted.scale[set].lane + first);
    }
  }
}

template <class Type>
void list_units(const CodeSets<kLevelLanes>& sets, const Wanted& wanted, size_t first, size_t lanes, const BlockUnit& unit,
                const LevelTuning& tuning, bool lattice, UnitTries& tries) {
  float largest = 0, smallest_step = 0, largest_step = 0;
  for (size_t l = first; l < first + lanes; ++l) {
    const bool second = sets.xq[1][l] * wanted.scale[1][l] > sets.xq[0][l] * wanted.scale[0][l];
    const float scale = wanted.scale[second ? 1 : 0][l];
    if (std::fabs(scale) > std::fabs(largest)) largest = scale;
    const float step = std::fabs(wanted.scale[0][l]);
    if (step > 0 && (smallest_step == 0 || step < smallest_step)) smallest_step = step;
    largest_step = std::max(largest_step, step);
  }
  tries.count = 0;
  if (largest == 0) return;
  const float nearest = largest / static_cast<float>(Type::kMin);
  tries.add(unit.rounded_up(nearest));
  for (int k = 0; k < tuning.units; ++k) tries.add(nearest * Type::kStretch.at(k, tuning.units));
  if (lattice) {
    for (int m = 1; m < 16; ++m) tries.add(smallest_step / static_cast<float>(m));
    for (int m = 8; m < 16; ++m) tries.add(largest_step / static_cast<float>(m * (Type::kMax + 1) / 8));
  }
  tries.round(unit);
}

// Step 2.
template <class Type>
void score_units(const CodeSets<kLevelLanes>& sets, const Wanted& wanted, size_t first, size_t lanes, UnitTries& tries) {
  const LevelTag d;
  for (int k = 0; k < tries.count; k += static_cast<int>(hn::Lanes(d))) {
    const LevelVec unit = hn::Load(d, tries.d + k);
    const LevelVec inverse = inverse_or_zero(d, unit);
    LevelVec sum = hn::Zero(d);
    for (size_t l = first; l < first + lanes; ++l) {
      LevelVec best = hn::Zero(d);
      for (size_t set = 0; set < 2; ++set) {
        const LevelVec level = rounded_small(d, clamped_level<Type>(hn::Mul(hn::Set(d, wanted.scale[set][l]), inverse)));
        best = hn::Max(best, gain_at(hn::Mul(level, unit), hn::Set(d, sets.xq[set][l]), hn::Set(d, sets.qq[set][l])));
      }
      sum = hn::Add(sum, best);
    }
    hn::Store(sum, d, tries.score + k);
  }
}

// The gain of every lane at the levels given.
template <class Type, class Blocks>
void score_levels(const Blocks& b, LevelState& s) {
  const LevelTag d;
  for (size_t first = 0; first < kLevelLanes; first += hn::Lanes(d)) {
    const LevelVec scale = hn::Mul(hn::Load(d, s.d.lane + first), hn::Load(d, s.level.lane + first));
    const LevelVec inverse[1] = {inverse_or_zero(d, scale)};
    LevelVec xq[1], qq[1];
    code_sums<typename Type::Codes>(b, first, d, inverse, xq, qq);
    hn::Store(xq[0], d, s.xq.lane + first);
    hn::Store(qq[0], d, s.qq.lane + first);
    hn::Store(gain_at(scale, xq[0], qq[0]), d, s.gain.lane + first);
  }
}

// The better of two levels per lane, with codes recomputed, where it beats what `s` holds.
template <class Type, class Blocks>
HWY_INLINE void try_two_levels(const Blocks& b, size_t first, const LevelVec (&level)[2], LevelState& s) {
  const LevelTag d;
  const LevelVec unit = hn::Load(d, s.d.lane + first);
  LevelVec scale[2], inverse[2], xq[2], qq[2];
  for (size_t k = 0; k < 2; ++k) {
    scale[k] = hn::Mul(unit, level[k]);
    inverse[k] = inverse_or_zero(d, scale[k]);
  }
  code_sums<typename Type::Codes>(b, first, d, inverse, xq, qq);
  for (size_t k = 0; k < 2; ++k) {
    const LevelVec gain = gain_at(scale[k], xq[k], qq[k]);
    const auto better = hn::Gt(gain, hn::Load(d, s.gain.lane + first));
    hn::BlendedStore(gain, better, d, s.gain.lane + first);
    hn::BlendedStore(level[k], better, d, s.level.lane + first);
    hn::BlendedStore(xq[k], better, d, s.xq.lane + first);
    hn::BlendedStore(qq[k], better, d, s.qq.lane + first);
  }
}

// Step 3: levels from nothing for the d in `s`.
template <class Type, class Blocks>
void settle_levels(const Blocks& b, const CodeSets<kLevelLanes>& sets, const Wanted& wanted, LevelState& s) {
  const LevelTag d;
  for (size_t first = 0; first < kLevelLanes; first += hn::Lanes(d)) {
    const LevelVec unit = hn::Load(d, s.d.lane + first);
    const LevelVec inverse = inverse_or_zero(d, unit);
    LevelVec ratio[2], gain[2];
    for (size_t set = 0; set < 2; ++set) {
      ratio[set] = hn::Mul(hn::Load(d, wanted.scale[set].lane + first), inverse);
      const LevelVec scale = hn::Mul(rounded_small(d, clamped_level<Type>(ratio[set])), unit);
      gain[set] = gain_at(scale, hn::Load(d, sets.xq[set].lane + first), hn::Load(d, sets.qq[set].lane + first));
    }
    const LevelVec lower = hn::Floor(hn::IfThenElse(hn::Gt(gain[1], gain[0]), ratio[1], ratio[0]));
    const LevelVec level[2] = {clamped_level<Type>(lower), clamped_level<Type>(hn::Add(lower, hn::Set(d, 1.0f)))};
    for (LevelFloats* part : {&s.level, &s.xq, &s.qq, &s.gain}) hn::Store(hn::Zero(d), d, part->lane + first);
    try_two_levels<Type>(b, first, level, s);
  }
}

// Step 4, levels.
template <class Type, class Blocks>
void move_levels(const Blocks& b, int reach, LevelState& s) {
  const LevelTag d;
  for (size_t first = 0; first < kLevelLanes; first += hn::Lanes(d)) {
    const LevelVec start = hn::Load(d, s.level.lane + first);
    for (int step = 1; step <= reach; ++step) {
      const LevelVec by = hn::Set(d, static_cast<float>(step));
      const LevelVec level[2] = {clamped_level<Type>(hn::Sub(start, by)), clamped_level<Type>(hn::Add(start, by))};
      try_two_levels<Type>(b, first, level, s);
    }
  }
}

template <class Type>
struct LeveledBlocks {
  static constexpr size_t kElems = Type::kElems;
  static constexpr size_t kBlock = 256;
  static constexpr size_t kSubs = kBlock / kElems;        // lanes of a super-block
  static constexpr size_t kGroups = kLevelLanes / kSubs;  // super-blocks side by side

  LaneBlocks<kElems, kLevelLanes> lanes;
  LaneSteps<kLevelLanes> lattice;
  BlockUnit unit[kGroups];
  float x[kGroups * kBlock], w[kGroups * kBlock];

  void load(Row row, size_t column, const RowWeights& weights, const RowContext& context) {
    lattice.count = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      float* const values = x + g * kBlock;
      const size_t first = column + g * kBlock;
      unit[g] = first < row.size() ? load_block(&row[first], kBlock, values) : BlockUnit();
      if (first < row.size()) weights.load(first, kBlock, values, w + g * kBlock);
      if (unit[g].zero) {  // of a lane beyond the row too
        std::fill_n(values, kBlock, 0.0f);
        std::fill_n(w + g * kBlock, kBlock, 1.0f);
      }
      for (size_t j = 0; j < kSubs; ++j) lattice.set_lane(context.lattice, g * kSubs + j, first + j * kElems, kElems, unit[g]);
    }
    lanes.set_all(x, w);
  }

  // Step 4, d: least squares with the levels and codes of `s`; taken where it gains.
  void refit(LevelState& s) const {
    LevelState tried = s;
    for (size_t g = 0; g < kGroups; ++g) {
      float numerator = 0, denominator = 0;
      for (size_t l = g * kSubs; l < (g + 1) * kSubs; ++l) {
        numerator += s.level[l] * s.xq[l];
        denominator += s.level[l] * s.level[l] * s.qq[l];
      }
      if (!(denominator > 0)) continue;
      std::fill_n(tried.d.lane + g * kSubs, kSubs, unit[g].rounded(numerator / denominator));
    }
    score_levels<Type>(lanes, tried);
    for (size_t g = 0; g < kGroups; ++g) {
      if (tried.total(g * kSubs, kSubs) > s.total(g * kSubs, kSubs)) s.take(tried, g * kSubs, kSubs);
    }
  }

  LevelState search(const LevelTuning& tuning, const Scan& scan) const {
    CodeSets<kLevelLanes> sets;
    Wanted wanted;
    UnitTries units[kGroups];
    scan_scales<typename Type::Codes>(lanes, lattice, scan, sets);
    find_wanted(sets, wanted);
    for (size_t g = 0; g < kGroups; ++g) {
      list_units<Type>(sets, wanted, g * kSubs, kSubs, unit[g], tuning, lattice.count > 0, units[g]);
      score_units<Type>(sets, wanted, g * kSubs, kSubs, units[g]);
    }
    LevelState best, tried;
    for (int k = 0; k < tuning.kept; ++k) {
      for (size_t g = 0; g < kGroups; ++g) {
        std::fill_n(tried.d.lane + g * kSubs, kSubs, units[g].count > 0 ? units[g].take_best() : 0.0f);
      }
      settle_levels<Type>(lanes, sets, wanted, tried);
      for (size_t g = 0; g < kGroups; ++g) {
        if (tried.total(g * kSubs, kSubs) > best.total(g * kSubs, kSubs)) best.take(tried, g * kSubs, kSubs);
      }
    }
    for (int round = 0; round < tuning.rounds; ++round) {
      refit(best);
      move_levels<Type>(lanes, tuning.reach, best);
    }
    refit(best);
    return best;
  }
};

template <class Type>
void encode_leveled_row(Row row, const RowContext& context, std::byte* out) {
  using Super = LeveledBlocks<Type>;
  const RowWeights weights(context);
  const LevelTuning tuning = Type::kTuning[static_cast<size_t>(context.effort)];
  const Scan scan = Scan::of<typename Type::Codes>(tuning, weights);
  Super blocks;
  uint8_t codes[Super::kBlock];
  int8_t levels[Super::kSubs];
  for (size_t column = 0; column < row.size(); column += Super::kGroups * Super::kBlock) {
    blocks.load(row, column, weights, context);
    const LevelState best = blocks.search(tuning, scan);
    for (size_t g = 0; g < Super::kGroups && column + g * Super::kBlock < row.size(); ++g, out += Type::kBytes) {
      const float d = best.d[g * Super::kSubs];
      for (size_t j = 0; j < Super::kSubs; ++j) {
        const float level = best.level[g * Super::kSubs + j];
        levels[j] = static_cast<int8_t>(level);
        const size_t at = j * Super::kElems;
        write_codes<typename Type::Codes, Super::kElems>(blocks.x + g * Super::kBlock + at, scalar_inverse_or_zero(d * level),
                                                         codes + at);
      }
      Type::pack(blocks.unit[g].scale_bits(d), levels, codes, out);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
