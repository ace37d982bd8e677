// The journal of a conversion: an append-only file of records, each with a checksum. A record about rows exists only after their
// bytes are durable, so a run that reads it knows what it need not do again.
//
//   record:  byte 0  type     u32 little-endian
//                 4  payload  u32 length
//                 8  payload
//              8+n  check    16 bytes, XXH3-128 of everything before in this record
//
// docs/journal.md has every payload. A torn last record (a crash while it was appended) is cut off; the number of a record is its
// position in the file, from 0, which VoidRecord refers to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "convert/plan.h"
#include "formats/file.h"
#include "formats/hash.h"
#include "formats/manifest.h"
#include "quant/exact_sum.h"

namespace ggufmill {

inline constexpr uint32_t kJournalVersion = 2;

// First record: the plan that the journal belongs to.
struct PlanRecord {
  uint32_t version = kJournalVersion;
  Sha256 digest;
  std::vector<DigestPart> parts;
};
// A source shard as it was when this run opened it.
struct ShardRecord {
  uint32_t shard = 0;
  FileId id;
};
// Rows of one tensor whose bytes are durable in its part file.
struct RowsRecord {
  uint32_t tensor = 0;
  uint32_t shard = 0;  // where the values came from
  uint64_t first_row = 0, rows = 0;
  Xxh128 hash;  // of the rows' bytes
  ExactSum squared_error, squared_value;
  std::optional<WorstBlock> worst;
  uint64_t coarse_blocks = 0;  // blocks that lost more than the codec's coarse_error()
  uint64_t nan_count = 0, inf_count = 0;
};
struct ShardHashRecord {
  uint32_t shard = 0;
  Sha256 sha256;
};
// A part file that is complete and hashed.
struct FileHashRecord {
  uint32_t file = 0;
  Sha256 sha256;
  Xxh128 header_hash;
  std::vector<Xxh128> tensor_hashes;  // of the file's tensors in order
};
// Takes back earlier records: one ROWS record by number, or everything that came from a shard or went into a file.
struct VoidRecord {
  enum class What : uint32_t { kRecord = 0, kShard = 1, kFile = 2 } what = What::kRecord;
  uint64_t id = 0;
};
// All files are durable and hashed; only renames are left.
struct FinishRecord {
  struct File {
    std::string name;  // final name; the work folder has it as NAME.part until it is renamed
    uint64_t bytes = 0;
    Sha256 sha256;
  };
  std::vector<File> files;  // in the order of renaming: GGUF files, SHA256SUMS, manifest
  bool replace = false;     // --force: older files under these names move away first
};

using JournalRecord =
    std::variant<PlanRecord, ShardRecord, RowsRecord, ShardHashRecord, FileHashRecord, VoidRecord, FinishRecord>;

class Journal {
 public:
  // Creates an empty journal, or opens an existing one and cuts off a torn tail.
  explicit Journal(const std::filesystem::path& path);

  // Calls `visit(number, record)` for every record in order. Throws kSystem on I/O trouble.
  void replay(const std::function<void(uint64_t, const JournalRecord&)>& visit) const;
  uint64_t records() const { return records_; }

  void append(const JournalRecord& record);  // buffered until sync()
  void sync();                               // writes and fdatasyncs what was appended

 private:
  OutputFile file_;
  uint64_t bytes_ = 0;    // of valid records in the file
  uint64_t records_ = 0;  // valid and appended
  std::vector<std::byte> pending_;
};

}  // namespace ggufmill
