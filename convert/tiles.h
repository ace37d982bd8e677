// The schedule of a conversion follows the source: shards in name order, offsets ascending, every byte read once and in order
// where the shard's SHA-256 is wanted. It is cut into tiles, runs of whole source rows of a few MiB of f32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <vector>

#include "convert/ledger.h"
#include "convert/plan.h"
#include "formats/file.h"

namespace ggufmill {

// One piece of work and its buffers, which are reused.
struct Tile {
  uint32_t shard = 0;
  Extent extent;        // of the source bytes
  bool hashed = false;  // the bytes from hash_from on belong into the shard's hash
  uint64_t hash_from = 0;
  bool last_of_shard = false;
  bool encoded = false;  // rows to encode; else the bytes are read for the hash alone
  uint32_t tensor = 0, piece = 0;
  uint32_t source = 0;                             // index into Plan::sources
  uint64_t first_row = 0, rows = 0;                // output rows: consecutive ones, whole groups of the tensor's map
  std::vector<std::byte> raw;                      // source bytes
  std::vector<std::byte> scales;                   // of a quantized source's rows
  uint64_t first_source_row = 0, source_rows = 0;  // of raw and scales
  std::vector<std::byte> beside, beside_scales;    // the same rows of the source whose values stand behind (Piece::beside)
  std::vector<float> values;                       // f32 of a few rows
  std::vector<float> decoded;                      // one row
  std::vector<float> steps;                        // of a lattice source: a few rows' steps
  std::vector<float> importance;                   // one matrix' columns
  std::vector<std::byte> blocks;                   // encoded rows
};

// How a memory ceiling becomes tiles. Memory = live_tiles x bytes per tile.
struct TileBudget {
  uint64_t tile_elems = 0;
  uint32_t live_tiles = 0;
};
// Throws kUsage where `memory_bytes` cannot hold two tiles of the plan's largest row group.
TileBudget tile_budget(const Plan& plan, uint64_t memory_bytes, uint32_t threads);

// Hands out tiles in order; not thread-safe (the pipeline's serial first stage).
class TileReader {
 public:
  TileReader(const Plan& plan, const Ledger& ledger, uint64_t tile_elems, bool hash_sources);
  // Describes and reads the next tile; false at the end. Throws kBadInput where a shard changed since it was planned.
  bool next(Tile& tile);
  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t bytes_passed() const { return bytes_passed_; }  // read or not needed: for progress
  uint64_t bytes_total() const { return bytes_total_; }

 private:
  struct Run {  // a planned use of a source tensor
    uint32_t shard;
    uint32_t tensor, piece;
    auto operator<=>(const Run&) const = default;
  };
  struct Next {  // the rows of a run that come next, and where they begin in the shard
    uint64_t start;
    Run run;
    uint64_t row;
    auto operator<=>(const Next&) const = default;
  };
  bool open_next_shard();
  bool plan_next(Tile& tile);
  void put_next(const Run& run, uint64_t row);
  void plan_rows(Tile& tile, const Next& next);
  void read(Tile& tile);
  void read_aside(uint32_t shard, const Extent& extent, std::vector<std::byte>& bytes);
  void drop_behind(uint64_t offset);

  const Plan& plan_;
  const Ledger& ledger_;
  const uint64_t tile_elems_;
  const bool hash_sources_;
  std::vector<Run> runs_;                                              // by shard
  std::priority_queue<Next, std::vector<Next>, std::greater<>> next_;  // of the open shard, by offset
  std::set<uint32_t> used_shards_;
  int64_t shard_ = -1;
  bool shard_hashed_ = false;  // the open shard's hash is wanted
  uint64_t position_ = 0;      // bytes of the open shard that were handed out or passed over
  uint64_t dropped_ = 0;
  std::optional<InputFile> file_;
  std::vector<std::optional<InputFile>> aside_files_;  // by shard: scales may lie in another than their codes
  uint64_t bytes_read_ = 0, bytes_passed_ = 0, bytes_total_ = 0;
};

}  // namespace ggufmill
