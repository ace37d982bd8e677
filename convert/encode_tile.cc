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

struct TileCoder {
  const PlannedTensor& tensor;
  const SourceTensor& source;
  Tile& tile;

  uint64_t row_elems() const { return tensor.row_elems(); }
  uint64_t source_row_bytes() const { return row_elems() * info(source.dtype).bytes; }
  std::span<float> row(uint64_t r) { return std::span(tile.values).subspan(r * row_elems(), row_elems()); }
  std::span<std::byte> blocks(uint64_t r) { return std::span(tile.blocks).subspan(r * tensor.row_bytes(), tensor.row_bytes()); }
  std::span<const std::byte> source_row(uint64_t r) const {
    return std::span(tile.raw).subspan(r * source_row_bytes(), source_row_bytes());
  }
  // Same bytes in and out: nothing is rounded, and a NaN keeps its payload.
  bool is_copy() const {
    const GgmlTypeInfo* type = ggml_type_of(source.dtype);
    return type != nullptr && type->type == tensor.type && tensor.op == ValueOp::kNone;
  }

  void decode() {
    tile.values.resize(tile.rows * row_elems());
    if (tensor.row_map.head_rows == 0) {
      decode_source(source.dtype, tile.raw, tile.values);
    } else {
      for (uint64_t r = 0; r < tile.rows; ++r) decode_source(source.dtype, source_row(r), row(tensor.row_map.output_row(r)));
    }
    apply_op(tensor.op, tile.values);
  }

  void copy() {
    for (uint64_t r = 0; r < tile.rows; ++r) {
      const auto from = source_row(r);
      std::memcpy(blocks(tensor.row_map.output_row(r)).data(), from.data(), from.size());
    }
  }

  void encode(const Codec& codec, Importance* importance) {
    const uint64_t rows_per_matrix = tensor.ne.size() > 1 ? tensor.ne[1] : 1;
    std::span<const float> weights;
    for (uint64_t r = 0; r < tile.rows; ++r) {
      const uint64_t output_row = tile.first_row + r;
      if (importance != nullptr && tensor.importance != nullptr && (r == 0 || output_row % rows_per_matrix == 0)) {
        tile.importance.resize(row_elems());
        importance->weights(*tensor.importance, output_row / rows_per_matrix, tile.importance);
        weights = tile.importance;
      }
      codec.encode(row(r),
                   {.importance = weights, .effort = tensor.effort, .objective = tensor.objective, .tensor_scale = tensor.scale},
                   blocks(r));
    }
  }

  // Decodes what was written and adds up what it cost.
  RowError measure(const Codec& codec, RowsRecord& record) {
    RowError total;
    const uint32_t block = info(tensor.type).block_elems;
    const double coarse = codec.typical_error > 0 ? codec.coarse_error() : std::numeric_limits<double>::infinity();
    tile.decoded.resize(row_elems());
    for (uint64_t r = 0; r < tile.rows; ++r) {
      codec.decode(blocks(r), tile.decoded);
      if (tensor.scale != 1) {
        for (float& v : tile.decoded) v *= tensor.scale;
      }
      const RowError e = row_error(row(r), tile.decoded, block, coarse);
      record.squared_error.add(e.squared_error);
      record.squared_value.add(e.squared_value);
      record.coarse_blocks += e.coarse_blocks;
      total.nan_count += e.nan_count;
      total.inf_count += e.inf_count;
      total.overflow_count += e.overflow_count;
      if (e.worst_block > total.worst_block) {
        total.worst_block = e.worst_block;
        record.worst = {tile.first_row + r, worst_column(r, e.worst_block),
                        std::min(e.worst_block, std::numeric_limits<double>::max())};
      }
    }
    return total;
  }

  // First column of the block that has the row's largest relative error; tile.decoded holds the row.
  uint64_t worst_column(uint64_t r, double worst) {
    const uint32_t elems = info(tensor.type).block_elems;
    const uint32_t block = elems == 1 ? kFloatBlockElems : elems;
    for (uint64_t column = 0; column < row_elems(); column += block) {
      const uint64_t n = std::min<uint64_t>(block, row_elems() - column);
      const RowError e = row_error(row(r).subspan(column, n), std::span<const float>(tile.decoded).subspan(column, n), elems);
      if (e.worst_block == worst) return column;
    }
    return 0;
  }

  void count_nonfinite(RowError& counts) {
    for (const float v : tile.values) {
      counts.nan_count += std::isnan(v);
      counts.inf_count += std::isinf(v);
    }
  }
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
  TileCoder coder{tensor, source, tile};
  EncodedTile out;
  RowsRecord& record = out.record;
  record.tensor = tile.tensor;
  record.shard = tile.shard;
  record.first_row = tile.first_row;
  record.rows = tile.rows;
  tile.blocks.resize(tile.rows * tensor.row_bytes());
  coder.decode();
  RowError counts;
  if (coder.is_copy()) {
    coder.copy();
    coder.count_nonfinite(counts);
  } else {
    const double start = thread_cpu_seconds();
    coder.encode(codec, importance);
    out.encode_cpu_seconds = thread_cpu_seconds() - start;
    counts = coder.measure(codec, record);
  }
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
