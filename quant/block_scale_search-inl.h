// The encoder of types with one f16 scale per block of 32 codes (Q4_0, Q5_0, IQ4_NL): 16 blocks of a row at a time, a lane is a
// block. Compiled once per SIMD target. The scan (scale_search-inl.h) finds the scale that fits best; it is rounded to f16, codes
// are chosen again, and what these codes want is tried in turn.
// `Type`: Codes, kBytes, kTuning[effort], pack(d_bits, codes, block) with uint8_t codes[32].
#if defined(GGUFMILL_QUANT_BLOCK_SCALE_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_BLOCK_SCALE_SEARCH_INL
#undef GGUFMILL_QUANT_BLOCK_SCALE_SEARCH_INL
#else
#define GGUFMILL_QUANT_BLOCK_SCALE_SEARCH_INL
#endif

#include "quant/codec_functions.h"
#include "quant/level_tuning.h"
#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

template <class Type>
struct ScaledBlocks {
  static constexpr size_t kElems = 32;
  static constexpr size_t kLanes = 16;
  using Tag = hn::CappedTag<float, kLanes>;
  using V = hn::Vec<Tag>;

  LaneBlocks<kElems, kLanes> lanes;
  LaneSteps<kLanes> lattice;
  BlockUnit unit[kLanes];
  LaneFloats<kLanes> up, down, scale;
  float x[kLanes * kElems], w[kLanes * kElems];

  void load(Row row, size_t column, const RowWeights& weights, const RowContext& context) {
    lattice.count = 0;
    for (size_t l = 0; l < kLanes; ++l) {
      float* const values = x + l * kElems;
      const size_t first = column + l * kElems;
      unit[l] = first < row.size() ? load_block(&row[first], kElems, values) : BlockUnit();
      if (first < row.size()) weights.load(first, kElems, values, w + l * kElems);
      if (unit[l].zero) {  // of a lane beyond the row too
        std::fill_n(values, kElems, 0.0f);
        std::fill_n(w + l * kElems, kElems, 1.0f);
      }
      up[l] = unit[l].up;
      down[l] = unit[l].down;
      lattice.set_lane(context.lattice, l, first, kElems, unit[l]);
    }
    lanes.set_all(x, w);
  }

  // The best scale found per lane, as f16 holds it; 0 where none gains.
  void search(const BlockTuning& tuning, const Scan& scan) {
    CodeSets<kLanes> sets;
    scan_scales<typename Type::Codes>(lanes, lattice, scan, sets);
    const Tag d;
    for (size_t first = 0; first < kLanes; first += hn::Lanes(d)) {
      V wanted[2], gain[2];
      for (size_t set = 0; set < 2; ++set) {
        const V xq = hn::Load(d, sets.xq[set].lane + first);
        wanted[set] = hn::Mul(xq, inverse_or_zero(d, hn::Load(d, sets.qq[set].lane + first)));
        gain[set] = hn::Mul(xq, wanted[set]);
      }
      const V better = hn::IfThenElse(hn::Gt(gain[1], gain[0]), wanted[1], wanted[0]);
      hn::Store(settled(first, better, tuning.rounds), d, scale.lane + first);
    }
  }

 private:
  V settled(size_t first, V wanted, int rounds) const {
    const Tag d;
    V best = hn::Zero(d), best_gain = hn::Zero(d);
    for (int round = 0; round < rounds; ++round) {
      const V tried = rounded_scale(d, wanted, hn::Load(d, up.lane + first), hn::Load(d, down.lane + first));
      const V inverse[1] = {inverse_or_zero(d, tried)};
      V xq[1], qq[1];
      code_sums<typename Type::Codes>(lanes, first, d, inverse, xq, qq);
      const V gain = gain_at(tried, xq[0], qq[0]);
      const auto better = hn::Gt(gain, best_gain);
      best = hn::IfThenElse(better, tried, best);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      wanted = hn::Mul(xq[0], inverse_or_zero(d, qq[0]));
    }
    return best;
  }
};

template <class Type>
void encode_scaled_row(Row row, const RowContext& context, std::byte* out) {
  using Blocks = ScaledBlocks<Type>;
  const RowWeights weights(context);
  const BlockTuning tuning = Type::kTuning[static_cast<size_t>(context.effort)];
  const Scan scan = Scan::of<typename Type::Codes>(tuning, weights);
  Blocks blocks;
  uint8_t codes[Blocks::kElems];
  for (size_t column = 0; column < row.size(); column += Blocks::kLanes * Blocks::kElems) {
    blocks.load(row, column, weights, context);
    blocks.search(tuning, scan);
    for (size_t l = 0; l < Blocks::kLanes && column + l * Blocks::kElems < row.size(); ++l, out += Type::kBytes) {
      const float scale = blocks.scale[l];
      write_codes<typename Type::Codes, Blocks::kElems>(blocks.x + l * Blocks::kElems, scalar_inverse_or_zero(scale), codes);
      Type::pack(blocks.unit[l].scale_bits(scale), codes, out);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
