// Q8_0: 8.5 bits per weight. x = d*q; blocks of 32.
//   byte 0   d  f16      scale
//        2   q  32 x i8  codes, -127 .. 127
// Format and rounding: ggml-common.h and quantize_row_q8_0_ref of ggml-quants.c, llama.cpp b10573.
// Effort::kFast is ggml's bytes: d = amax/127, q = x * (1/d) rounded half away from zero with the unrounded d; importance changes
// nothing. Otherwise d is searched among the f16 values above amax/127 (candidate_scales-inl.h), weighted by importance
// (row_weights.h): of 32 weights a few dominate the error, and some scale near the smallest one meets them.
// Where ggml's answer is undefined, ours: NaN counts as 0; infinity as the block's largest finite magnitude (65504 if there is
// none but zeros); a scale beyond f16 saturates at 65504 and codes at +-127; where 1/d overflows (amax below 127 * 2^-128) all
// codes are 0.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/f16.h"
#include "quant/finite_block.h"
#include "quant/row_weights.h"
#include "quant/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/q8_0.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "quant/candidate_scales-inl.h"
#include "quant/finite_block-inl.h"
#include "quant/row_weights-inl.h"

#ifndef GGUFMILL_QUANT_Q8_0_ONCE
#define GGUFMILL_QUANT_Q8_0_ONCE
namespace ggufmill {
namespace {

constexpr size_t kQ8Elems = 32;
constexpr size_t kQ8Bytes = 34;
// Blocks whose amax lies in this range need none of the special answers.
constexpr float kQ8SmallestPlain = 0x1p-100f;
constexpr float kQ8LargestPlain = 127 * 65000.0f;

void encode_q8_0_block(const float* values, std::byte* block) {
  float x[kQ8Elems];
  const float amax = copy_finite(values, kQ8Elems, x);
  float d = amax / 127.0f;
  float inverse = d > 0 ? 1.0f / d : 0.0f;
  if (!std::isfinite(inverse)) inverse = 0;
  if (d > kF16Max) {
    d = kF16Max;
    inverse = 1.0f / d;
  }
  store_u16(block, f32_to_f16(d));
  for (size_t i = 0; i < kQ8Elems; ++i) {
    const float code = std::clamp(std::round(x[i] * inverse), -127.0f, 127.0f);
    block[2 + i] = static_cast<std::byte>(static_cast<int8_t>(code));
  }
}

}  // namespace
}  // namespace ggufmill
#endif

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 8 lanes: 32 values are then a whole number of vectors, and their codes whole vectors of bytes, on every target.
using Q8F32 = hn::CappedTag<float, 8>;
using Q8I32 = hn::Rebind<int32_t, Q8F32>;
using Q8I8 = hn::Rebind<int8_t, Q8F32>;

// Half away from zero: the fraction that truncation drops is exact.
HWY_INLINE hn::Vec<Q8F32> round_half_away(hn::Vec<Q8F32> v) {
  const Q8F32 f32;
  const auto whole = hn::Trunc(v);
  const auto fraction = hn::Abs(hn::Sub(v, whole));
  const auto step = hn::CopySignToAbs(hn::Set(f32, 1.0f), v);
  return hn::Add(whole, hn::IfThenElseZero(hn::Ge(fraction, hn::Set(f32, 0.5f)), step));
}

void encode_q8_0_blocks(const float* x, size_t blocks, std::byte* out) {
  const Q8F32 f32;
  const Q8I32 i32;
  for (size_t b = 0; b < blocks; ++b, x += kQ8Elems, out += kQ8Bytes) {
    const float amax = largest_magnitude<kQ8Elems>(x);
    if (!(amax >= kQ8SmallestPlain && amax <= kQ8LargestPlain)) {
      encode_q8_0_block(x, out);
      continue;
    }
    const float d = amax / 127.0f;
    const auto inverse = hn::Set(f32, 1.0f / d);
    store_u16(out, f32_to_f16(d));
    for (size_t i = 0; i < kQ8Elems; i += hn::Lanes(f32)) {
      const auto code = round_half_away(hn::Mul(hn::LoadU(f32, x + i), inverse));
      hn::StoreU(hn::DemoteTo(Q8I8(), hn::ConvertTo(i32, code)), Q8I8(), reinterpret_cast<int8_t*>(out + 2 + i));
    }
  }
}

struct Q8Codes {
  // Adding 1.5 * 2^23 leaves no bits for a fraction; |v| is at most 128.
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE V nearest(D d, V v) {
    const V whole = hn::Set(d, 0x1.8p23f);
    return hn::Sub(hn::Add(v, whole), whole);
  }
};

// How the f16 values above the smallest usable one are searched: kTries of them, kStride apart, then all around the best.
struct Q8Default {
  static constexpr size_t kTries = 16, kAround = 16;
  static constexpr int kStride = 12;
};
struct Q8Max {
  static constexpr size_t kTries = 256, kAround = 32;
  static constexpr int kStride = 1;
};
constexpr size_t kQ8LatticeTries = 16;  // kQ8LatticeTries / 2 scales for each of a block's first two steps

// What `bits` + k * stride stand for in the search's unit. f16 values that follow each other have bits that do.
template <size_t kTries>
HWY_INLINE void f16_candidates(int bits, int stride, float down, Candidates<kTries>& tried) {
  const hn::CappedTag<float, kTries> f32;
  const hn::RebindToSigned<decltype(f32)> i32;
  for (size_t i = 0; i < kTries; i += hn::Lanes(f32)) {
    const auto k = hn::Iota(i32, static_cast<int32_t>(i));
    const auto half = hn::Min(hn::Add(hn::Set(i32, bits), hn::Mul(k, hn::Set(i32, stride))), hn::Set(i32, 0x7BFF));
    const auto normal = hn::BitCast(f32, hn::Add(hn::ShiftLeft<13>(half), hn::Set(i32, 112 << 23)));
    const auto denormal = hn::Mul(hn::ConvertTo(f32, half), hn::Set(f32, kF16Tiny));
    const auto is_denormal = hn::RebindMask(f32, hn::Lt(half, hn::Set(i32, 0x400)));
    hn::Store(hn::Mul(hn::IfThenElse(is_denormal, denormal, normal), hn::Set(f32, down)), f32, tried.scale + i);
  }
}

// The best scale of a block, in the search's unit.
class Q8Search {
 public:
  Q8Search(const float* x, const float* w, const BlockUnit& unit) : x_(x), w_(w), unit_(unit) {
    const float smallest = largest_magnitude<kQ8Elems>(x) / kLargestRatio;
    lowest_ = unit.scale_bits(unit.rounded_up(smallest));
  }

  template <class Search>
  void scan() {
    // Among denormals every value is far from the next.
    const int stride = lowest_ < 0x800 ? 1 : Search::kStride;
    try_from<Search::kTries>(lowest_, stride);
    if (Search::kStride > 1) try_from<Search::kAround>(std::max(lowest_, best_bits() - static_cast<int>(Search::kAround / 2)), 1);
  }

  // Scales step / k near the smallest usable one, for the steps under columns [first, first + 32).
  void scan_lattice(const SourceLattice& lattice, size_t first) {
    if (lattice.group_elems == 0) return;
    Candidates<kQ8LatticeTries> tried = {};
    const size_t group = first / lattice.group_elems, last = (first + kQ8Elems - 1) / lattice.group_elems;
    for (size_t i = 0; i < kQ8LatticeTries; ++i) {
      const float step = std::fabs(lattice.steps[i % 2 == 0 ? group : last]) * unit_.down;
      const float most = std::floor(step / unit_.scale_value(static_cast<uint16_t>(lowest_)));
      const float k = most - static_cast<float>(i / 2);
      if (k >= 1 && k <= 4096) tried.scale[i] = unit_.rounded(step / k);
    }
    take_best(tried);
  }

  float scale() const { return scale_; }

 private:
  // Codes of up to 127.49 round to 127.
  static constexpr float kLargestRatio = 127.49f;

  int best_bits() const { return unit_.scale_bits(scale_); }

  template <size_t kTries>
  void try_from(int bits, int stride) {
    Candidates<kTries> tried;
    f16_candidates(bits, stride, unit_.down, tried);
    take_best(tried);
  }

  template <size_t kTries>
  void take_best(Candidates<kTries>& tried) {
    score_candidates<Q8Codes, kQ8Elems>(x_, w_, tried);
    const size_t best = best_candidate(tried);
    if (!(tried.error[best] < error_)) return;
    error_ = tried.error[best];
    scale_ = tried.scale[best];
  }

  const float* x_;
  const float* w_;
  const BlockUnit& unit_;
  int lowest_;
  float scale_ = 0;
  float error_ = std::numeric_limits<float>::infinity();
};

template <class Search>
void encode_q8_0_searched(Row row, const RowContext& context, std::byte* out) {
  const Q8F32 f32;
  const Q8I32 i32;
  const RowWeights row_weights(context);
  HWY_ALIGN float x[kQ8Elems];
  HWY_ALIGN float w[kQ8Elems];
  for (size_t first = 0; first < row.size(); first += kQ8Elems, out += kQ8Bytes) {
    const BlockUnit unit = load_finite_block<kQ8Elems>(&row[first], x);
    if (unit.zero) {
      std::memset(out, 0, kQ8Bytes);
      continue;
    }
    load_weights<kQ8Elems>(row_weights, first, x, w);
    Q8Search search(x, w, unit);
    search.template scan<Search>();
    search.scan_lattice(context.lattice, first);
    store_u16(out, unit.scale_bits(search.scale()));
    const auto inverse = hn::Set(f32, 1.0f / search.scale());
    const auto limit = hn::Set(f32, 127.0f);
    for (size_t i = 0; i < kQ8Elems; i += hn::Lanes(f32)) {
      const auto wanted = hn::Min(hn::Max(hn::Mul(hn::Load(f32, x + i), inverse), hn::Neg(limit)), limit);
      const auto code = Q8Codes::nearest(f32, wanted);
      hn::StoreU(hn::DemoteTo(Q8I8(), hn::ConvertTo(i32, code)), Q8I8(), reinterpret_cast<int8_t*>(out + 2 + i));
    }
  }
}
void encode_q8_0_default(Row row, const RowContext& context, std::byte* out) {
  encode_q8_0_searched<Q8Default>(row, context, out);
}
void encode_q8_0_max(Row row, const RowContext& context, std::byte* out) { encode_q8_0_searched<Q8Max>(row, context, out); }

void decode_q8_0_blocks(const std::byte* in, size_t blocks, float* out) {
  const Q8F32 f32;
  const Q8I32 i32;
  for (size_t b = 0; b < blocks; ++b, in += kQ8Bytes, out += kQ8Elems) {
    const auto d = hn::Set(f32, load_f16(in));
    for (size_t i = 0; i < kQ8Elems; i += hn::Lanes(f32)) {
      const auto code = hn::PromoteTo(i32, hn::LoadU(Q8I8(), reinterpret_cast<const int8_t*>(in + 2 + i)));
      hn::StoreU(hn::Mul(hn::ConvertTo(f32, code), d), f32, out + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ggufmill {
namespace {

HWY_EXPORT(encode_q8_0_blocks);
HWY_EXPORT(encode_q8_0_default);
HWY_EXPORT(encode_q8_0_max);
HWY_EXPORT(decode_q8_0_blocks);

}  // namespace

void decode_q8_0_scalar(Blocks blocks, std::span<float> values) noexcept {
  for (size_t i = 0; i < values.size(); ++i) {
    const std::byte* block = &blocks[i / kQ8Elems * kQ8Bytes];
    values[i] = static_cast<float>(static_cast<int8_t>(block[2 + i % kQ8Elems])) * load_f16(block);
  }
}

void encode_q8_0_scalar(Row row, BlocksOut blocks) noexcept {
  for (size_t b = 0; b < row.size() / kQ8Elems; ++b) encode_q8_0_block(&row[b * kQ8Elems], &blocks[b * kQ8Bytes]);
}

void decode_q8_0(Blocks blocks, std::span<float> values) noexcept {
  HWY_DYNAMIC_DISPATCH(decode_q8_0_blocks)(blocks.data(), values.size() / kQ8Elems, values.data());
}

void encode_q8_0(Row row, const RowContext& context, BlocksOut blocks) noexcept {
  switch (context.effort) {
    case Effort::kFast:
      return HWY_DYNAMIC_DISPATCH(encode_q8_0_blocks)(row.data(), row.size() / kQ8Elems, blocks.data());
    case Effort::kDefault:
      return HWY_DYNAMIC_DISPATCH(encode_q8_0_default)(row, context, blocks.data());
    case Effort::kMax:
      return HWY_DYNAMIC_DISPATCH(encode_q8_0_max)(row, context, blocks.data());
  }
}

}  // namespace ggufmill
#endif  // HWY_ONCE
