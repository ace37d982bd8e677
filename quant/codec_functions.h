// The functions behind the codec table (codecs.cc), declared in one place. Each is defined in its type's file, which says what
// the blocks look like and what becomes of NaN, infinity and other odd values. decode_* is a DecodeFn, encode_* an EncodeFn.
#pragma once

#include <cstddef>
#include <span>

#include "quant/row_context.h"

namespace ggufmill {

using Blocks = std::span<const std::byte>;
using BlocksOut = std::span<std::byte>;
using Row = std::span<const float>;

void decode_f32(Blocks blocks, std::span<float> values) noexcept;
void decode_f16(Blocks blocks, std::span<float> values) noexcept;
void decode_bf16(Blocks blocks, std::span<float> values) noexcept;
void decode_q8_0(Blocks blocks, std::span<float> values) noexcept;
void decode_q4_0(Blocks blocks, std::span<float> values) noexcept;
void decode_q5_0(Blocks blocks, std::span<float> values) noexcept;
void decode_q2_k(Blocks blocks, std::span<float> values) noexcept;
void decode_q4_1(Blocks blocks, std::span<float> values) noexcept;
void decode_q5_1(Blocks blocks, std::span<float> values) noexcept;
void decode_q3_k(Blocks blocks, std::span<float> values) noexcept;
void decode_q4_k(Blocks blocks, std::span<float> values) noexcept;
void decode_q5_k(Blocks blocks, std::span<float> values) noexcept;
void decode_q6_k(Blocks blocks, std::span<float> values) noexcept;
void decode_iq4_nl(Blocks blocks, std::span<float> values) noexcept;
void decode_iq4_xs(Blocks blocks, std::span<float> values) noexcept;
void decode_iq3_xxs(Blocks blocks, std::span<float> values) noexcept;
void decode_iq3_s(Blocks blocks, std::span<float> values) noexcept;
void decode_iq2_xxs(Blocks blocks, std::span<float> values) noexcept;
void decode_iq2_xs(Blocks blocks, std::span<float> values) noexcept;
void decode_iq2_s(Blocks blocks, std::span<float> values) noexcept;
void decode_iq1_s(Blocks blocks, std::span<float> values) noexcept;
void decode_iq1_m(Blocks blocks, std::span<float> values) noexcept;
void decode_tq1_0(Blocks blocks, std::span<float> values) noexcept;
void decode_tq2_0(Blocks blocks, std::span<float> values) noexcept;
void decode_q2_0(Blocks blocks, std::span<float> values) noexcept;
void decode_q1_0(Blocks blocks, std::span<float> values) noexcept;
void decode_mxfp4(Blocks blocks, std::span<float> values) noexcept;
void decode_nvfp4(Blocks blocks, std::span<float> values) noexcept;
void decode_i32(Blocks blocks, std::span<float> values) noexcept;

void encode_i32(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_f32(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_f16(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_bf16(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q8_0(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q4_0(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q5_0(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q2_k(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q4_1(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q5_1(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q3_k(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q4_k(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q5_k(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q6_k(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq4_nl(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq4_xs(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq3_xxs(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq3_s(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq2_xxs(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq2_xs(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq2_s(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq1_s(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_iq1_m(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_tq1_0(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_tq2_0(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q2_0(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_q1_0(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_mxfp4(Row row, const RowContext& context, BlocksOut blocks) noexcept;
void encode_nvfp4(Row row, const RowContext& context, BlocksOut blocks) noexcept;

// The oracles of the vectorised paths, one value after the other.
void decode_q8_0_scalar(Blocks blocks, std::span<float> values) noexcept;
void encode_q8_0_scalar(Row row, BlocksOut blocks) noexcept;

}  // namespace ggufmill
