// Q4_1 and Q5_1: x = d*q + m; blocks of 32.
// Q4_1: 5 bits per weight.
//   byte 0   d  f16      scale
//        2   m  f16      what code 0 stands for, of either sign
//        4   q  16 x u8  byte i: low nibble = value i, high nibble = value i + 16
// Q5_1: 6 bits per weight.
//   byte 0   d, m        as in Q4_1
//        4   high  u32   little-endian; bit i: bit 4 of the code of value i
//        8   q  16 x u8  low 4 bits, as in Q4_1
// Codes are 0 .. 15 and 0 .. 31. Format: ggml-common.h, llama.cpp b10573.
// Encoding: (d, m) per block, 16 blocks at a time (min_search-inl.h): least squares from several starts, then pairs of f16 around
// that, weighted by importance (row_weights.h). d is not negative. NaN, infinity and range: finite_block.h. A block of zeros is
// all zero bytes.
#include <cmath>
#include <cstring>
#include <limits>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q4_1_q5_1.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/finite_block-inl.h"
#include "quant/min_search-inl.h"
#include "quant/row_weights-inl.h"

#ifndef GGUFMILL_QUANT_Q4_1_Q5_1_ONCE
#define GGUFMILL_QUANT_Q4_1_Q5_1_ONCE
namespace ggufmill {
namespace {

constexpr size_t kPairElems = 32;

struct Q41 {
  static constexpr size_t kElems = 32, kBytes = 20, kLowAt = 4;
  static constexpr int kMaxCode = 15;
  static constexpr bool kFreeMin = true, kHasHigh = false;
};
struct Q51 {
  static constexpr size_t kElems = 32, kBytes = 24, kLowAt = 8, kHighAt = 4;
  static constexpr int kMaxCode = 31;
  static constexpr bool kFreeMin = true, kHasHigh = true;
};

template <class Type>
void pack_pair_codes(const uint8_t* codes, std::byte* block) {
  for (size_t i = 0; i < 16; ++i) {
    block[Type::kLowAt + i] = static_cast<std::byte>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
  }
  if constexpr (Type::kHasHigh) {
    uint32_t high = 0;
    for (size_t i = 0; i < kPairElems; ++i) high |= static_cast<uint32_t>(codes[i] >> 4) << i;
    store_u16(block + Type::kHighAt, static_cast<uint16_t>(high));
    store_u16(block + Type::kHighAt + 2, static_cast<uint16_t>(high >> 16));
  }
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

// kScaleStep: between scales tried, relative; kMinStep: between mins, of the scale. Both halve from round to round.
struct Q41Searches {
  static constexpr float kScaleStep = 0.012f, kMinStep = 0.15f;
  struct Fast {
    static constexpr MinStart kStarts[] = {{13.9f, 0}, {14.5f, 0}, {15.0f, 0}, {15.4f, 0}, {16.0f, 0}, {16.8f, 0}};
    static constexpr int kScaleReach = 4, kMinReach = 1, kRounds = 2;
  };
  struct Default {
    static constexpr MinStart kStarts[] = {{13.6f, 0}, {14.3f, 0}, {14.8f, 0}, {15.2f, 0}, {15.6f, 0}, {16.2f, 0}, {17.0f, 0}};
    static constexpr int kScaleReach = 4, kMinReach = 2, kRounds = 2;
  };
  struct Max {
    static constexpr MinStart kStarts[] = {{13.6f, 0}, {14.0f, 0}, {14.3f, 0}, {14.6f, 0}, {14.8f, 0}, {15.0f, 0},
                                           {15.2f, 0}, {15.5f, 0}, {15.8f, 0}, {16.2f, 0}, {16.6f, 0}, {17.0f, 0}};
    static constexpr int kScaleReach = 8, kMinReach = 4, kRounds = 4;
  };
};
struct Q51Searches {
  static constexpr float kScaleStep = 0.006f, kMinStep = 0.15f;
  struct Fast {
    static constexpr MinStart kStarts[] = {{29.5f, 0}, {30.4f, 0}, {31.0f, 0}, {31.6f, 0}, {32.4f, 0}, {33.2f, 0}};
    static constexpr int kScaleReach = 4, kMinReach = 1, kRounds = 2;
  };
  struct Default {
    static constexpr MinStart kStarts[] = {{29.5f, 0}, {30.4f, 0}, {31.0f, 0}, {31.6f, 0}, {32.2f, 0}, {32.8f, 0}, {33.6f, 0}};
    static constexpr int kScaleReach = 4, kMinReach = 2, kRounds = 2;
  };
  struct Max {
    static constexpr MinStart kStarts[] = {{29.5f, 0}, {30.0f, 0}, {30.4f, 0}, {30.7f, 0}, {31.0f, 0}, {31.3f, 0},
                                           {31.6f, 0}, {32.0f, 0}, {32.4f, 0}, {32.8f, 0}, {33.2f, 0}, {33.6f, 0}};
    static constexpr int kScaleReach = 8, kMinReach = 4, kRounds = 4;
  };
};

// 16 blocks. Lanes hold x - low: what the values have in common does not blur sums.
struct PairLanes {
  MinBlocks<kPairElems> blocks;
  BlockUnit units[kMinLanes];
  MinFloats up, down, low;
};

struct PairChoice {
  MinFloats scale, min;  // rounded; a value is scale * code + min in the search's unit
};

// Step 3 for f16 of the block: around what is best for the present codes.
template <class Type, class Searches, class Search>
void scan_pairs(const PairLanes& lanes, const MinFloats& scales, const CodeSums& sums, PairChoice& choice) {
  constexpr size_t kMins = 2 * Search::kMinReach + 1;
  const MinTag d;
  for (size_t first = 0; first < kMinLanes; first += hn::Lanes(d)) {
    const MinVec up = hn::Load(d, lanes.up.lane + first), down = hn::Load(d, lanes.down.lane + first);
    const MinVec low = hn::Load(d, lanes.low.lane + first), smallest = hn::Mul(hn::Set(d, kF16Tiny), down);
    const MinVec sum_w = hn::Load(d, sums.w.lane + first), sum_x = hn::Load(d, sums.x.lane + first);
    const MinVec over_w = hn::Div(hn::Set(d, 1.0f), sum_w);
    MinVec scale = hn::Load(d, scales.lane + first), q = hn::Load(d, sums.q.lane + first);
    MinVec best = hn::Zero(d), best_min = best, best_error = hn::Set(d, std::numeric_limits<float>::infinity());
    MinVec stored[kMins], tried[kMins], errors[kMins];
    float fine = 1;
    for (int round = 0; round < Search::kRounds; ++round, fine *= 0.5f) {
      for (int i = -Search::kScaleReach; i <= Search::kScaleReach; ++i) {
        const MinVec wide = hn::Mul(scale, hn::Set(d, 1 + static_cast<float>(i) * fine * Searches::kScaleStep));
        const MinVec s = hn::IfThenElseZero(hn::Gt(scale, hn::Zero(d)), hn::Max(rounded_to_f16(d, wide, up, down), smallest));
        const MinVec middle = hn::Mul(hn::Sub(sum_x, hn::Mul(s, q)), over_w);
        for (int k = -Search::kMinReach; k <= Search::kMinReach; ++k) {
          const MinVec moved = hn::Add(middle, hn::Mul(s, hn::Set(d, static_cast<float>(k) * fine * Searches::kMinStep)));
          stored[k + Search::kMinReach] = rounded_to_f16(d, hn::Add(moved, low), up, down);
          tried[k + Search::kMinReach] = hn::Sub(low, stored[k + Search::kMinReach]);
        }
        exact_errors<Type>(lanes.blocks, first, s, tried, errors);
        for (size_t k = 0; k < kMins; ++k) {
          const auto better = hn::Lt(errors[k], best_error);
          best_error = hn::IfThenElse(better, errors[k], best_error);
          best = hn::IfThenElse(better, s, best);
          best_min = hn::IfThenElse(better, stored[k], best_min);
        }
      }
      if (round + 1 == Search::kRounds) break;
      const LaneFit fit =
          fit_codes<Type>(lanes.blocks, first, inverse_or_zero(MinTag(), best), hn::Sub(best_min, low), sum_w, sum_x);
      scale = hn::IfThenElse(hn::Gt(fit.scale, hn::Zero(d)), fit.scale, best);
      q = fit.q;
    }
    hn::Store(best, d, &choice.scale[first]);
    hn::Store(best_min, d, &choice.min[first]);
  }
}

// Blocks from column `first` on; lanes beyond the row are zero.
void load_pair_lanes(Row row, size_t first, const RowWeights& row_weights, const SourceLattice& lattice, PairLanes& lanes) {
  HWY_ALIGN float x[kPairElems];
  HWY_ALIGN float w[kPairElems];
  for (size_t l = 0; l < kMinLanes; ++l) {
    const size_t start = first + kPairElems * l;
    BlockUnit unit;
    if (start < row.size()) unit = load_finite_block<kPairElems>(&row[start], x);
    lanes.units[l] = unit;
    lanes.up[l] = unit.up;
    lanes.down[l] = unit.down;
    lanes.low[l] = 0;
    lanes.blocks.set_zero(l);
    if (unit.zero) continue;
    load_weights<kPairElems>(row_weights, start, x, w);
    const float low = *std::min_element(x, x + kPairElems);
    for (float& v : x) v -= low;
    lanes.low[l] = low;
    lanes.blocks.set_lane(l, x, w);
    if (lattice.group_elems != 0) lanes.blocks.step[l] = std::fabs(lattice.steps[start / lattice.group_elems]) * unit.down;
  }
}

template <class Type, class Searches, class Search>
void encode_pair_row(Row row, const RowContext& context, std::byte* out) {
  const RowWeights row_weights(context);
  PairLanes lanes;
  MinFloats scales, mins, negative;
  CodeSums sums;
  PairChoice choice;
  uint8_t codes[kMinLanes * kPairElems];
  for (size_t first = 0; first < row.size(); first += kMinLanes * kPairElems) {
    load_pair_lanes(row, first, row_weights, context.lattice, lanes);
    fit_lanes<Type>(lanes.blocks, Search::kStarts, context.lattice.group_elems != 0, scales, mins, sums);
    scan_pairs<Type, Searches, Search>(lanes, scales, sums, choice);
    for (size_t l = 0; l < kMinLanes; ++l) negative[l] = lanes.low[l] - choice.min[l];
    write_min_codes<Type>(lanes.blocks, choice.scale, negative, codes);
    for (size_t l = 0; l < kMinLanes && first + l * kPairElems < row.size(); ++l, out += Type::kBytes) {
      const BlockUnit& unit = lanes.units[l];
      if (unit.zero) {
        std::memset(out, 0, Type::kBytes);
        continue;
      }
      store_u16(out, unit.scale_bits(choice.scale[l]));
      store_u16(out + 2, unit.scale_bits(choice.min[l]));
      pack_pair_codes<Type>(codes + l * kPairElems, out);
    }
  }
}

template <class Type, class Searches>
void encode_pairs(Row row, const RowContext& context, std::byte* out) {
  switch (context.effort) {
    case Effort::kFast:
      return encode_pair_row<Type, Searches, typename Searches::Fast>(row, context, out);
    case Effort::kDefault:
      return encode_pair_row<Type, Searches, typename Searches::Default>(row, context, out);
    case Effort::kMax:
      return encode_pair_row<Type, Searches, typename Searches::Max>(row, context, out);
  }
}
void encode_q4_1_row(Row row, const RowContext& context, std::byte* out) { encode_pairs<Q41, Q41Searches>(row, context, out); }
void encode_q5_1_row(Row row, const RowContext& context, std::byte* out) { encode_pairs<Q51, Q51Searches>(row, context, out); }

template <class Type>
void decode_pairs(const std::byte* block, size_t blocks, float* y) {
  const hn::CappedTag<float, 16> f32;
  const hn::RebindToSigned<decltype(f32)> i32;
  const hn::RebindToUnsigned<decltype(f32)> u32;
  const hn::Rebind<uint8_t, decltype(f32)> u8;
  for (size_t b = 0; b < blocks; ++b, block += Type::kBytes, y += kPairElems) {
    const auto d = hn::Set(f32, load_f16(block)), min = hn::Set(f32, load_f16(block + 2));
    const auto* low = reinterpret_cast<const uint8_t*>(block + Type::kLowAt);
    for (size_t m = 0; m < 16; m += hn::Lanes(f32)) {
      const auto both = hn::PromoteTo(i32, hn::LoadU(u8, low + m));
      auto first = hn::And(both, hn::Set(i32, 15)), second = hn::ShiftRight<4>(both);
      if constexpr (Type::kHasHigh) {
        const uint32_t high = load_u16(block + Type::kHighAt) | static_cast<uint32_t>(load_u16(block + Type::kHighAt + 2)) << 16;
        const auto place = hn::Iota(u32, static_cast<uint32_t>(m));
        const auto bit = hn::Shl(hn::Set(u32, 1), place), bits = hn::Set(u32, high);
        const auto second_bits = hn::ShiftRight<16>(bits), none = hn::Zero(u32);
        const auto fifth = hn::Set(u32, 16);
        first = hn::Or(first, hn::BitCast(i32, hn::IfThenElse(hn::Eq(hn::And(bits, bit), none), none, fifth)));
        second = hn::Or(second, hn::BitCast(i32, hn::IfThenElse(hn::Eq(hn::And(second_bits, bit), none), none, fifth)));
      }
      hn::StoreU(hn::Add(hn::Mul(hn::ConvertTo(f32, first), d), min), f32, y + m);
      hn::StoreU(hn::Add(hn::Mul(hn::ConvertTo(f32, second), d), min), f32, y + m + 16);
    }
  }
}
void decode_q4_1_blocks(const std::byte* in, size_t blocks, float* out) { decode_pairs<Q41>(in, blocks, out); }
void decode_q5_1_blocks(const std::byte* in, size_t blocks, float* out) { decode_pairs<Q51>(in, blocks, out); }

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {
HWY_EXPORT(encode_q4_1_row);
HWY_EXPORT(encode_q5_1_row);
HWY_EXPORT(decode_q4_1_blocks);
HWY_EXPORT(decode_q5_1_blocks);
}  // namespace

void decode_q4_1(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q4_1_blocks)(blocks.data(), values.size() / kPairElems, values.data());
}
void decode_q5_1(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q5_1_blocks)(blocks.data(), values.size() / kPairElems, values.data());
}
void encode_q4_1(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q4_1_row)(row, context, blocks.data());
}
void encode_q5_1(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q5_1_row)(row, context, blocks.data());
}

}  // namespace ggufmill
#endif  // HWY_ONCE
