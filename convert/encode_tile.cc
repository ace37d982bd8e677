#include "convert/encode_tile.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>

#include "convert/source_rows.h"
#include "formats/error.h"
#include "quant/codecs.h"
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
  TileCoder(const PlannedTensor& tensor, const SourceTensor& source, Tile& tile, Importance* importance, RowsRecord& record)
      : tensor_(tensor),
        source_(source),
        tile_(tile),
        codec_(*find_codec(tensor.type)),
        importance_(importance),
        record_(record) {}

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
  // The source's bytes of row r of the tile, which holds whole heads.
  std::span<const std::byte> source_row(uint64_t r) const {
    const uint64_t bytes = row_elems() * info(source_.dtype).bytes;
    return std::span(tile_.raw).subspan(tensor_.row_map.source_row(r) * bytes, bytes);
  }
  // Same bytes in and out: nothing is rounded, and a NaN keeps its payload.
  bool is_copy() const {
    const GgmlTypeInfo* type = ggml_type_of(source_.dtype);
    return type != nullptr && type->type == tensor_.type && tensor_.op == ValueOp::kNone;
  }

  void decode() {
    for (uint64_t r = first_; r < first_ + rows_; ++r) {
      decode_source(source_.dtype, source_row(r), row(r));
      apply_op(tensor_.op, row(r));
    }
  }

  void copy() {
    for (uint64_t r = first_; r < first_ + rows_; ++r) {
      const auto from = source_row(r);
      std::memcpy(blocks(r).data(), from.data(), from.size());
      for (const float v : row(r)) {
        counts_.nan_count += std::isnan(v);
        counts_.inf_count += std::isinf(v);
      }
    }
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
      codec_.encode(
          row(r),
          {.importance = weights_, .effort = tensor_.effort, .objective = tensor_.objective, .tensor_scale = tensor_.scale},
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
  const SourceTensor& source_;
  Tile& tile_;
  const Codec& codec_;
  Importance* const importance_;
  RowsRecord& record_;
  std::span<const float> weights_;  // of the matrix in hand
  RowError counts_;
  uint64_t first_ = 0, rows_ = 0;  // the rows in hand
};

Error nonfinite(const Plan& plan, const Tile& tile, const SourceTensor& source, const std::string& what) {
  return Error(Exit::kBadInput, printable(plan.shards[tile.shard].name) + ": " + quoted_tensor(source.name) + ": " + what,
               "--allow-nonfinite converts it all the same");
}

}  // namespace

EncodedTile encode_tile(const Plan& plan, Tile& tile, Importance* importance, bool allow_nonfinite) {
  const PlannedTensor& tensor = plan.tensors[tile.tensor];
  const SourceTensor& source = plan.sources[tile.source];
  const Codec& codec = *find_codec(tensor.type);
  EncodedTile out;
  RowsRecord& record = out.record;
  record.tensor = tile.tensor;
  record.shard = tile.shard;
  record.first_row = tile.first_row;
  record.rows = tile.rows;
  tile.blocks.resize(tile.rows * tensor.row_bytes());
  const RowError counts = TileCoder(tensor, source, tile, importance, record).run(out.encode_cpu_seconds);
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
