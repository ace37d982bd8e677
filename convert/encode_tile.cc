#include "convert/encode_tile.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>

#include "convert/source_rows.h"
#include "convert/weight_rows.h"
#include "formats/error.h"
#include "quant/codecs.h"
#include "quant/repack.h"
#include "quant/row_stats.h"

namespace ggufmill {
namespace {

double thread_cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Rows are taken a few at a time, so that their f32 values stay in the core's own cache between decoding, encoding and measuring.
constexpr uint64_t kChunkElems = 32768;

class TileCoder {
 public:
  // `beside`: the source whose rows continue those of `source`, or nullptr.
  TileCoder(const PlannedTensor& tensor, const Weight& source, const Weight* beside, Tile& tile, Importance* importance,
            RowsRecord& record)
      : tensor_(tensor),
        piece_(tensor.pieces[tile.piece]),
        source_(source),
        beside_(beside),
        tile_(tile),
        codec_(*find_codec(tensor.type)),
        importance_(importance),
        record_(record),
        decoder_(tensor, piece_, source) {}

  // Fills tile.blocks and the record's sums; answers the counts of odd values. `encode_seconds` grows by what the codec took.
  RowError run(double& encode_seconds) {
    const uint64_t step = std::max<uint64_t>(1, kChunkElems / row_elems());
    tile_.values.resize(std::min(step, tile_.rows) * row_elems());
    tile_.decoded.resize(row_elems());
    for (uint64_t first = 0; first < tile_.rows; first += step) {
      first_ = first;
      rows_ = std::min(step, tile_.rows - first);
      decode();
      if (is_copy()) {
        copy();
        continue;
      }
      const double start = thread_cpu_seconds();
      encode();
      encode_seconds += thread_cpu_seconds() - start;
      measure();
    }
    return counts_;
  }

 private:
  uint64_t row_elems() const { return tensor_.row_elems(); }
  // Row r of the tile, one of those in hand.
  std::span<float> row(uint64_t r) { return std::span(tile_.values).subspan((r - first_) * row_elems(), row_elems()); }
  std::span<std::byte> blocks(uint64_t r) {
    return std::span(tile_.blocks).subspan(r * tensor_.row_bytes(), tensor_.row_bytes());
  }
  RowsBytes source_rows() const { return {tile_.first_source_row, tile_.raw, tile_.scales}; }
  RowsBytes beside_rows() const { return {tile_.first_source_row, tile_.beside, tile_.beside_scales}; }
  uint64_t in_piece(uint64_t r) const { return tile_.first_row - piece_.out_row + r; }
  // Same bits in and out: nothing is rounded, and a NaN keeps its payload.
  bool is_copy() const {
    if (tensor_.repack) return true;
    if (piece_.beside != Piece::kNone) return false;
    const GgmlTypeInfo* type = source_.form == nullptr ? ggml_type_of(source_.codes.dtype) : nullptr;
    return type != nullptr && type->type == tensor_.type && tensor_.op == ValueOp::kNone && decoder_.moves_rows();
  }

  void decode() {
    groups_ = 0;
    for (uint64_t r = first_; r < first_ + rows_; ++r) {
      if (beside_ == nullptr) {
        decoder_.decode(source_rows(), in_piece(r), row(r));
      } else {
        decoder_.decode(source_rows(), in_piece(r), row(r).first(source_.columns()));
        beside_decoder_.decode(*beside_, beside_rows(), decoder_.source_row(in_piece(r)), row(r).subspan(source_.columns()));
      }
      apply_op(tensor_.op, row(r));
      if (tensor_.op == ValueOp::kNone && beside_ == nullptr) keep_lattice(r);
    }
  }

  void keep_lattice(uint64_t r) {
    const SourceLattice lattice = decoder_.lattice();
    if (lattice.group_elems == 0) return;
    groups_ = lattice.steps.size();
    group_elems_ = lattice.group_elems;
    tile_.steps.resize(rows_ * groups_);
    std::ranges::copy(lattice.steps, tile_.steps.begin() + static_cast<std::ptrdiff_t>((r - first_) * groups_));
  }

  SourceLattice lattice(uint64_t r) const {
    if (groups_ == 0) return {};
    return {.steps = std::span(tile_.steps).subspan((r - first_) * groups_, groups_), .group_elems = group_elems_};
  }

  void copy() {
    for (uint64_t r = first_; r < first_ + rows_; ++r) {
      const uint64_t source_row = decoder_.source_row(in_piece(r));
      const auto from = RowDecoder::row_codes(source_, source_rows(), source_row, row_elems());
      if (tensor_.repack)
        repack(from, RowDecoder::row_scales(source_, source_rows(), source_row), blocks(r));
      else
        std::memcpy(blocks(r).data(), from.data(), from.size());
      for (const float v : row(r)) {
        counts_.nan_count += std::isnan(v);
        counts_.inf_count += std::isinf(v);
      }
    }
  }

  // Moves a row's bits, its columns in the order of the tensor's map.
  void repack(std::span<const std::byte> codes, std::span<const std::byte> scales, std::span<std::byte> out) {
    if (!tensor_.row_map.columns.empty()) {
      codes_.resize(codes.size());
      scales_.resize(scales.size());
      const uint32_t bits = info(source_.code_kind).bits;
      tensor_.row_map.gather_packed(codes, 8 / bits, 1, codes_);
      tensor_.row_map.gather_packed(scales, source_.group_elems, info(source_.scales->dtype).bytes, scales_);
      codes = codes_, scales = scales_;
    }
    codec_.repack(codes, scales, out);
  }

  void encode() {
    const uint64_t rows_per_matrix = tensor_.ne.size() > 1 ? tensor_.ne[1] : 1;
    for (uint64_t r = first_; r < first_ + rows_; ++r) {
      const uint64_t output_row = tile_.first_row + r;
      if (importance_ != nullptr && tensor_.importance != nullptr && (r == 0 || output_row % rows_per_matrix == 0)) {
        tile_.importance.resize(row_elems());
        importance_->weights(*tensor_.importance, output_row / rows_per_matrix, tile_.importance);
        weights_ = tile_.importance;
      }
      codec_.encode(row(r),
                    {.importance = weights_,
                     .effort = tensor_.effort,
                     .objective = tensor_.objective,
                     .lattice = lattice(r),
                     .tensor_scale = tensor_.scale},
                    blocks(r));
    }
  }

  // Decodes what was written and adds up what it cost.
  void measure() {
    const uint32_t block = info(tensor_.type).block_elems;
    const double coarse = codec_.coarse_error();
    for (uint64_t r = first_; r < first_ + rows_; ++r) {
      codec_.decode(blocks(r), tile_.decoded);
      if (tensor_.scale != 1) {
        for (float& v : tile_.decoded) v *= tensor_.scale;
      }
      const RowError e = row_error(row(r), tile_.decoded, block, coarse);
      record_.squared_error.add(e.squared_error);
      record_.squared_value.add(e.squared_value);
      record_.coarse_blocks += e.coarse_blocks;
      counts_.nan_count += e.nan_count;
      counts_.inf_count += e.inf_count;
      counts_.overflow_count += e.overflow_count;
      if (e.worst_block > counts_.worst_block) {
        counts_.worst_block = e.worst_block;
        record_.worst = {tile_.first_row + r, worst_column(r, e.worst_block),
                         std::min(e.worst_block, std::numeric_limits<double>::max())};
      }
    }
  }

  // First column of the block that has the row's largest relative error; tile.decoded holds the row.
  uint64_t worst_column(uint64_t r, double worst) {
    const uint32_t elems = info(tensor_.type).block_elems;
    const uint32_t block = elems == 1 ? kFloatBlockElems : elems;
    for (uint64_t column = 0; column < row_elems(); column += block) {
      const uint64_t n = std::min<uint64_t>(block, row_elems() - column);
      const RowError e = row_error(row(r).subspan(column, n), std::span<const float>(tile_.decoded).subspan(column, n), elems);
      if (e.worst_block == worst) return column;
    }
    return 0;
  }

  const PlannedTensor& tensor_;
  const Piece& piece_;
  const Weight& source_;
  const Weight* const beside_;
  Tile& tile_;
  const Codec& codec_;
  Importance* const importance_;
  RowsRecord& record_;
  MappedDecoder decoder_;
  RowDecoder beside_decoder_;
  uint64_t groups_ = 0;  // of a lattice source's rows
  uint32_t group_elems_ = 0;
  std::span<const float> weights_;         // of the matrix in hand
  std::vector<std::byte> codes_, scales_;  // of a packed row whose columns move
  RowError counts_;
  uint64_t first_ = 0, rows_ = 0;  // the rows in hand
};

Error nonfinite(const Plan& plan, const Tile& tile, const Weight& source, const std::string& what) {
  return Error(Exit::kBadInput, printable(plan.shards[tile.shard].name) + ": " + quoted_tensor(source.codes.name) + ": " + what,
               "--allow-nonfinite converts it all the same");
}

}  // namespace

EncodedTile encode_tile(const Plan& plan, Tile& tile, Importance* importance, bool allow_nonfinite) {
  const PlannedTensor& tensor = plan.tensors[tile.tensor];
  const Weight& source = plan.sources[tile.source];
  const Codec& codec = *find_codec(tensor.type);
  EncodedTile out;
  RowsRecord& record = out.record;
  record.tensor = tile.tensor;
  record.shard = tile.shard;
  record.first_row = tile.first_row;
  record.rows = tile.rows;
  tile.blocks.resize(tile.rows * tensor.row_bytes());
  const uint32_t second = tensor.pieces[tile.piece].beside;
  const Weight* const beside = second == Piece::kNone ? nullptr : &plan.sources[second];
  refuse_bad_rows(plan, tensor, source, {tile.first_source_row, tile.raw, tile.scales});
  if (beside != nullptr) refuse_bad_rows(plan, tensor, *beside, {tile.first_source_row, tile.beside, tile.beside_scales});
  const RowError counts = TileCoder(tensor, source, beside, tile, importance, record).run(out.encode_cpu_seconds);
  record.nan_count = counts.nan_count;
  record.inf_count = counts.inf_count;
  if (!allow_nonfinite) {
    if (!codec.lossless_container && counts.nan_count + counts.inf_count > 0) {
      throw nonfinite(plan, tile, source,
                      std::to_string(counts.nan_count) + " NaN and " + std::to_string(counts.inf_count) +
                          " Inf values in a tensor that is quantized to " + std::string(name(tensor.type)));
    }
    if (counts.overflow_count > 0) {
      throw nonfinite(plan, tile, source,
                      std::to_string(counts.overflow_count) + " values are too large for " + std::string(name(tensor.type)));
    }
  }
  record.hash = xxh128(tile.blocks);
  return out;
}

}  // namespace ggufmill
