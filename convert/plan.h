// The plan: an immutable value, complete before a weight byte is read. It holds every output file's exact header bytes and size,
// and for every tensor its name, type, shape, class, file, offset, source rows, and why it has that type. `plan` prints it, the
// executor runs it, a test compares its offsets with the finished file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "convert/model.h"
#include "convert/recipe.h"
#include "convert/tensor_class.h"
#include "formats/checkpoint.h"
#include "formats/extent.h"
#include "formats/finding.h"
#include "formats/ggml_type.h"
#include "formats/gguf.h"
#include "formats/hash.h"
#include "formats/imatrix.h"
#include "quant/row_context.h"

namespace ggufmill {

struct PlannedTensor {
  std::string name;
  GgmlType type = GgmlType::F32;
  std::vector<uint64_t> ne;  // innermost first
  TensorClass tensor_class = TensorClass::kOther;
  uint32_t file = 0;          // index into Plan::files
  Extent extent;              // absolute in the file, without padding
  std::string reason;         // "rule 2", "llama.cpp wants F32", ...
  std::vector<Piece> pieces;  // source rows, by out_row
  uint64_t ids_below = 0;     // of a table of ids: what they must be below
  RowMap row_map;
  ValueOp op = ValueOp::kNone;
  bool repack = false;  // the source's codes and scales are moved as they are; its scales of whole matrices stand in `.scale`
  const ImatrixEntry* importance = nullptr;  // nullptr: flat
  Effort effort = Effort::kDefault;
  Objective objective = Objective::kImportance;
  // Decoded values times this are the tensor's: what its `.scale` tensor holds, 1 without one.
  float scale = 1;
  // Bytes of a tensor that has no source rows (`.scale`), known before anything is read; empty for all others.
  std::vector<std::byte> literal;
  uint64_t row_elems() const { return ne[0]; }
  uint64_t rows() const;
  uint64_t elems() const { return row_elems() * rows(); }
  uint64_t row_bytes() const;  // of an encoded row
};

struct PlannedFile {
  std::string name;               // final name, without folder
  std::vector<std::byte> header;  // padded: the data begins where it ends
  uint64_t bytes = 0;             // whole file, trailing padding included
  uint32_t first_tensor = 0;      // tensors of a file are consecutive in Plan::tensors
  uint32_t n_tensors = 0;
};

// Parts of the digest, so that a refused resume can say which part differs.
struct DigestPart {
  std::string what;  // "tensor types", "source files", ...
  Sha256 hash;
  bool operator==(const DigestPart&) const = default;
};

struct Plan {
  std::string architecture;
  std::string model_name;
  Release loads;
  std::string recipe_name;
  Sha256 metadata_hash;  // of all keys and values
  Sha256 recipe_hash;    // of the resolved decisions
  std::string stem;      // of the output's names
  std::vector<PlannedFile> files;
  std::vector<PlannedTensor> tensors;      // in file order: by first source offset
  std::vector<Shard> shards;               // the source, by name
  std::vector<Weight> sources;             // Piece::source indexes this
  std::shared_ptr<const Imatrix> imatrix;  // nullptr: none
  std::optional<Sha256> imatrix_hash;      // of its file
  std::vector<Finding> findings;
  std::vector<DigestPart> digest_parts;
  Sha256 digest;
  uint64_t total_bytes() const;  // of all output files
  uint64_t parameters() const;   // weights of all tensors
  uint64_t source_bytes() const;
  // Shards that a tensor's values come from (codes and scales), and those of all tensors: only these are read.
  void add_shards_of(const PlannedTensor& tensor, std::set<uint32_t>& shards) const;
  std::set<uint32_t> used_shards() const;
};

struct SplitOptions {
  enum class Mode { kDefault, kSize, kTensors, kNone } mode = Mode::kDefault;
  uint64_t max_bytes = 0;    // kSize
  uint64_t max_tensors = 0;  // kTensors
};
inline constexpr uint64_t kDefaultSplitBytes = 50'000'000'000;
inline constexpr uint32_t kMaxShards = 64;  // what ik_llama.cpp and older llama.cpp can open

struct PlanOptions {
  std::optional<std::string> recipe;  // as given to -r; none: the default of the architecture
  std::vector<Rule> type_rules;       // -t and --tensor-type-file, in order
  std::set<GgmlType> keep;            // source blocks of these types are repacked as they are
  bool fp8_as_q8 = false;             // tensors that are FP8 in the source become Q8_0
  std::shared_ptr<const Imatrix> imatrix;
  SplitOptions split;
  std::optional<Effort> effort;        // none: default; rounding for the presets that copy llama.cpp's converter
  std::optional<Objective> objective;  // none: the type's own (codecs.h)
  std::vector<std::pair<std::string, MetadataValue>> metadata;  // --metadata overrides
  std::string stem;                                             // "" : "<Model>-<recipe>"
};

// "KEY=TYPE:VALUE" of --metadata; kUsage where malformed.
std::pair<std::string, MetadataValue> parse_metadata_option(std::string_view option);

// Throws kUsage for choices that cannot be planned, kBadInput for a source that cannot. The model's weights become the plan's
// sources: of a large quantized checkpoint they are 60 MB, which a temporary model gives away.
Plan make_plan(const Checkpoint& checkpoint, Model model, const PlanOptions& options);

}  // namespace ggufmill
