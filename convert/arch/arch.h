// How an architecture is written down: a table of rules (source name -> GGUF name, shape, transform) and a function that reads
// config.json. One matcher (match.cc) turns any table into output tensors; no family has code of its own for that.
//
// A rule as a designated initializer:
//   {.from = "backbone.layers.{bid}.mixer.experts.{xid}.up_proj.weight", .to = "blk.{bid}.ffn_up_exps.weight", .blocks = "E",
//    .shape = {"n_ff_exp", "n_embd_exp"}}
// {bid} is a block, {xid} an expert. An {xid} missing on the right means: stack the experts on a new outermost axis in the
// order of their numbers. Several rules may take parts of one source (the same `from`), and several rules may make one output
// (the same `to`): its rows are those of the rules, one below the other in the order of the table (or beside each other). {mtp}
// on the right is the block that holds multi-token prediction. Shapes are names of dimensions that the family's function has
// computed from config.json (Layout::dims), or plain numbers.
//
// Blocks that hold multi-token prediction come in two spellings. Where they have a prefix of their own (mtp.layers.0), rules name
// them as they are (Part::kMtp, {mtp} on the right). Where they are numbered on behind the last block (model.layers.61), they are
// blocks like others, with kinds of their own (Layout::mtp_kinds), and rules with {bid} match them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/arch/config.h"
#include "convert/model.h"
#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {

// Which outputs a rule serves: the trunk, the multi-token-prediction block, or both (embeddings, final norm, output).
enum class Part : uint8_t { kTrunk, kMtp, kShared };

// kOneOf: published in several forms (experts one by one, or stacked and fused). Of the kOneOf rules of a block one form is
// there: those whose source begins like one that was found are required, the others not wanted.
enum class Presence : uint8_t { kRequired, kOptional, kOneOf };

// What recipes cannot change: F32 where llama.cpp's converter writes it because of the GGUF name (norms, routers, convolutions,
// biases, 1-D); nothing, where it misses a name that it would force; F32 whatever the name; I32 for tables of ids.
enum class FixedType : uint8_t { kByName, kNone, kF32, kI32 };

using DimNames = std::array<std::string_view, 4>;  // unused entries are empty

struct Rule {
  std::string_view from;          // source name
  std::string_view alias = "";    // another spelling of the same source name
  std::string_view to = "";       // GGUF name; empty: dropped by name
  std::string_view blocks = "";   // kinds of blocks (characters of Layout::block_kinds, mtp_kinds) that have it; empty: all
  std::string_view only_if = "";  // a dimension that must not be 0; else the rule does not exist (for that block)
  DimNames shape{};               // of one source tensor, outermost first; not checked where dropped
  DimNames ne{};                  // of the output, innermost first; default: the move's or the reversed shape (then the experts)
  std::string_view move = "";     // which values in which order (move.h); empty: all as they are
  ValueOp op = ValueOp::kNone;
  Part part = Part::kTrunk;
  Presence presence = Presence::kRequired;
  FixedType fixed_type = FixedType::kByName;
  std::string_view ids_below = "";  // of a table of ids: the dimension that they index
  bool beside = false;  // its rows continue those of the rule before it with the same `to`, one by one, instead of standing below
};

struct Dim {
  std::string_view name;
  uint64_t value = 0;
};

// A dimension that differs by block: one value for each.
struct BlockDim {
  std::string_view name;
  std::vector<uint64_t> values;
};

// How names of this checkpoint begin and how the rules have it: {"language_model.", ""}, {"mtp.layers.0.", "model.layers.60."}.
struct Prefix {
  std::string from, to;
};

// What the matcher needs to know of a model.
struct Layout {
  std::string block_kinds;     // one character per block, MTP not counted
  std::string mtp_kinds = "";  // of MTP blocks that are numbered on behind the last
  uint32_t n_experts = 0;      // range of {xid}
  std::vector<Dim> dims;
  std::vector<BlockDim> block_dims;                // for rules with {bid}; values for the blocks of mtp_kinds too
  std::vector<Prefix> prefixes;                    // the first that a name begins with is replaced
  std::vector<std::string_view> dropped_prefixes;  // parts that are no text model (vision towers): left out, with a finding
  std::string_view mtp_prefix = "";                // names of MTP tensors start so; empty: the family has none
  int64_t mtp_block = -1;                          // {mtp}, or the first of mtp_kinds; -1: MTP tensors are left out
};

// Result of matching: see Model for the fields.
struct MatchedTensors {
  std::vector<ModelTensor> tensors;
  std::vector<std::string> dropped;
  std::vector<std::string> left_out;
  std::vector<Finding> findings;
};

// Applies `rules` to every weight. Throws one Refused that counts and lists (the first kMaxListedProblems; its findings are all)
// tensors that no rule knows, that are missing, that have another shape, or a form that cannot be read. `folder` names the
// source.
inline constexpr size_t kMaxListedProblems = 8;
MatchedTensors match_tensors(std::string_view folder, std::span<const Weight> weights, std::string_view architecture,
                             std::span<const Rule> rules, const Layout& layout, MtpMode mtp);

// True where llama.cpp's converter (conversion/base.py, prepare_tensors) writes F32 whatever the output type.
bool converter_forces_f32(std::string_view gguf_name, size_t n_dims);

// What a family's function makes of config.json.
struct ArchDescription {
  std::string gguf_name;  // general.architecture
  Layout layout;
  Metadata metadata;  // the architecture's keys in the converter's order, general.file_type (0) among them
  TokenizerRequest tokenizer;
  double gqa_ratio = 1;
  Release loads;
  std::string_view why_mtp_left_out = "config.json does not announce (num_nextn_predict_layers)";  // "an MTP block that ..."
  std::vector<ModelTensor> computed;  // tensors without source: name, ne, values
  std::vector<Finding> findings;
};

struct Architecture {
  std::string_view hf_name;     // architectures[0] of config.json
  std::string_view gguf_names;  // general.architecture; several, where config.json decides
  std::string_view models;      // that are published so
  std::span<const Rule> rules;
  ArchDescription (*describe)(const Config& config, const ModelOptions& options);
};

// All known architectures, by hf_name.
std::span<const Architecture> architectures();
// kBadInput for an unknown one, with the nearest known name as hint.
const Architecture& find_architecture(const Config& config);

}  // namespace ggufmill
