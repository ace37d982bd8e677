#include "convert/tiles.h"

#include <algorithm>
#include <cassert>
#include <tuple>

#include "convert/source_rows.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

// Bytes that one value costs at most in a tile: source bytes, f32 and encoded bytes, 4 each.
constexpr uint64_t kTileBytesPerElem = 12;
constexpr uint64_t kSourceBytesPerElem = 4;
constexpr uint64_t kMaxTileElems = 1 << 20;
// Bytes that no tensor needs (headers, tensors left out) are read for the hash in pieces of this size.
constexpr uint64_t kFillerBytes = 4 << 20;
// The page cache is dropped this far behind the reader, in steps of as much.
constexpr uint64_t kDropWindow = 16 << 20;

// Values that a group of rows costs in a tile: its own, or those of the source that it reaches over.
uint64_t group_elems(const PlannedTensor& t) {
  return std::max(t.row_elems() * t.row_map.group_rows(), t.row_map.group_span(t.row_elems()));
}

}  // namespace

TileBudget tile_budget(const Plan& plan, uint64_t memory_bytes, uint32_t threads) {
  uint64_t largest_group = 1;
  for (const PlannedTensor& t : plan.tensors) largest_group = std::max(largest_group, group_elems(t));
  const uint64_t wanted_tiles = threads + threads / 2 + 3;
  TileBudget budget;
  budget.tile_elems =
      std::clamp(memory_bytes / (kTileBytesPerElem * wanted_tiles), largest_group, std::max(largest_group, kMaxTileElems));
  const uint64_t tiles = memory_bytes / (kTileBytesPerElem * budget.tile_elems);
  if (tiles < 2) {
    throw Error(Exit::kUsage, "--memory " + std::to_string(memory_bytes) + ": too small, this model's rows need at least " +
                                  std::to_string(2 * kTileBytesPerElem * largest_group) + " bytes");
  }
  budget.live_tiles = static_cast<uint32_t>(std::min(tiles, wanted_tiles));
  return budget;
}

TileReader::TileReader(const Plan& plan, const Ledger& ledger, uint64_t tile_elems, bool hash_sources)
    : plan_(plan), ledger_(ledger), tile_elems_(tile_elems), hash_sources_(hash_sources) {
  for (uint32_t tensor = 0; tensor < plan.tensors.size(); ++tensor) {
    const std::vector<Piece>& pieces = plan.tensors[tensor].pieces;
    for (uint32_t piece = 0; piece < pieces.size(); ++piece) {
      runs_.push_back({plan.sources[pieces[piece].source].codes.shard, tensor, piece});
    }
  }
  std::ranges::sort(runs_, {}, [](const Run& r) { return std::tuple(r.shard, r.tensor, r.piece); });
  bytes_total_ = plan.source_bytes();
  used_shards_ = plan.used_shards();
  aside_files_.resize(plan.shards.size());
}

bool TileReader::open_next_shard() {
  while (++shard_ < static_cast<int64_t>(plan_.shards.size())) {
    const auto shard = static_cast<uint32_t>(shard_);
    const Shard& planned = plan_.shards[shard];
    const auto of_shard = std::ranges::equal_range(runs_, shard, {}, &Run::shard);
    shard_hashed_ = hash_sources_ && used_shards_.contains(shard) && !ledger_.shard_hash(shard);
    const bool rows_missing = std::ranges::any_of(of_shard, [&](const Run& run) { return !ledger_.tensor_complete(run.tensor); });
    next_ = {};
    if (shard_hashed_ || rows_missing) {
      for (const Run& run : of_shard) put_next(run, 0);
    }
    position_ = dropped_ = 0;
    if (!shard_hashed_ && !rows_missing) {
      bytes_passed_ += planned.id.bytes;
      continue;
    }
    file_.emplace(planned.path);
    if (file_->id() != planned.id) throw Error(Exit::kBadInput, printable(planned.name) + ": changed since the plan was made");
    file_->advise_sequential();
    return true;
  }
  return false;
}

// Queues the rows of a run from `row` on by where they begin in the shard: runs that share a source advance side by side.
void TileReader::put_next(const Run& run, uint64_t row) {
  const PlannedTensor& t = plan_.tensors[run.tensor];
  const Piece& piece = t.pieces[run.piece];
  if (row == piece.rows) return;
  const Weight& source = plan_.sources[piece.source];
  const SourceRun first = source_run(t, piece, source, row, t.row_map.group_rows());
  next_.push({code_bytes(source, first.columns, first.first, 1).file_offset, run, row});
}

// The next tile of a run: rows that are missing, or rows that are done (for the hash).
void TileReader::plan_rows(Tile& tile, const Next& next) {
  const PlannedTensor& t = plan_.tensors[next.run.tensor];
  const Piece& piece = t.pieces[next.run.piece];
  const Weight& source = plan_.sources[piece.source];
  const uint64_t group = t.row_map.group_rows();
  const uint64_t stride = std::max(group_elems(t), t.row_map.group_elem(group, t.row_elems()));
  uint64_t rows = std::min(std::max<uint64_t>(1, tile_elems_ / stride) * group, piece.rows - next.row);
  const uint64_t first = piece.out_row + next.row;
  const std::vector<RowRange> missing = ledger_.missing(next.run.tensor, first, rows);
  if (missing.empty()) {
    tile.encoded = false;
  } else if (missing[0].first > first) {
    tile.encoded = false;
    rows = missing[0].first - first;
  } else {
    tile.encoded = true;
    rows = missing[0].rows;
  }
  assert(next.row % group == 0 && rows % group == 0 && "tiles are whole groups");
  const SourceRun run = source_run(t, piece, source, next.row, rows);
  tile.tensor = next.run.tensor;
  tile.piece = next.run.piece;
  tile.source = piece.source;
  tile.first_row = first;
  tile.rows = rows;
  tile.first_source_row = run.first;
  tile.source_rows = run.rows;
  tile.extent = code_bytes(source, run.columns, run.first, run.rows);
  put_next(next.run, next.row + rows);
}

bool TileReader::plan_next(Tile& tile) {
  tile.encoded = tile.hashed = tile.last_of_shard = false;
  while (true) {
    if (shard_ < 0 || !file_) {
      if (!open_next_shard()) return false;
    }
    tile.shard = static_cast<uint32_t>(shard_);
    const uint64_t file_end = plan_.shards[tile.shard].id.bytes;
    const bool has_rows = !next_.empty();
    const uint64_t rows_start = has_rows ? next_.top().start : file_end;
    tile.hash_from = 0;
    if (has_rows && (!shard_hashed_ || rows_start <= position_)) {
      const Next next = next_.top();
      next_.pop();
      plan_rows(tile, next);
      tile.hashed = shard_hashed_ && tile.extent.end() > position_;
      if (tile.hashed) tile.hash_from = position_ - tile.extent.file_offset;
    } else if (shard_hashed_ && position_ < rows_start) {
      tile.extent = {position_, std::min({kFillerBytes, tile_elems_ * kSourceBytesPerElem, rows_start - position_})};
      tile.hashed = true;
    } else {  // the end of the shard
      if (file_->current_id() != plan_.shards[tile.shard].id) {
        throw Error(Exit::kBadInput, printable(plan_.shards[tile.shard].name) + ": changed while it was read");
      }
      if (dropped_ < position_) file_->drop_cache({dropped_, position_ - dropped_});
      bytes_passed_ += file_end - std::min(position_, file_end);
      file_.reset();
      continue;
    }
    if (tile.extent.end() > position_) {
      bytes_passed_ += tile.extent.end() - position_;
      position_ = tile.extent.end();
    }
    tile.last_of_shard = tile.hashed && position_ == file_end;
    if (tile.encoded || tile.hashed) return true;
  }
}

void TileReader::read(Tile& tile) {
  tile.raw.resize(tile.extent.bytes);
  file_->read_exact(tile.extent.file_offset, tile.raw);
  bytes_read_ += tile.extent.bytes;
  drop_behind(tile.extent.end());
  tile.scales.clear();
  tile.beside.clear();
  tile.beside_scales.clear();
  if (!tile.encoded) return;
  const Weight& source = plan_.sources[tile.source];
  if (source.scales) read_aside(source.scales->shard, scale_bytes(source, tile.first_source_row, tile.source_rows), tile.scales);
  const Piece& piece = plan_.tensors[tile.tensor].pieces[tile.piece];
  if (piece.beside == Piece::kNone) return;
  const Weight& beside = plan_.sources[piece.beside];
  read_aside(beside.codes.shard, code_bytes(beside, beside.columns(), tile.first_source_row, tile.source_rows), tile.beside);
  if (beside.scales)
    read_aside(beside.scales->shard, scale_bytes(beside, tile.first_source_row, tile.source_rows), tile.beside_scales);
}

// Scales stand elsewhere, mostly a little behind their codes: they are read for each tile, a ninth of the codes' bytes at most.
// So are the few matrices that are joined with another one row by row.
void TileReader::read_aside(uint32_t shard, const Extent& extent, std::vector<std::byte>& bytes) {
  if (extent.bytes == 0) return;
  std::optional<InputFile>& file = aside_files_[shard];
  if (!file) {
    const Shard& planned = plan_.shards[shard];
    file.emplace(planned.path);
    if (file->id() != planned.id) throw Error(Exit::kBadInput, printable(planned.name) + ": changed since the plan was made");
  }
  bytes.resize(extent.bytes);
  file->read_exact(extent.file_offset, bytes);
  bytes_read_ += extent.bytes;
}

void TileReader::drop_behind(uint64_t offset) {
  if (offset < dropped_ + 2 * kDropWindow) return;
  const uint64_t end = offset - kDropWindow;
  file_->drop_cache({dropped_, end - dropped_});
  dropped_ = end;
}

bool TileReader::next(Tile& tile) {
  if (!plan_next(tile)) return false;
  read(tile);
  return true;
}

}  // namespace ggufmill
