#include "quant/codecs.h"

#include <algorithm>
#include <array>

#include "quant/codec_functions.h"

namespace ggufmill {
namespace {

constexpr Objective kPlain = Objective::kImportance;
constexpr Objective kTimesMagnitude = Objective::kImportanceTimesMagnitude;

// clang-format off
constexpr std::array kCodecs = std::to_array<Codec>({
    // type            decode          encode          importance  lossless   stands in  objective        typical error
    {GgmlType::F32,     decode_f32,     encode_f32,     false,      true,      false,     kPlain,          0},
    {GgmlType::F16,     decode_f16,     encode_f16,     false,      true,      false,     kPlain,          0},
    {GgmlType::Q4_0,    decode_q4_0,    encode_q4_0,    true,       false,     true,      kPlain,          0.1117f},
    {GgmlType::Q8_0,    decode_q8_0,    encode_q8_0,    false,      false,     true,      kPlain,          0.0073f},
    {GgmlType::Q3_K,    decode_q3_k,    encode_q3_k,    true,       false,     false,     kTimesMagnitude, 0.1758f},
    {GgmlType::Q4_K,    decode_q4_k,    encode_q4_k,    true,       false,     false,     kPlain,          0.0849f},
    {GgmlType::Q5_K,    decode_q5_k,    encode_q5_k,    true,       false,     false,     kPlain,          0.0417f},
    {GgmlType::Q6_K,    decode_q6_k,    encode_q6_k,    true,       false,     false,     kPlain,          0.0216f},
    {GgmlType::IQ2_XXS, decode_iq2_xxs, encode_iq2_xxs, true,       false,     false,     kTimesMagnitude, 0.3735f},
    {GgmlType::IQ2_XS,  decode_iq2_xs,  encode_iq2_xs,  true,       false,     false,     kTimesMagnitude, 0.3169f},
    {GgmlType::IQ3_XXS, decode_iq3_xxs, encode_iq3_xxs, true,       false,     false,     kTimesMagnitude, 0.1966f},
    {GgmlType::IQ1_S,   decode_iq1_s,   encode_iq1_s,   true,       false,     false,     kPlain,          0.5156f},
    {GgmlType::IQ4_NL,  decode_iq4_nl,  encode_iq4_nl,  true,       false,     true,      kPlain,          0.0903f},
    {GgmlType::IQ3_S,   decode_iq3_s,   encode_iq3_s,   true,       false,     false,     kTimesMagnitude, 0.1539f},
    {GgmlType::IQ2_S,   decode_iq2_s,   encode_iq2_s,   true,       false,     false,     kTimesMagnitude, 0.2937f},
    {GgmlType::IQ4_XS,  decode_iq4_xs,  encode_iq4_xs,  true,       false,     false,     kPlain,          0.0910f},
    {GgmlType::IQ1_M,   decode_iq1_m,   encode_iq1_m,   true,       false,     false,     kPlain,          0.4533f},
    {GgmlType::BF16,    decode_bf16,    encode_bf16,    false,      true,      false,     kPlain,          0},
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
