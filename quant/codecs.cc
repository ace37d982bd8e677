#include "quant/codecs.h"

#include <algorithm>
#include <array>

#include "quant/codec_functions.h"
#include "quant/repack.h"

namespace ggufmill {
namespace {

constexpr Objective kPlain = Objective::kImportance;
constexpr Objective kTimesMagnitude = Objective::kImportanceTimesMagnitude;

// clang-format off
constexpr std::array kCodecs = std::to_array<Codec>({
    // type               decode          encode          importance  lossless   scaled  stands in  objective        typical error
    {GgmlType::F32,       decode_f32,     encode_f32,     false,      true,      false,  false,     kPlain,          0},
    {GgmlType::F16,       decode_f16,     encode_f16,     false,      true,      false,  false,     kPlain,          0},
    {GgmlType::Q4_0,      decode_q4_0,    encode_q4_0,    true,       false,     false,  true,      kPlain,          0.1118f},
    {GgmlType::Q4_1,      decode_q4_1,    encode_q4_1,    true,       false,     false,  true,      kPlain,          0.0840f},
    {GgmlType::Q5_0,      decode_q5_0,    encode_q5_0,    true,       false,     false,  true,      kPlain,          0.0565f},
    {GgmlType::Q5_1,      decode_q5_1,    encode_q5_1,    true,       false,     false,  true,      kPlain,          0.0406f},
    {GgmlType::Q8_0,      decode_q8_0,    encode_q8_0,    true,       false,     false,  true,      kPlain,          0.00660f},
    {GgmlType::Q2_K,      decode_q2_k,    encode_q2_k,    true,       false,     false,  false,     kTimesMagnitude, 0.2883f},
    {GgmlType::Q3_K,      decode_q3_k,    encode_q3_k,    true,       false,     false,  false,     kTimesMagnitude, 0.1759f},
    {GgmlType::Q4_K,      decode_q4_k,    encode_q4_k,    true,       false,     false,  false,     kPlain,          0.0846f},
    {GgmlType::Q5_K,      decode_q5_k,    encode_q5_k,    true,       false,     false,  false,     kPlain,          0.0414f},
    {GgmlType::Q6_K,      decode_q6_k,    encode_q6_k,    true,       false,     false,  false,     kPlain,          0.0215f},
    {GgmlType::IQ2_XXS,   decode_iq2_xxs, encode_iq2_xxs, true,       false,     false,  false,     kTimesMagnitude, 0.3744f},
    {GgmlType::IQ2_XS,    decode_iq2_xs,  encode_iq2_xs,  true,       false,     false,  false,     kTimesMagnitude, 0.3176f},
    {GgmlType::IQ3_XXS,   decode_iq3_xxs, encode_iq3_xxs, true,       false,     false,  false,     kTimesMagnitude, 0.1960f},
    {GgmlType::IQ1_S,     decode_iq1_s,   encode_iq1_s,   true,       false,     false,  false,     kTimesMagnitude, 0.5167f},
    {GgmlType::IQ4_NL,    decode_iq4_nl,  encode_iq4_nl,  true,       false,     false,  true,      kPlain,          0.0903f},
    {GgmlType::IQ3_S,     decode_iq3_s,   encode_iq3_s,   true,       false,     false,  false,     kTimesMagnitude, 0.1531f},
    {GgmlType::IQ2_S,     decode_iq2_s,   encode_iq2_s,   true,       false,     false,  false,     kTimesMagnitude, 0.2938f},
    {GgmlType::IQ4_XS,    decode_iq4_xs,  encode_iq4_xs,  true,       false,     false,  false,     kPlain,          0.0909f},
    {GgmlType::IQ1_M,     decode_iq1_m,   encode_iq1_m,   true,       false,     false,  false,     kTimesMagnitude, 0.4545f},
    {GgmlType::BF16,      decode_bf16,    encode_bf16,    false,      true,      false,  false,     kPlain,          0},
    {GgmlType::TQ1_0,     decode_tq1_0,   encode_tq1_0,   true,       false,     false,  false,     kPlain,          0.5521f},
    {GgmlType::TQ2_0,     decode_tq2_0,   encode_tq2_0,   true,       false,     false,  false,     kPlain,          0.5521f},
    {GgmlType::MXFP4,     decode_mxfp4,   encode_mxfp4,   true,       false,     false,  true,      kPlain,          0.1281f, repack_mxfp4},
    {GgmlType::NVFP4,     decode_nvfp4,   encode_nvfp4,   true,       false,     true,   false,     kPlain,          0.0831f, repack_nvfp4},
    {GgmlType::Q1_0,      decode_q1_0,    encode_q1_0,    true,       false,     false,  false,     kPlain,          0.7124f},
    {GgmlType::Q2_0,      decode_q2_0,    encode_q2_0,    true,       false,     false,  false,     kPlain,          0.4219f},
});
// clang-format on

constexpr Codec kIds = {.type = GgmlType::I32,
                        .decode = decode_i32,
                        .encode = encode_i32,
                        .uses_importance = false,
                        .lossless_container = true,
                        .scaled = false,
                        .stands_in = false,
                        .objective = kPlain,
                        .typical_error = 0};

static_assert(std::ranges::is_sorted(kCodecs, {}, &Codec::type), "rows stand in the order of their ids");

}  // namespace

std::span<const Codec> codecs() { return kCodecs; }

const Codec* find_weight_codec(GgmlType type) {
  const auto row = std::ranges::find(kCodecs, type, &Codec::type);
  return row == kCodecs.end() ? nullptr : &*row;
}

const Codec* find_codec(GgmlType type) { return type == GgmlType::I32 ? &kIds : find_weight_codec(type); }

}  // namespace ggufmill
