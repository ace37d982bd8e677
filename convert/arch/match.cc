// The matcher: source tensors x rules -> output tensors, without regular expressions.
//
// A name is cut at its dots; every segment that is a plain number becomes '#':
// "backbone.layers.12.mixer.experts.5.up_proj.weight" has the key "backbone.layers.#.mixer.experts.#.up_proj.weight" and the
// numbers 12, 5. Rules are hashed by the same key, so a tensor finds its rule in one look-up, and the rule says what each number
// must be: a literal, a block or an expert. Ultra's 51,023 tensors take some ten milliseconds.
#include <algorithm>
#include <cassert>
#include <map>
#include <optional>
#include <unordered_map>

#include "convert/arch/arch.h"
#include "convert/arch/move.h"

namespace ggufmill {
namespace {

constexpr int64_t kBlock = -1, kExpert = -2;  // what a number of a pattern stands for; >= 0: itself
constexpr size_t kMaxNumbers = 4;             // numbers in one name; more is no tensor of ours

struct Key {
  std::string text;
  std::array<int64_t, kMaxNumbers> numbers{};
  size_t n_numbers = 0;
};

// A canonical decimal number below 2^31: no sign, no leading zero.
bool parse_number(std::string_view segment, int64_t& number) {
  if (segment.empty() || segment.size() > 10 || (segment.size() > 1 && segment[0] == '0')) return false;
  number = 0;
  for (const char c : segment) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + (c - '0');
  }
  return number < (int64_t{1} << 31);
}

// Fills `key` from a tensor name or, with `pattern`, from a rule's. False: more than kMaxNumbers numbers.
bool make_key(std::string_view name, bool pattern, Key& key) {
  key.text.clear();
  key.n_numbers = 0;
  for (size_t at = 0; at <= name.size();) {
    const size_t dot = std::min(name.find('.', at), name.size());
    const std::string_view segment = name.substr(at, dot - at);
    int64_t number = 0;
    const bool is_block = pattern && segment == "{bid}", is_expert = pattern && segment == "{xid}";
    if (at > 0) key.text += '.';
    if (is_block || is_expert || parse_number(segment, number)) {
      if (key.n_numbers == kMaxNumbers) return false;
      key.numbers[key.n_numbers++] = is_block ? kBlock : is_expert ? kExpert : number;
      key.text += '#';
    } else {
      key.text += segment;
    }
    at = dot + 1;
  }
  return true;
}

std::string filled(std::string_view pattern, int64_t block, int64_t expert, int64_t mtp_block) {
  std::string name;
  for (size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '{') {
      name += pattern[at++];
      continue;
    }
    const std::string_view variable = pattern.substr(at, 5);
    assert(variable == "{bid}" || variable == "{xid}" || variable == "{mtp}");
    name += std::to_string(variable == "{bid}" ? block : variable == "{xid}" ? expert : mtp_block);
    at += 5;
  }
  return name;
}

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text = "[";
  for (const uint64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

bool is_readable(const Weight& weight) {
  const DType dtype = weight.codes.dtype;
  return weight.form != nullptr || dtype == DType::BF16 || dtype == DType::F16 || dtype == DType::F32;
}

// A rule's dimensions, resolved: of one source; of the output, in one of several rules its own rows.
struct Geometry {
  std::vector<uint64_t> shape, ne;
  std::optional<MappedRows> moved;
};

// A rule of this model, and the source tensor of each of its places (block x expert), -1 where none yet.
struct ActiveRule {
  const Rule* rule = nullptr;
  bool per_block = false, per_expert = false, wanted = true;
  std::vector<Geometry> geometry;  // one, or one per block where blocks differ
  std::vector<int64_t> places;
  const Geometry& of_block(uint64_t block) const { return geometry[geometry.size() == 1 ? 0 : block]; }
};

class Matcher {
 public:
  Matcher(std::string_view folder, std::span<const Weight> weights, std::string_view architecture, std::span<const Rule> rules,
          const Layout& layout, MtpMode mtp)
      : folder_(folder), weights_(weights), architecture_(architecture), layout_(layout), mtp_(mtp) {
    active_.reserve(rules.size());
    for (const Rule& rule : rules) add_rule(rule);
  }

  MatchedTensors run() {
    for (uint32_t i = 0; i < weights_.size(); ++i) place(i);
    for (const ActiveRule& active : active_) find_missing(active);
    throw_problems();
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

  uint64_t n_blocks(const ActiveRule& a) const { return a.per_block ? layout_.block_kinds.size() : 1; }
  uint64_t n_experts(const ActiveRule& a) const { return a.per_expert ? layout_.n_experts : 1; }
  bool has_kind(const Rule& rule, size_t block) const {
    return rule.blocks.empty() || rule.blocks.find(layout_.block_kinds[block]) != std::string_view::npos;
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
    a.wanted = mtp_ != MtpMode::kOnly || rule.part != Part::kTrunk;
    const bool differs = a.per_block && differs_by_block(rule);
    for (size_t block = 0; block < (differs ? n_blocks(a) : 1); ++block)
      a.geometry.push_back(differs && !has_block(rule, block) ? Geometry{} : geometry(rule, block));
    a.places.assign(n_blocks(a) * n_experts(a), -1);
    active_.push_back(std::move(a));
    for (const std::string_view spelling : {rule.from, rule.alias}) {
      if (spelling.empty()) continue;
      Key key;
      const bool fits = make_key(spelling, true, key);
      assert(fits && "a rule's name has too many numbers");
      (void)fits;
      by_key_[key.text].push_back({active_.size() - 1, key.numbers});
    }
  }

  // The name as the rules have it.
  std::string_view rule_name(const std::string& name) {
    for (const Prefix& p : layout_.prefixes) {
      if (!name.starts_with(p.from)) continue;
      renamed_ = std::string(p.to) + name.substr(p.from.size());
      return renamed_;
    }
    return name;
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
    const std::string_view name = rule_name(tensor.name);
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
    note(unknown_, tensor.name, why);
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
      why = "unknown: the model has " + std::to_string(n_blocks(a)) + " blocks";
      return false;
    }
    if (a.per_expert && static_cast<uint64_t>(expert) >= n_experts(a)) {
      why = "unknown: the model has " + std::to_string(n_experts(a)) + " experts";
      return false;
    }
    if (a.per_block && !has_block(*a.rule, static_cast<size_t>(block))) {
      why = "unknown: block " + std::to_string(block) +
            (has_kind(*a.rule, static_cast<size_t>(block)) ? " has " + std::string(a.rule->only_if) + " 0"
                                                           : std::string(" is of kind '") + layout_.block_kinds[block] + "'");
      return false;
    }
    take(a, index, static_cast<uint64_t>(block) * n_experts(a) + static_cast<uint64_t>(expert));
    return true;
  }

  void take(ActiveRule& a, uint32_t index, uint64_t place) {
    const Weight& tensor = weights_[index];
    const Geometry& g = a.of_block(place / n_experts(a));
    if (a.rule->to.empty()) return note_once(result_.dropped, tensor.name);
    if (!a.wanted) return note_once(result_.left_out, tensor.name);
    if (a.places[place] >= 0) {
      const Weight& first = weights_[static_cast<size_t>(a.places[place])];
      note(unknown_, tensor.name, "is the same tensor as " + quoted_tensor(first.name));
    } else if (!tensor.problem.empty()) {
      note(unfit_, tensor.name, tensor.problem);
    } else if (tensor.shape != g.shape) {
      note(unfit_, tensor.name, "shape " + shape_text(tensor.shape) + ", expected " + shape_text(g.shape));
    } else if (!is_readable(tensor)) {
      note(unfit_, tensor.name,
           "type " + std::string(name(tensor.codes.dtype)) + ", expected BF16, F16, F32 or a quantized form");
    }
    a.places[place] = index;
  }

  void find_missing(const ActiveRule& a) {
    if (!a.wanted || a.rule->to.empty() || a.rule->presence == Presence::kOptional) return;
    for (uint64_t place = 0; place < a.places.size(); ++place) {
      const uint64_t block = place / n_experts(a);
      if (a.places[place] >= 0 || (a.per_block && !has_block(*a.rule, block))) continue;
      note(missing_,
           filled(a.rule->from, static_cast<int64_t>(block), static_cast<int64_t>(place % n_experts(a)), layout_.mtp_block),
           "missing");
    }
  }

  struct Problems {
    uint64_t count = 0;
    std::vector<std::string> listed;  // the first kMaxListedProblems
  };
  static void note(Problems& problems, std::string_view tensor, std::string_view why) {
    if (problems.count++ < kMaxListedProblems) problems.listed.push_back(quoted_tensor(tensor) + " " + std::string(why));
  }

  // One line: counts per kind, then the first few, a fair share of each kind.
  void throw_problems() const {
    const uint64_t total = unknown_.count + unfit_.count + missing_.count;
    if (total == 0) return;
    std::string counts, list;
    const auto count = [&](const Problems& p, std::string_view what) {
      if (p.count > 0) counts += (counts.empty() ? "" : ", ") + std::to_string(p.count) + " " + std::string(what);
    };
    count(unknown_, "unknown");
    count(unfit_, "of another shape or type");
    count(missing_, "missing");
    size_t listed = 0;
    for (size_t i = 0; i < kMaxListedProblems; ++i) {
      for (const Problems* p : {&unknown_, &unfit_, &missing_}) {
        if (i >= p->listed.size() || listed == kMaxListedProblems) continue;
        list += (list.empty() ? "" : "; ") + p->listed[i];
        ++listed;
      }
    }
    if (listed < total) list += "; and " + std::to_string(total - listed) + " more";
    throw Error(Exit::kBadInput, std::string(folder_) + ": the tensors are not those of " + std::string(architecture_) +
                                     " with this config.json (" + counts + "): " + list);
  }

  static void note_once(std::vector<std::string>& names, const std::string& name) {
    if (names.empty() || names.back() != name) names.push_back(name);
  }

  void emit(const ActiveRule& a) {
    if (!a.wanted || a.rule->to.empty()) return;
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
      out.always_f32 = a.rule->forced_f32 == ForcedF32::kByName && converter_forces_f32(out.name, out.ne.size());
      const uint64_t rows = out.rows() / per_output;
      for (uint64_t i = 0; i < per_output; ++i) add_pieces(g, static_cast<uint32_t>(a.places[first + i]), i * rows, rows, out);
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

  // The rows of a second rule for an output stand below those that are there.
  void join_or_add(ModelTensor&& tensor) {
    const auto [at, fresh] = by_output_.try_emplace(tensor.name, result_.tensors.size());
    if (fresh) return result_.tensors.push_back(std::move(tensor));
    ModelTensor& first = result_.tensors[at->second];
    assert(first.row_map == tensor.row_map && first.op == tensor.op && first.ne.size() <= 2 && "rows of one kind are joined");
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
  std::vector<ActiveRule> active_;
  std::unordered_map<std::string, std::vector<Candidate>> by_key_;
  Key key_;              // of the tensor at hand, reused
  std::string renamed_;  // its name, where a prefix is replaced
  std::map<std::string_view, uint64_t> dropped_by_prefix_;
  Problems unknown_, unfit_, missing_;
  std::unordered_map<std::string, size_t> by_output_;
  MatchedTensors result_;
};

}  // namespace

bool converter_forces_f32(std::string_view gguf_name, size_t n_dims) {
  if (n_dims <= 1 || gguf_name.ends_with("_norm.weight") || !gguf_name.ends_with(".weight")) return true;
  for (const std::string_view kind : {".ffn_gate_inp.weight", ".ffn_gate_inp_shexp.weight", ".ssm_conv1d.weight"}) {
    if (gguf_name.ends_with(kind)) return true;
  }
  return false;
}

MatchedTensors match_tensors(std::string_view folder, std::span<const Weight> weights, std::string_view architecture,
                             std::span<const Rule> rules, const Layout& layout, MtpMode mtp) {
  return Matcher(folder, weights, architecture, rules, layout, mtp).run();
}

}  // namespace ggufmill
