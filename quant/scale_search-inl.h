// The search behind types whose values are scale * code: Q4_0 and IQ4_NL (a scale per block), Q3_K, Q6_K and IQ4_XS (a small
// integer per sub-block times the super-block's f16 scale). Compiled once per SIMD target; a lane is a block or a sub-block.
//
// For a scale s and the codes q nearest to x / s, the weighted error is sum(w x^2) - gain,  gain = s * (2 sum(w x q) - s sum(w q
// q)), and the scale that is best for fixed codes is sum(w x q) / sum(w q q). Scales of both signs are tried, since most code
// ranges are not symmetric (-4 .. 3). `Codes` says what the codes are:
//   kAims              where the largest value of a block may land: the scales that the search starts from
//   nearest(v)         the code value nearest to v
//   index(q)           the number that stands for it in the block, as a float
// Every result is scored at the scale that the block will really hold: after rounding to f16 and to the integer grid.
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
#include "quant/finite_block.h"
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

  void set_lane(size_t lane, const float* values, const float* weights) {
    for (size_t e = 0; e < kElems; ++e) {
      x[e][lane] = values[e];
      w[e][lane] = weights[e];
    }
  }
};

template <size_t kLanes>
struct LaneFloats {
  HWY_ALIGN float lane[kLanes];
  float& operator[](size_t l) { return lane[l]; }
  float operator[](size_t l) const { return lane[l]; }
};

// Scales below this, in the search's unit, leave every code at zero's: their inverse is taken as 0. The largest f16 scale of the
// largest floats lies above it (65504 * 2^-127 = 3.8e-34), and its inverse times any code is still finite.
inline constexpr float kSmallestScale = 1e-35f;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V inverse_or_zero(D d, V scale) {
  const auto usable = hn::Gt(hn::Abs(scale), hn::Set(d, kSmallestScale));
  return hn::IfThenElseZero(usable, hn::Div(hn::Set(d, 1.0f), hn::IfThenElse(usable, scale, hn::Set(d, 1.0f))));
}

// sum(w x q) and sum(w q q) of the lanes that start at `first`, for codes nearest to x * inverse.
template <class Codes, class Blocks, class D, class V = hn::Vec<D>>
HWY_INLINE void code_sums(const Blocks& b, size_t first, D d, V inverse, V& xq, V& qq) {
  xq = hn::Zero(d);
  qq = hn::Zero(d);
  for (size_t e = 0; e < Blocks::kElems; ++e) {
    const V x = hn::Load(d, b.x[e] + first);
    const V q = Codes::nearest(d, hn::Mul(x, inverse));
    const V wq = hn::Mul(hn::Load(d, b.w[e] + first), q);
    xq = hn::Add(xq, hn::Mul(wq, x));
    qq = hn::Add(qq, hn::Mul(wq, q));
  }
}

// The best scale per lane without regard to how it will be stored; 0 for a lane of zeros.
template <class Codes, class Blocks>
void find_scales(const Blocks& b, LaneFloats<Blocks::kLanes>& scales) {
  const hn::CappedTag<float, Blocks::kLanes> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t first = 0; first < Blocks::kLanes; first += hn::Lanes(d)) {
    V extreme = hn::Zero(d);
    for (size_t e = 0; e < Blocks::kElems; ++e) {
      const V x = hn::Load(d, b.x[e] + first);
      extreme = hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Abs(extreme)), x, extreme);
    }
    const V unit = inverse_or_zero(d, extreme);
    V best_gain = hn::Zero(d), best_scale = hn::Zero(d), xq, qq;
    for (const float aim : Codes::kAims) {
      code_sums<Codes>(b, first, d, hn::Mul(hn::Set(d, aim), unit), xq, qq);
      const V scale = hn::Mul(xq, inverse_or_zero(d, qq));
      const V gain = hn::Mul(xq, scale);
      const auto better = hn::Gt(gain, best_gain);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      best_scale = hn::IfThenElse(better, scale, best_scale);
    }
    hn::Store(best_scale, d, &scales[first]);
  }
}

// The sums and the gain of every lane at the scales given.
template <class Codes, class Blocks>
void score(const Blocks& b, const LaneFloats<Blocks::kLanes>& scales, LaneFloats<Blocks::kLanes>& xq,
           LaneFloats<Blocks::kLanes>& qq, LaneFloats<Blocks::kLanes>& gain) {
  const hn::CappedTag<float, Blocks::kLanes> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t first = 0; first < Blocks::kLanes; first += hn::Lanes(d)) {
    const V scale = hn::Load(d, scales.lane + first);
    V a, c;
    code_sums<Codes>(b, first, d, inverse_or_zero(d, scale), a, c);
    hn::Store(a, d, &xq[first]);
    hn::Store(c, d, &qq[first]);
    hn::Store(hn::Mul(scale, hn::Sub(hn::Add(a, a), hn::Mul(scale, c))), d, &gain[first]);
  }
}

// codes[l * kElems + e] = index of the code of element e of lane l.
template <class Codes, class Blocks>
void write_codes(const Blocks& b, const LaneFloats<Blocks::kLanes>& scales, uint8_t* codes) {
  const hn::CappedTag<float, Blocks::kLanes> d;
  const hn::RebindToSigned<decltype(d)> i32;
  HWY_ALIGN int32_t index[Blocks::kLanes];
  for (size_t e = 0; e < Blocks::kElems; ++e) {
    for (size_t first = 0; first < Blocks::kLanes; first += hn::Lanes(d)) {
      const auto inverse = inverse_or_zero(d, hn::Load(d, scales.lane + first));
      const auto v = hn::Mul(hn::Load(d, b.x[e] + first), inverse);
      hn::Store(hn::ConvertTo(i32, Codes::index(d, Codes::nearest(d, v))), i32, index + first);
    }
    for (size_t l = 0; l < Blocks::kLanes; ++l) codes[l * Blocks::kElems + e] = static_cast<uint8_t>(index[l]);
  }
}

// Independent blocks: improves each lane's scale and rounds it to f16. A scale that gains nothing becomes 0.
template <class Codes, class Blocks>
void settle_scales(const Blocks& b, const BlockUnit* units, LaneFloats<Blocks::kLanes>& scales) {
  constexpr size_t kLanes = Blocks::kLanes;
  constexpr int kRounds = 3;
  LaneFloats<kLanes> best = {}, best_gain = {}, xq, qq, gain;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t l = 0; l < kLanes; ++l) scales[l] = units[l].rounded(scales[l]);
    score<Codes>(b, scales, xq, qq, gain);
    for (size_t l = 0; l < kLanes; ++l) {
      if (gain[l] > best_gain[l]) {
        best_gain[l] = gain[l];
        best[l] = scales[l];
      }
      scales[l] = qq[l] > 0 ? xq[l] / qq[l] : 0.0f;
    }
  }
  scales = best;
}

// One super-block: value = d * level * code, with one level in [kMin, kMax] per lane.
template <size_t kLanes>
struct LevelChoice {
  float d = 0;     // rounded to f16, in the search's unit
  float gain = 0;  // above zero where anything was found
  LaneFloats<kLanes> level = {};
};

template <int kMin, int kMax>
float clamp_level(float level) {
  return level < kMin ? static_cast<float>(kMin) : level > kMax ? static_cast<float>(kMax) : level;
}

// For the super-block scale `d`: per lane the better of the two levels around the scale that it wants.
template <class Codes, int kMin, int kMax, class Blocks>
LevelChoice<Blocks::kLanes> choose_levels(const Blocks& b, float d, const LaneFloats<Blocks::kLanes>& wanted) {
  constexpr size_t kLanes = Blocks::kLanes;
  LevelChoice<kLanes> choice{.d = d};
  LaneFloats<kLanes> upper, scales, xq, qq, gain, upper_gain;
  for (size_t l = 0; l < kLanes; ++l) {
    const float ratio = wanted[l] / d;
    choice.level[l] = clamp_level<kMin, kMax>(std::floor(ratio));
    upper[l] = clamp_level<kMin, kMax>(std::floor(ratio) + 1);
    scales[l] = d * choice.level[l];
  }
  score<Codes>(b, scales, xq, qq, gain);
  for (size_t l = 0; l < kLanes; ++l) scales[l] = d * upper[l];
  score<Codes>(b, scales, xq, qq, upper_gain);
  for (size_t l = 0; l < kLanes; ++l) {
    if (upper_gain[l] > gain[l]) choice.level[l] = upper[l];
    choice.gain += upper_gain[l] > gain[l] ? upper_gain[l] : gain[l];
  }
  return choice;
}

// With the codes of `choice` fixed, the best d; scored again with the codes that this d makes best.
template <class Codes, class Blocks>
void refit_d(const Blocks& b, const BlockUnit& unit, LevelChoice<Blocks::kLanes>& choice) {
  constexpr size_t kLanes = Blocks::kLanes;
  constexpr int kRounds = 2;
  LaneFloats<kLanes> scales, xq, qq, gain;
  LevelChoice<kLanes> tried = choice;
  for (int round = 0; round <= kRounds; ++round) {
    for (size_t l = 0; l < kLanes; ++l) scales[l] = tried.d * tried.level[l];
    score<Codes>(b, scales, xq, qq, gain);
    tried.gain = 0;
    float numerator = 0, denominator = 0;
    for (size_t l = 0; l < kLanes; ++l) {
      tried.gain += gain[l];
      numerator += tried.level[l] * xq[l];
      denominator += tried.level[l] * tried.level[l] * qq[l];
    }
    if (tried.gain > choice.gain) choice = tried;
    if (!(denominator > 0)) return;
    tried.d = unit.rounded(numerator / denominator);
  }
}

// Every lane may move its level by up to kReach, codes recomputed.
template <class Codes, int kMin, int kMax, int kReach, class Blocks>
void move_levels(const Blocks& b, LevelChoice<Blocks::kLanes>& choice) {
  constexpr size_t kLanes = Blocks::kLanes;
  LaneFloats<kLanes> scales, xq, qq, best_gain, gain;
  const LevelChoice<kLanes> start = choice;
  for (size_t l = 0; l < kLanes; ++l) scales[l] = start.d * start.level[l];
  score<Codes>(b, scales, xq, qq, best_gain);
  for (int step = -kReach; step <= kReach; ++step) {
    if (step == 0) continue;
    for (size_t l = 0; l < kLanes; ++l) scales[l] = start.d * clamp_level<kMin, kMax>(start.level[l] + static_cast<float>(step));
    score<Codes>(b, scales, xq, qq, gain);
    for (size_t l = 0; l < kLanes; ++l) {
      if (!(gain[l] > best_gain[l])) continue;
      best_gain[l] = gain[l];
      choice.level[l] = clamp_level<kMin, kMax>(start.level[l] + static_cast<float>(step));
    }
  }
  choice.gain = 0;
  for (const float g : best_gain.lane) choice.gain += g;
}

// The best d and levels for the scales that the lanes want. `stretch` lists the super-block scales tried, as multiples of the
// one that puts the largest wanted scale at kMin.
template <class Codes, int kMin, int kMax, int kReach, class Blocks, size_t kTries>
LevelChoice<Blocks::kLanes> search_levels(const Blocks& b, const BlockUnit& unit, const LaneFloats<Blocks::kLanes>& wanted,
                                          const float (&stretch)[kTries]) {
  float largest = 0;
  for (size_t l = 0; l < Blocks::kLanes; ++l) {
    if (std::fabs(wanted[l]) > std::fabs(largest)) largest = wanted[l];
  }
  if (largest == 0) return {};
  auto best = choose_levels<Codes, kMin, kMax>(b, unit.rounded_up(largest / kMin), wanted);
  for (const float factor : stretch) {
    const auto choice = choose_levels<Codes, kMin, kMax>(b, unit.rounded(largest / kMin * factor), wanted);
    if (choice.gain > best.gain) best = choice;
  }
  if (!(best.gain > 0)) return {};
  refit_d<Codes>(b, unit, best);
  for (int round = 0; round < 2; ++round) {
    move_levels<Codes, kMin, kMax, kReach>(b, best);
    refit_d<Codes>(b, unit, best);
  }
  return best;
}

// Encodes a row of super-blocks of kLanes sub-blocks of kElems values, kBytes each: levels kMin .. kMax per sub-block, tried with steps of
// kReach. `pack(d_bits, levels, codes, block)` writes one super-block; levels is int8_t[kLanes], codes uint8_t[kElems * kLanes].
template <class Codes, size_t kElems, size_t kLanes, int kMin, int kMax, int kReach, size_t kBytes, size_t kTries, class Pack>
void encode_leveled_row(Row row, const RowContext& context, const float (&stretch)[kTries], std::byte* out, Pack pack) {
  constexpr size_t kBlock = kElems * kLanes;
  const RowWeights row_weights(context);
  LaneBlocks<kElems, kLanes> lanes;
  LaneFloats<kLanes> scales;
  float x[kBlock], w[kBlock];
  uint8_t codes[kBlock];
  int8_t levels[kLanes];
  for (size_t first = 0; first < row.size(); first += kBlock, out += kBytes) {
    const BlockUnit unit = load_block(&row[first], kBlock, x);
    row_weights.load(first, kBlock, x, w);
    for (size_t j = 0; j < kLanes; ++j) lanes.set_lane(j, x + kElems * j, w + kElems * j);
    LevelChoice<kLanes> choice;
    if (!unit.zero) {
      find_scales<Codes>(lanes, scales);
      choice = search_levels<Codes, kMin, kMax, kReach>(lanes, unit, scales, stretch);
    }
    for (size_t j = 0; j < kLanes; ++j) {
      levels[j] = static_cast<int8_t>(choice.level[j]);
      scales[j] = choice.d * choice.level[j];
    }
    write_codes<Codes>(lanes, scales, codes);
    pack(unit.scale_bits(choice.d), levels, codes, out);
  }
}

// Codes kMin .. kMax in steps of 1, stored as code - kMin.
template <int kMin, int kMax>
struct UniformCodes {
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V nearest(D d, V v) {
    return hn::Round(hn::Min(hn::Max(v, hn::Set(d, static_cast<float>(kMin))), hn::Set(d, static_cast<float>(kMax))));
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V index(D d, V q) {
    return hn::Sub(q, hn::Set(d, static_cast<float>(kMin)));
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
