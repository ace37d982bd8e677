#include "quant/codecs.h"

#include <algorithm>
#include <array>

#include "quant/codec_functions.h"

namespace ggufmill {
namespace {

// clang-format off
constexpr std::array kCodecs = std::to_array<Codec>({
    //                                                       importance  lossless container
    {GgmlType::F32,     decode_f32,     encode_f32,          false,      true},
    {GgmlType::F16,     decode_f16,     encode_f16,          false,      true},
    {GgmlType::Q4_0,    decode_q4_0,    encode_q4_0,         true,       false},
    {GgmlType::Q8_0,    decode_q8_0,    encode_q8_0,         false,      false},
    {GgmlType::Q3_K,    decode_q3_k,    encode_q3_k,         true,       false},
    {GgmlType::Q4_K,    decode_q4_k,    encode_q4_k,         true,       false},
    {GgmlType::Q5_K,    decode_q5_k,    encode_q5_k,         true,       false},
    {GgmlType::Q6_K,    decode_q6_k,    encode_q6_k,         true,       false},
    {GgmlType::IQ2_XXS, decode_iq2_xxs, encode_iq2_xxs,      true,       false},
    {GgmlType::IQ2_XS,  decode_iq2_xs,  encode_iq2_xs,       true,       false},
    {GgmlType::IQ3_XXS, decode_iq3_xxs, encode_iq3_xxs,      true,       false},
    {GgmlType::IQ1_S,   decode_iq1_s,   encode_iq1_s,        true,       false},
    {GgmlType::IQ4_NL,  decode_iq4_nl,  encode_iq4_nl,       true,       false},
    {GgmlType::IQ3_S,   decode_iq3_s,   encode_iq3_s,        true,       false},
    {GgmlType::IQ2_S,   decode_iq2_s,   encode_iq2_s,        true,       false},
    {GgmlType::IQ4_XS,  decode_iq4_xs,  encode_iq4_xs,       true,       false},
    {GgmlType::IQ1_M,   decode_iq1_m,   encode_iq1_m,        true,       false},
    {GgmlType::BF16,    decode_bf16,    encode_bf16,         false,      true},
});
// clang-format on

static_assert(std::ranges::is_sorted(kCodecs, {}, &Codec::type), "rows stand in the order of their ids");

}  // namespace

std::span<const Codec> codecs() { return kCodecs; }

const Codec* find_codec(GgmlType type) {
  const auto row = std::ranges::find(kCodecs, type, &Codec::type);
  return row == kCodecs.end() ? nullptr : &*row;
}

}  // namespace ggufmill
