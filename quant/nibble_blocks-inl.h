// The encoder of types with one f16 scale and 32 codes of 4 bits per block (Q4_0, IQ4_NL): 16 blocks of a row at a time.
//   byte 0   d  f16      scale, of either sign
//        2   q  16 x u8  byte m: low nibble = value m, high nibble = value m + 16
#if defined(GGUFMILL_QUANT_NIBBLE_BLOCKS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef GGUFMILL_QUANT_NIBBLE_BLOCKS_INL
#undef GGUFMILL_QUANT_NIBBLE_BLOCKS_INL
#else
#define GGUFMILL_QUANT_NIBBLE_BLOCKS_INL
#endif

#include <algorithm>

#include "quant/codec_functions.h"
#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ggufmill {
namespace HWY_NAMESPACE {

template <class Codes>
void encode_nibble_blocks(Row row, const RowContext& context, std::byte* out) {
  constexpr size_t kElems = 32;
  constexpr size_t kBytes = 18;
  constexpr size_t kLanes = 16;
  const RowWeights row_weights(context);
  LaneBlocks<kElems, kLanes> lanes;
  LaneFloats<kLanes> scales;
  BlockUnit units[kLanes];
  float x[kElems], w[kElems];
  uint8_t codes[kElems * kLanes];
  for (size_t first = 0; first < row.size(); first += kElems * kLanes) {
    const size_t blocks = std::min(kLanes, (row.size() - first) / kElems);
    for (size_t l = 0; l < kLanes; ++l) {
      const size_t start = first + kElems * l;
      units[l] = l < blocks ? load_block(&row[start], kElems, x) : BlockUnit();
      if (units[l].zero) std::fill_n(x, kElems, 0.0f);  // of a lane beyond the row too
      if (l < blocks) row_weights.load(start, kElems, x, w);
      lanes.set_lane(l, x, w);
    }
    find_scales<Codes>(lanes, scales);
    settle_scales<Codes>(lanes, units, scales);
    write_codes<Codes>(lanes, scales, codes);
    for (size_t l = 0; l < blocks; ++l, out += kBytes) {
      const uint8_t* code = codes + kElems * l;
      store_u16(out, units[l].scale_bits(scales[l]));
      for (size_t m = 0; m < 16; ++m) out[2 + m] = static_cast<std::byte>(code[m] | code[m + 16] << 4);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ggufmill
HWY_AFTER_NAMESPACE();

#endif  // per target
