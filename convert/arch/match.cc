// The matcher: source tensors x rules -> output tensors, without regular expressions.
//
// Rules are hashed by the key of their source's name (tensor_names.h), so a tensor finds its rules in one look-up: Ultra's 51,023
// tensors take some ten milliseconds.
#include <algorithm>
#include <cassert>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "convert/arch/arch.h"
#include "convert/arch/match_problems.h"
#include "convert/arch/move.h"
#include "convert/arch/name_prefixes.h"
#include "convert/arch/tensor_names.h"

namespace ggufmill {
namespace {

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text = "[";
  for (const uint64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

// Why a rule cannot read the weight; empty where it can.
std::string_view why_unreadable(const Rule& rule, const Weight& weight) {
  const DType dtype = weight.codes.dtype;
  if (rule.fixed_type == FixedType::kI32)
    return weight.form == nullptr && (dtype == DType::I32 || dtype == DType::I64) ? "" : "expected I32 or I64";
  const bool readable = weight.form != nullptr || dtype == DType::BF16 || dtype == DType::F16 || dtype == DType::F32;
  return readable ? "" : "expected BF16, F16, F32 or a quantized form";
}

std::optional<GgmlType> fixed_type_of(const Rule& rule, const ModelTensor& tensor) {
  switch (rule.fixed_type) {
    case FixedType::kByName:
      return converter_forces_f32(tensor.name, tensor.ne.size()) ? std::optional(GgmlType::F32) : std::nullopt;
    case FixedType::kNone:
      return std::nullopt;
    case FixedType::kF32:
      return GgmlType::F32;
    case FixedType::kI32:
      return GgmlType::I32;
  }
  return std::nullopt;
}

// A rule's dimensions, resolved: of one source; of the output, in one of several rules its own rows.
struct Geometry {
  std::vector<uint64_t> shape, ne;
  std::optional<MappedRows> moved;
};

// A rule of this model, and the source tensor of each of its places (block x expert), -1 where none yet.
struct ActiveRule {
  const Rule* rule = nullptr;
  bool per_block = false, per_expert = false;
  std::vector<Geometry> geometry;  // one, or one per block where blocks differ
  std::vector<int64_t> places;
  const Geometry& of_block(uint64_t block) const { return geometry[geometry.size() == 1 ? 0 : block]; }
};

class Matcher {
 public:
  Matcher(std::string_view folder, std::span<const Weight> weights, std::string_view architecture, std::span<const Rule> rules,
          const Layout& layout, MtpMode mtp)
      : folder_(folder),
        weights_(weights),
        architecture_(architecture),
        layout_(layout),
        mtp_(mtp),
        kinds_(layout.block_kinds + layout.mtp_kinds),
        names_(layout),
        trunk_seen_(layout.block_kinds.size()) {
    active_.reserve(rules.size());
    for (const Rule& rule : rules) add_rule(rule);
  }

  MatchedTensors run() {
    for (uint32_t i = 0; i < weights_.size(); ++i) place(i);
    for (const ActiveRule& active : active_) find_missing(active);
    check_left_out();
    check_trunk();
    check_forms();
    problems_.throw_if_any(folder_, architecture_, mtp_ == MtpMode::kInclude);
    report_dropped();
    for (const ActiveRule& active : active_) emit(active);
    return std::move(result_);
  }

 private:
  struct Candidate {
    size_t active;  // index into active_
    std::array<int64_t, kMaxNumbers> numbers{};
  };

  const BlockDim* block_dim(std::string_view name) const {
    const auto at = std::ranges::find(layout_.block_dims, name, &BlockDim::name);
    return at == layout_.block_dims.end() ? nullptr : &*at;
  }

  uint64_t dim(std::string_view name, size_t block) const {
    int64_t number = 0;
    if (parse_number(name, number)) return static_cast<uint64_t>(number);
    if (const BlockDim* d = block_dim(name)) return d->values.at(block);
    for (const Dim& d : layout_.dims) {
      if (d.name == name) return d.value;
    }
    assert(!"a rule names a dimension that its family does not set");
    return 0;
  }

  std::vector<uint64_t> resolved(const DimNames& names, size_t block) const {
    std::vector<uint64_t> values;
    for (const std::string_view name : names) {
      if (!name.empty()) values.push_back(dim(name, block));
    }
    return values;
  }

  uint64_t n_blocks(const ActiveRule& a) const { return a.per_block ? kinds_.size() : 1; }
  uint64_t n_experts(const ActiveRule& a) const { return a.per_expert ? layout_.n_experts : 1; }
  bool has_kind(const Rule& rule, size_t block) const {
    return rule.blocks.empty() || rule.blocks.find(kinds_[block]) != std::string_view::npos;
  }
  bool is_mtp(const ActiveRule& a, uint64_t block) const { return a.per_block && block >= layout_.block_kinds.size(); }
  // Whether what a rule takes of a block (0 for rules without blocks) becomes part of the output.
  bool is_wanted(const ActiveRule& a, uint64_t block) const {
    const Part part = is_mtp(a, block) ? Part::kMtp : a.rule->part;
    return part == Part::kMtp ? layout_.mtp_block >= 0 : part == Part::kShared || mtp_ != MtpMode::kOnly;
  }
  bool has_block(const Rule& rule, size_t block) const {
    return has_kind(rule, block) && (rule.only_if.empty() || dim(rule.only_if, block) != 0);
  }

  bool differs_by_block(const Rule& rule) const {
    const auto is_block_dim = [this](std::string_view name) { return block_dim(name) != nullptr; };
    return std::ranges::any_of(rule.shape, is_block_dim) || std::ranges::any_of(rule.ne, is_block_dim);
  }

  Geometry geometry(const Rule& rule, size_t block) const {
    Geometry g{.shape = resolved(rule.shape, block), .ne = resolved(rule.ne, block), .moved = std::nullopt};
    if (!rule.move.empty()) {
      Move move = parse_move(rule.move, g.shape, [&](std::string_view name) { return dim(name, block); });
      if (g.ne.empty()) g.ne = std::move(move.ne);
      g.moved = std::move(move.rows);
    }
    if (g.ne.empty()) g.ne.assign(g.shape.rbegin(), g.shape.rend());
    const bool stacked = rule.from.find("{xid}") != std::string_view::npos && rule.to.find("{xid}") == std::string_view::npos;
    if (stacked) g.ne.push_back(layout_.n_experts);
    return g;
  }

  void add_rule(const Rule& rule) {
    ActiveRule a;
    a.rule = &rule;
    a.per_block = rule.from.find("{bid}") != std::string_view::npos;
    a.per_expert = rule.from.find("{xid}") != std::string_view::npos;
    assert(!(a.per_expert && rule.presence == Presence::kOptional) && "stacked experts are all there or an error");
    if (!rule.only_if.empty() && !(a.per_block && block_dim(rule.only_if) != nullptr) && dim(rule.only_if, 0) == 0) return;
    if (rule.part == Part::kMtp && layout_.mtp_block < 0) return;
    const bool differs = a.per_block && differs_by_block(rule);
    for (size_t block = 0; block < (differs ? n_blocks(a) : 1); ++block)
      a.geometry.push_back(differs && !has_block(rule, block) ? Geometry{} : geometry(rule, block));
    a.places.assign(n_blocks(a) * n_experts(a), -1);
    active_.push_back(std::move(a));
    for (const std::string_view spelling : {rule.from, rule.alias}) {
      if (spelling.empty()) continue;
      NameKey key;
      const bool fits = make_key(spelling, true, key);
      assert(fits && "a rule's name has too many numbers");
      (void)fits;
      by_key_[key.text].push_back({active_.size() - 1, key.numbers});
    }
  }

  bool is_dropped(const std::string& name) {
    for (size_t i = 0; i < layout_.dropped_prefixes.size(); ++i) {
      if (!name.starts_with(layout_.dropped_prefixes[i])) continue;
      result_.dropped.push_back(name);
      ++dropped_by_prefix_[layout_.dropped_prefixes[i]];
      return true;
    }
    return false;
  }

  void report_dropped() {
    if (dropped_by_prefix_.empty()) return;
    std::string list;
    for (const auto& [prefix, n] : dropped_by_prefix_)
      list += (list.empty() ? "" : ", ") + std::string(prefix) + "* (" + std::to_string(n) + " tensors)";
    result_.findings.push_back({Severity::kWarning, "", "", "left out, not part of the text model: " + list});
  }

  // Finds the place of source tensor `index`, or notes why it has none.
  void place(uint32_t index) {
    const Weight& tensor = weights_[index];
    if (is_dropped(tensor.name)) return;
    const std::string_view name = names_.to_rules(tensor.name);
    if (!layout_.mtp_prefix.empty() && layout_.mtp_block < 0 && name.starts_with(layout_.mtp_prefix)) {
      result_.left_out.push_back(tensor.name);
      return;
    }
    std::string why = "unknown";
    if (make_key(name, false, key_)) {
      if (const auto found = by_key_.find(key_.text); found != by_key_.end()) {
        std::string_view taken_by;  // other rules of the same name take other parts
        for (const Candidate& candidate : found->second) {
          const std::string_view from = active_[candidate.active].rule->from;
          if ((taken_by.empty() || from == taken_by) && try_rule(index, candidate, why)) taken_by = from;
        }
        if (!taken_by.empty()) return;
      }
    }
    problems_.note(Problem::kUnknown, tensor.name, why);
  }

  // True if the rule took the tensor (also where it noted another problem with it).
  bool try_rule(uint32_t index, const Candidate& candidate, std::string& why) {
    ActiveRule& a = active_[candidate.active];
    int64_t block = 0, expert = 0;
    for (size_t i = 0; i < key_.n_numbers; ++i) {
      if (candidate.numbers[i] == kBlock)
        block = key_.numbers[i];
      else if (candidate.numbers[i] == kExpert)
        expert = key_.numbers[i];
      else if (candidate.numbers[i] != key_.numbers[i])
        return false;
    }
    if (a.per_block && static_cast<uint64_t>(block) >= n_blocks(a)) {
      why = too_many_blocks();
      return false;
    }
    if (is_mtp(a, static_cast<uint64_t>(block))) {
      if (!layout_.mtp_prefix.empty() && !names_.last_is_mtp()) {
        why = too_many_blocks();
        return false;
      }
      if (layout_.mtp_block < 0) {
        leave_mtp_out(a, index, static_cast<uint64_t>(block));
        return true;
      }
    } else if (a.per_block) {
      trunk_seen_[static_cast<size_t>(block)] = true;
    }
    if (a.per_expert && static_cast<uint64_t>(expert) >= n_experts(a)) {
      why = "unknown: the model has " + std::to_string(n_experts(a)) + " experts";
      return false;
    }
    if (a.per_block && !has_block(*a.rule, static_cast<size_t>(block))) {
      why = "unknown: block " + std::to_string(block) + " has none with this config.json";
      return false;
    }
    take(a, index, static_cast<uint64_t>(block) * n_experts(a) + static_cast<uint64_t>(expert));
    return true;
  }

  std::string too_many_blocks() const {
    return "unknown: the model has " + std::to_string(layout_.block_kinds.size()) + " blocks" +
           (layout_.mtp_block < 0
                ? ""
                : " and " + std::to_string(kinds_.size() - layout_.block_kinds.size()) + " of multi-token prediction");
  }

  void leave_mtp_out(const ActiveRule& a, uint32_t index, uint64_t block) {
    if (!mtp_left_out_.empty() && mtp_left_out_.back().first == index) return;
    mtp_left_out_.emplace_back(index, block);
    const bool of_mtp_alone =
        !a.rule->blocks.empty() && a.rule->blocks.find_first_not_of(layout_.mtp_kinds) == std::string_view::npos;
    if (of_mtp_alone || names_.last_is_mtp()) mtp_blocks_.insert(block);
  }

  // A block behind the last is of multi-token prediction only if something in it says so; else it is one that config.json lacks.
  void check_left_out() {
    for (const auto& [index, block] : mtp_left_out_) {
      if (mtp_blocks_.contains(block))
        note_once(result_.left_out, weights_[index].name);
      else
        problems_.note(Problem::kUnknown, weights_[index].name, too_many_blocks());
    }
  }

  // Where only multi-token prediction is wanted the trunk may be missing, but not a part of it: its block would get another
  // number.
  void check_trunk() {
    if (mtp_ != MtpMode::kOnly || std::ranges::find(trunk_seen_, true) == trunk_seen_.end()) return;
    for (const ActiveRule& a : active_) {
      if (!a.per_block || a.rule->to.empty() || a.rule->presence != Presence::kRequired) continue;
      for (size_t block = 0; block < trunk_seen_.size(); ++block) {
        if (!trunk_seen_[block] && has_block(*a.rule, block)) note_missing(a, block, 0);
      }
    }
  }

  // Two forms of the same in one block.
  void check_forms() {
    for (size_t second = 0; second < active_.size(); ++second) {
      for (size_t first = 0; first < second; ++first) {
        const ActiveRule &a = active_[first], &b = active_[second];
        if (b.rule->presence != Presence::kOneOf || a.rule->to != b.rule->to || a.rule->from == b.rule->from) continue;
        for (uint64_t block = 0; block < n_blocks(a); ++block) {
          const int64_t of_a = first_source(a, block), of_b = first_source(b, block);
          if (of_a < 0 || of_b < 0) continue;
          problems_.note(
              Problem::kUnknown, weights_[static_cast<size_t>(of_b)].name,
              "is there beside " + quoted_tensor(weights_[static_cast<size_t>(of_a)].name) + ", another form of the same");
        }
      }
    }
  }

  // The first source that a rule took in a block, -1: none.
  int64_t first_source(const ActiveRule& a, uint64_t block) const {
    const auto of_block = std::span(a.places).subspan(block * n_experts(a), n_experts(a));
    const auto found = std::ranges::find_if(of_block, [](int64_t source) { return source >= 0; });
    return found == of_block.end() ? -1 : *found;
  }

  void take(ActiveRule& a, uint32_t index, uint64_t place) {
    const Weight& tensor = weights_[index];
    const Geometry& g = a.of_block(place / n_experts(a));
    if (a.rule->to.empty()) return note_once(result_.dropped, tensor.name);
    if (!is_wanted(a, place / n_experts(a))) return note_once(result_.left_out, tensor.name);
    if (a.places[place] >= 0) {
      const Weight& first = weights_[static_cast<size_t>(a.places[place])];
      problems_.note(Problem::kUnknown, tensor.name, "is the same tensor as " + quoted_tensor(first.name));
    } else if (!tensor.problem.empty()) {
      problems_.note(Problem::kUnfit, tensor.name, tensor.problem);
    } else if (tensor.shape != g.shape) {
      problems_.note(Problem::kUnfit, tensor.name, "shape " + shape_text(tensor.shape) + ", expected " + shape_text(g.shape));
    } else if (const std::string_view why = why_unreadable(*a.rule, tensor); !why.empty()) {
      problems_.note(Problem::kUnfit, tensor.name, "type " + std::string(name(tensor.codes.dtype)) + ", " + std::string(why));
    }
    a.places[place] = index;
  }

  void find_missing(const ActiveRule& a) {
    if (a.rule->to.empty() || a.rule->presence == Presence::kOptional) return;
    for (uint64_t place = 0; place < a.places.size(); ++place) {
      const uint64_t block = place / n_experts(a);
      if (a.places[place] >= 0 || (a.per_block && !has_block(*a.rule, block)) || !is_wanted(a, block)) continue;
      if (a.rule->presence == Presence::kOneOf && !is_the_form(a, block)) continue;
      note_missing(a, block, place % n_experts(a));
    }
  }

  void note_missing(const ActiveRule& a, uint64_t block, uint64_t expert) {
    const std::string name = filled(a.rule->from, static_cast<int64_t>(block), static_cast<int64_t>(expert), layout_.mtp_block);
    problems_.note(Problem::kMissing, names_.to_checkpoint(name), "missing", is_mtp(a, block) || a.rule->part == Part::kMtp);
  }

  // Whether the rule's is the form in which its output was found in this block; where none was, the table's first is.
  bool is_the_form(const ActiveRule& rule, uint64_t block) const {
    const ActiveRule* first = nullptr;
    for (const ActiveRule& a : active_) {
      if (a.rule->presence != Presence::kOneOf || a.rule->to != rule.rule->to) continue;
      if (first == nullptr) first = &a;
      if (first_source(a, block) >= 0) return &a == &rule;
    }
    return first == &rule;
  }

  static void note_once(std::vector<std::string>& names, const std::string& name) {
    if (names.empty() || names.back() != name) names.push_back(name);
  }

  void emit(const ActiveRule& a) {
    if (a.rule->to.empty()) return;
    const bool stacked = a.per_expert && a.rule->to.find("{xid}") == std::string_view::npos;
    const uint64_t per_output = stacked ? n_experts(a) : 1;
    for (uint64_t first = 0; first < a.places.size(); first += per_output) {
      if (a.places[first] < 0) continue;
      const int64_t block = static_cast<int64_t>(first / n_experts(a)), expert = static_cast<int64_t>(first % n_experts(a));
      ModelTensor out;
      out.name = filled(a.rule->to, block, expert, layout_.mtp_block);
      const Geometry& g = a.of_block(first / n_experts(a));
      out.ne = g.ne;
      if (g.moved) out.row_map = g.moved->map;
      out.op = a.rule->op;
      out.fixed_type = fixed_type_of(*a.rule, out);
      if (!a.rule->ids_below.empty()) out.ids_below = dim(a.rule->ids_below, static_cast<size_t>(first / n_experts(a)));
      const uint64_t rows = out.rows() / per_output;
      for (uint64_t i = 0; i < per_output; ++i) add_pieces(g, static_cast<uint32_t>(a.places[first + i]), i * rows, rows, out);
      if (a.rule->beside)
        put_beside(out);
      else
        join_or_add(std::move(out));
    }
  }

  static void add_pieces(const Geometry& g, uint32_t source, uint64_t out_row, uint64_t rows, ModelTensor& out) {
    if (!g.moved) return out.pieces.push_back({.source = source, .out_row = out_row, .rows = rows});
    for (const MappedRows::Part& part : g.moved->parts) {
      out.pieces.push_back({.source = source, .out_row = out_row, .rows = part.rows, .first_elem = part.first_elem});
      out_row += part.rows;
    }
  }

  // Pieces whose rows stand in another order become pieces of neighbouring rows, which need no map.
  static void cut_into_runs(ModelTensor& tensor) {
    assert(tensor.row_map.columns.empty() && "only whole rows are joined in different orders");
    const uint64_t row_elems = tensor.ne.size() == 1 ? 1 : tensor.row_elems();
    std::vector<Piece> runs;
    for (const Piece& piece : tensor.pieces) {
      for (uint64_t row = 0; row < piece.rows; ++row) {
        const uint64_t elem = piece.first_elem + tensor.row_map.row_elem(row, row_elems);
        if (row > 0 && elem == runs.back().first_elem + runs.back().rows * row_elems)
          ++runs.back().rows;
        else
          runs.push_back({.source = piece.source, .out_row = piece.out_row + row, .rows = 1, .first_elem = elem});
      }
    }
    tensor.pieces = std::move(runs);
    tensor.row_map = {};
  }

  // The rows of a second source continue those that are there.
  void put_beside(const ModelTensor& tensor) {
    const auto first = by_output_.find(tensor.name);
    assert(first != by_output_.end() && "the rows that are continued come first");
    ModelTensor& left = result_.tensors[first->second];
    assert(left.ne.size() == 2 && left.ne[1] == tensor.ne[1] && left.pieces.size() == 1 && left.row_map == tensor.row_map &&
           left.op == ValueOp::kNone && "whole matrices are joined");
    left.pieces[0].beside = tensor.pieces[0].source;
    left.ne[0] += tensor.ne[0];
  }

  // The rows of a second rule for an output stand below those that are there.
  void join_or_add(ModelTensor&& tensor) {
    const auto [at, fresh] = by_output_.try_emplace(tensor.name, result_.tensors.size());
    if (fresh) return result_.tensors.push_back(std::move(tensor));
    ModelTensor& first = result_.tensors[at->second];
    if (first.row_map != tensor.row_map) {
      cut_into_runs(first);
      cut_into_runs(tensor);
    }
    assert(first.op == tensor.op && first.ne.size() <= 2 && "rows of one kind are joined");
    const uint64_t above = first.rows();
    for (Piece& piece : tensor.pieces) {
      piece.out_row += above;
      first.pieces.push_back(piece);
    }
    (first.ne.size() == 1 ? first.ne[0] : first.ne[1]) += tensor.ne.back();
  }

  std::string_view folder_;
  std::span<const Weight> weights_;
  std::string_view architecture_;
  const Layout& layout_;
  MtpMode mtp_;
  const std::string kinds_;  // of all blocks, MTP's behind the others
  std::vector<ActiveRule> active_;
  std::unordered_map<std::string, std::vector<Candidate>> by_key_;
  NameKey key_;  // of the tensor at hand, reused
  NamePrefixes names_;
  std::vector<bool> trunk_seen_;                             // blocks of which a tensor was seen
  std::vector<std::pair<uint32_t, uint64_t>> mtp_left_out_;  // source and block
  std::set<uint64_t> mtp_blocks_;                            // of those, with tensors that only such blocks have
  std::map<std::string_view, uint64_t> dropped_by_prefix_;
  MatchProblems problems_;
  std::unordered_map<std::string, size_t> by_output_;
  MatchedTensors result_;
};

}  // namespace

bool converter_forces_f32(std::string_view gguf_name, size_t n_dims) {
  if (n_dims <= 1 || gguf_name.ends_with("_norm.weight") || !gguf_name.ends_with(".weight")) return true;
  for (const std::string_view kind :
       {".ffn_gate_inp.weight", ".ffn_gate_inp_shexp.weight", ".ssm_conv1d.weight", ".indexer.proj.weight"}) {
    if (gguf_name.ends_with(kind)) return true;
  }
  return false;
}

MatchedTensors match_tensors(std::string_view folder, std::span<const Weight> weights, std::string_view architecture,
                             std::span<const Rule> rules, const Layout& layout, MtpMode mtp) {
  return Matcher(folder, weights, architecture, rules, layout, mtp).run();
}

}  // namespace ggufmill
