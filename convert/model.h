// What a checkpoint is as a GGUF model, before types are chosen: metadata and tensors with their source rows.
//
// describe_model() is the only door to the architecture tables (convert/arch) and the tokenizers (convert/tokenizer). Nothing
// outside those two folders knows a model's name.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "convert/row_map.h"
#include "convert/weights.h"
#include "formats/checkpoint.h"
#include "formats/finding.h"
#include "formats/metadata.h"

namespace ggufmill {

// Which parts of a checkpoint with a multi-token-prediction block are wanted.
enum class MtpMode { kInclude, kLeaveOut, kOnly };

struct ModelOptions {
  MtpMode mtp = MtpMode::kInclude;
  bool vocab_only = false;
  bool tensors_only = false;                              // without the tokenizer's keys: for a comparison of values
  std::function<bool(std::string_view)> has_tensor = {};  // of the checkpoint, by its name; describe_model() fills it
  std::string chat_template = {};                         // instead of the checkpoint's; "": none given
  std::string pre_tokenizer = {};  // tokenizer.ggml.pre instead of what tokenizer.json shows; "" : none given
};

// The closed set of value transforms, applied in f32 to the decoded source value.
enum class ValueOp : uint8_t {
  kNone,
  kNegExp,  // -exp(x): computed in double, rounded once (A_log -> ssm_a)
  kAddOne,  // x + 1: norms whose weights are stored around zero
};

// A source tensor's contribution: rows of the output's row length that land at out_row onwards, taken as the tensor's RowMap says
// from first_elem on; whole groups of it.
struct Piece {
  uint32_t source = 0;   // index into Model::weights
  uint64_t out_row = 0;  // first row in the output tensor (expert e: e * rows of one expert)
  uint64_t rows = 0;
  uint64_t first_elem = 0;  // of the source
  // A second source whose rows continue those of the first, one by one: its values stand behind theirs. kNone: there is none.
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t beside = kNone;
};

// One output tensor.
struct ModelTensor {
  std::string name;           // GGUF name
  std::vector<uint64_t> ne;   // innermost first
  std::vector<Piece> pieces;  // by out_row, tiling all rows
  RowMap row_map;             // of every piece
  ValueOp op = ValueOp::kNone;
  std::vector<float> values;  // of a tensor that is computed from the config; it has no pieces and is F32
  // The type whatever the recipe says: F32 where llama.cpp's converter always writes it (1-D tensors, norms, routers, conv, names
  // that do not end in ".weight"), I32 for tables of ids.
  std::optional<GgmlType> fixed_type = {};
  uint64_t ids_below = 0;  // of a table of ids: what they must be below
  uint64_t row_elems() const { return ne[0]; }
  uint64_t rows() const;
  uint64_t elems() const;
};

// The first release of llama.cpp that loads what is written, b10573 being the one that all tables are compared with.
struct Release {
  std::string from = "b10573";
  std::string hint = "";  // how an older one could
};

struct Model {
  std::string architecture;  // general.architecture
  Release loads;
  std::string name;  // base of output file names: the repository's name
  // Complete, in llama.cpp's order; general.file_type is present with value 0 at its place, and the plan sets it.
  Metadata metadata;
  std::vector<Weight> weights;        // of the checkpoint, all of them
  std::vector<ModelTensor> tensors;   // order free; the plan sorts by first source offset
  std::vector<std::string> dropped;   // source tensors left out by name (never weights that the family maps)
  std::vector<std::string> left_out;  // source tensors of a part that is not wanted: MTP, or all but MTP
  std::vector<Finding> findings;
  // Facts that recipes may use.
  uint32_t n_layers = 0;   // blocks without MTP
  int64_t mtp_block = -1;  // index of the block that holds MTP, -1 without (or left out)
  uint32_t n_experts = 0;
  double gqa_ratio = 1;      // heads per kv head, where the model has attention
  bool tied_output = false;  // no output.weight: token_embd serves as both
};

// Throws kUsage for an unknown name of a pre-tokenizer, kBadInput: unknown architecture (with the nearest known), missing or
// contradicting config fields, tensors that no rule knows, that are missing or have another shape: all of them are named in one
// error.
Model describe_model(const Checkpoint& checkpoint, const ModelOptions& options);

// The text of a file for ModelOptions::chat_template; kBadInput where it is not UTF-8, empty, or larger than any template.
std::string chat_template_file(const std::string& path);

}  // namespace ggufmill
