// all_bytes: what every codec writes, and what that decodes to, on fixed rows, on stdout: for comparing builds for other
// machines. For each type: 4 kinds of row (usual, odd values, far ranges, a lattice) x 3 efforts x flat, importance, importance
// by magnitude. Then every published quantized form decoded, and NVFP4 and MXFP4 repacked.
#include <cmath>
#include <cstdio>
#include <limits>

#include "quant/repack.h"
#include "quant/source_codes.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

constexpr size_t kColumns = 1024;

// Each value is -12 .. 12 times the step of its group of 16.
std::vector<float> lattice_row(std::vector<float>& steps) {
  std::mt19937_64 random(3);
  std::vector<float> row(kColumns);
  for (size_t c = 0; c < kColumns; ++c) {
    if (c % 16 == 0) {
      const float mantissa = 8.0f + static_cast<float>(random() % 8);
      steps.push_back(std::ldexp(mantissa, static_cast<int>(random() % 3) - 14));
    }
    row[c] = steps.back() * (static_cast<float>(random() % 25) - 12);
  }
  return row;
}

std::vector<float> odd_row() {
  std::vector<float> row = sample_row(kColumns, 5);
  row[3] = std::numeric_limits<float>::quiet_NaN();
  row[400] = std::numeric_limits<float>::infinity();
  row[700] = 30;
  for (size_t i = 768; i < 1024; ++i) row[i] = 0;
  return row;
}

std::vector<float> far_row() {
  std::vector<float> row = sample_row(kColumns, 6);
  for (size_t i = 0; i < kColumns; ++i) row[i] = std::ldexp(row[i], static_cast<int>(i / 256) * 40 - 60);
  return row;
}

void write(std::span<const std::byte> bytes) { std::fwrite(bytes.data(), 1, bytes.size(), stdout); }

void write_values(std::vector<float> values) {
  for (float& v : values) v = std::isnan(v) ? 0.0f : v;  // whose payload is the machine's
  write(std::as_bytes(std::span(values)));
}

void write_row(const Codec& codec, std::span<const float> row, const RowContext& context) {
  std::vector<std::byte> blocks(row.size() / info(codec.type).block_elems * info(codec.type).block_bytes);
  codec.encode(row, context, blocks);
  write(blocks);
  write_values(decode_row(codec, blocks));
}

void write_all(const Codec& codec) {
  std::vector<float> steps;
  const std::vector<float> lattice = lattice_row(steps), importance = sample_importance(kColumns, 7);
  const std::vector<std::vector<float>> rows = {sample_row(kColumns, 4), odd_row(), far_row(), lattice};
  for (size_t r = 0; r < rows.size(); ++r) {
    for (const Effort effort : {Effort::kFast, Effort::kDefault, Effort::kMax}) {
      RowContext context{.effort = effort};
      if (r == 3) context.lattice = {steps, 16};
      write_row(codec, rows[r], context);
      context.importance = importance;
      write_row(codec, rows[r], context);
      context.objective = Objective::kImportanceTimesMagnitude;
      write_row(codec, rows[r], context);
    }
  }
}

// Random codes; all scales of each kind, random bits where they have two bytes or four.
void write_source(SourceCodes codes, SourceScales kind, uint32_t group_elems, float tensor_scale) {
  std::mt19937_64 random(8);
  const size_t count = 256 * 32 + 30;  // not a multiple of any vector
  std::vector<std::byte> bytes(count * info(codes).bits / 8), coded((count + group_elems - 1) / group_elems * scale_bytes(kind));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() >> 56);
  for (size_t i = 0; i < coded.size(); ++i) coded[i] = static_cast<std::byte>(scale_bytes(kind) == 1 ? i : random() >> 56);
  std::vector<float> scales(coded.size() / scale_bytes(kind)), values(count);
  decode_scales(kind, coded, scales);
  decode_codes(codes, bytes, scales, group_elems, tensor_scale, values);
  write_values(scales);
  write_values(values);
}

void write_repacked() {
  std::mt19937_64 random(9);
  std::vector<std::byte> codes(kColumns / 2), scales(kColumns / 16);
  for (std::byte& byte : codes) byte = static_cast<std::byte>(random() >> 56);
  for (std::byte& byte : scales) byte = static_cast<std::byte>(random() >> 56);
  std::vector<std::byte> nvfp4(kColumns / 64 * 36), mxfp4(kColumns / 32 * 17);
  repack_nvfp4(codes, scales, nvfp4);
  repack_mxfp4(codes, std::span(scales).first(kColumns / 32), mxfp4);
  write(nvfp4);
  write(mxfp4);
}

void write_sources() {
  for (const SourceCodes codes : {SourceCodes::kE2M1, SourceCodes::kInt4, SourceCodes::kE4M3, SourceCodes::kE5M2}) {
    for (const SourceScales kind :
         {SourceScales::kF32, SourceScales::kF16, SourceScales::kBF16, SourceScales::kE4M3, SourceScales::kE8M0}) {
      for (const uint32_t group_elems : {16, 24, 32, 128}) {
        write_source(codes, kind, group_elems, 1);
        write_source(codes, kind, group_elems, 0.00037f);
      }
    }
  }
  write_repacked();
}

}  // namespace
}  // namespace ggufmill

int main() {
  for (const ggufmill::Codec& codec : ggufmill::codecs()) {
    if (codec.encode != nullptr) ggufmill::write_all(codec);
  }
  ggufmill::write_sources();
  return 0;
}
