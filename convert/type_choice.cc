#include "convert/type_choice.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>
#include <tuple>

#include "convert/recipes/file_types.h"
#include "convert/scale_tensors.h"
#include "formats/error.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

// llama.cpp's LLAMA_FTYPE numbers for files that are mostly of one type (llama.h, b10573).
struct FileTypeRow {
  GgmlType type;
  uint32_t file_type;
};
constexpr auto kFileTypes = std::to_array<FileTypeRow>({
    {GgmlType::F32, 0},    {GgmlType::F16, 1},     {GgmlType::Q4_0, 2},     {GgmlType::Q4_1, 3},    {GgmlType::Q8_0, 7},
    {GgmlType::Q5_0, 8},   {GgmlType::Q5_1, 9},    {GgmlType::Q2_K, 10},    {GgmlType::Q3_K, 12},   {GgmlType::Q4_K, 15},
    {GgmlType::Q5_K, 17},  {GgmlType::Q6_K, 18},   {GgmlType::IQ2_XXS, 19}, {GgmlType::IQ2_XS, 20}, {GgmlType::IQ3_XXS, 23},
    {GgmlType::IQ1_S, 24}, {GgmlType::IQ4_NL, 25}, {GgmlType::IQ3_S, 26},   {GgmlType::IQ2_S, 28},  {GgmlType::IQ4_XS, 30},
    {GgmlType::IQ1_M, 31}, {GgmlType::BF16, 32},   {GgmlType::TQ1_0, 36},   {GgmlType::TQ2_0, 37},  {GgmlType::MXFP4, 38},
    {GgmlType::NVFP4, 39}, {GgmlType::Q1_0, 40},   {GgmlType::Q2_0, 41},
});

bool divides(GgmlType type, uint64_t row_elems) { return row_elems % info(type).block_elems == 0; }

// How many bits more than the smallest type of sufficient size a fallback may take for a lower error.
constexpr double kFallbackStep = 0.25;

// The type that a recipe's wanted type becomes where its block does not divide the row: of the types whose block does, with no
// fewer bits than were wanted, the smallest size; there the one with the lowest measured error. BF16 where no block divides.
GgmlType recipe_fallback(GgmlType wanted, uint64_t row_elems) {
  const auto possible = [&](const Codec& c) {
    return c.stands_in && divides(c.type, row_elems) && info(c.type).bits_per_weight() >= info(wanted).bits_per_weight();
  };
  double smallest = std::numeric_limits<double>::infinity();
  for (const Codec& c : codecs()) {
    if (possible(c)) smallest = std::min(smallest, info(c.type).bits_per_weight());
  }
  const Codec* best = nullptr;
  for (const Codec& c : codecs()) {
    if (!possible(c) || info(c.type).bits_per_weight() > smallest + kFallbackStep) continue;
    if (best == nullptr || c.typical_error < best->typical_error) best = &c;
  }
  return best == nullptr ? GgmlType::BF16 : best->type;
}

// llama.cpp's converter guesses "auto" from the first matrix (shards by name, names sorted inside a shard) that has 16 bits.
GgmlType guess_auto_type(const Checkpoint& checkpoint) {
  const SourceTensor* first = nullptr;
  for (const SourceTensor& t : checkpoint.tensors()) {
    if (t.shape.size() < 2 || (t.dtype != DType::BF16 && t.dtype != DType::F16)) continue;
    if (first == nullptr || std::tie(t.shard, t.name) < std::tie(first->shard, first->name)) first = &t;
  }
  return first != nullptr && first->dtype == DType::BF16 ? GgmlType::BF16 : GgmlType::F16;
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

class Chooser {
 public:
  Chooser(const Checkpoint& checkpoint, const Model& model, std::span<const Weight> weights, const Recipe& recipe,
          const TypeOptions& options, std::vector<Finding>& findings)
      : model_(model),
        weights_(weights),
        recipe_(recipe),
        options_(options),
        type_rules_(options.rules),
        findings_(findings),
        rule_hits_(type_rules_.size(), 0) {
    facts_.resize(model.tensors.size());
    fill_facts(options.has_imatrix);
    if (recipe.kind != Recipe::Kind::kRules) converter_type_ = recipe.converter_type.value_or(guess_auto_type(checkpoint));
    if (recipe.kind == Recipe::Kind::kFileType)
      file_type_choices_ = choose_by_file_type(*recipe.file_type, model, options.has_imatrix);
  }

  std::vector<TypeChoice> choose() {
    std::vector<TypeChoice> choices;
    for (size_t i = 0; i < model_.tensors.size(); ++i) {
      const ModelTensor& tensor = model_.tensors[i];
      TypeChoice choice = choose_one(i);
      choice.repack = choice.repack || (native_type(tensor) == choice.type && why_not_kept(tensor, choice.type).empty());
      choices.push_back(std::move(choice));
    }
    report(choices);
    return choices;
  }

 private:
  struct Fallback {
    uint64_t tensors = 0, wanted_bytes = 0, real_bytes = 0;
  };
  // What a rule gives a tensor, and the type that it wanted where that was not possible.
  struct Ruled {
    TypeChoice choice;
    std::optional<GgmlType> wanted;
  };

  void fill_facts(bool has_imatrix) {
    std::array<std::vector<size_t>, kTensorClasses> members;
    for (size_t i = 0; i < model_.tensors.size(); ++i) {
      const ModelTensor& t = model_.tensors[i];
      TensorFacts& f = facts_[i];
      f.name = t.name;
      f.tensor_class = classify(t.name, model_.mtp_block);
      f.row_elems = t.row_elems();
      f.layer = block_of(t.name);
      f.n_layers = model_.n_layers;
      f.n_experts = model_.n_experts;
      f.gqa_ratio = model_.gqa_ratio;
      f.tied_output = model_.tied_output;
      f.imatrix = has_imatrix;
      members[static_cast<size_t>(f.tensor_class)].push_back(i);
    }
    for (std::vector<size_t>& of_class : members) {
      std::ranges::sort(of_class, {}, [&](size_t i) { return std::tie(facts_[i].layer, facts_[i].name); });
      for (size_t rank = 0; rank < of_class.size(); ++rank) {
        facts_[of_class[rank]].rank = static_cast<uint32_t>(rank);
        facts_[of_class[rank]].count = static_cast<uint32_t>(of_class.size());
      }
    }
  }

  TypeChoice choose_one(size_t index) {
    const ModelTensor& tensor = model_.tensors[index];
    const TensorFacts& facts = facts_[index];
    const Rule* override_rule = nullptr;
    for (size_t i = 0; i < type_rules_.size(); ++i) {
      if (!type_rules_[i].matches(facts)) continue;
      ++rule_hits_[i];
      if (override_rule == nullptr) override_rule = &type_rules_[i];
    }
    const GgmlType fixed = tensor.fixed_type.value_or(GgmlType::F32);
    const bool stays = tensor.fixed_type || tensor.ne.size() < 2;
    if (override_rule == nullptr && !stays) {
      if (std::optional<TypeChoice> kept = by_source(tensor, facts)) return *kept;
    }
    const bool by_preset = override_rule == nullptr && recipe_.kind == Recipe::Kind::kFileType;
    if (by_preset && file_type_choices_[index].wanted) return by_file_type(tensor, facts, file_type_choices_[index]);
    if (stays) {
      if (override_rule != nullptr && override_rule->types[0] != fixed) ++overridden_[{override_rule->origin, fixed}];
      return {fixed, facts.tensor_class, "llama.cpp wants " + std::string(name(fixed))};
    }
    if (by_preset)
      return {converter_type_, facts.tensor_class, recipe_.name + ": llama-quantize keeps the converter's type", true};
    if (override_rule == nullptr && recipe_.kind == Recipe::Kind::kConverter) return by_converter(tensor, facts);
    const Ruled ruled = override_rule != nullptr ? by_rule(tensor, facts, *override_rule) : by_recipe(tensor, facts);
    if (ruled.wanted) count_fallback(tensor, *ruled.wanted, ruled.choice.type);
    return ruled.choice;
  }

  void count_fallback(const ModelTensor& tensor, GgmlType wanted, GgmlType real) {
    Fallback& f = fallbacks_[{wanted, real, tensor.row_elems()}];
    ++f.tensors;
    f.wanted_bytes += static_cast<uint64_t>(static_cast<double>(tensor.elems()) * info(wanted).bits_per_weight() / 8);
    f.real_bytes += *tensor_bytes(real, tensor.row_elems(), tensor.rows());
  }

  // The form that all of a tensor's sources have; nullptr where they have none or several.
  const WeightForm* form_of(const ModelTensor& tensor) const {
    const WeightForm* form = tensor.pieces.empty() ? nullptr : weights_[tensor.pieces[0].source].form;
    for (const Piece& p : tensor.pieces) {
      const WeightForm* other = weights_[p.source].form;
      if (form == nullptr || other == nullptr || other->name != form->name) return nullptr;
    }
    return form;
  }

  // The ggml type whose blocks can hold the bits of a tensor's sources.
  std::optional<GgmlType> native_type(const ModelTensor& tensor) const {
    const WeightForm* form = form_of(tensor);
    if (form == nullptr || find_codec(form->as_auto)->repack == nullptr) return std::nullopt;
    return form->as_auto;
  }

  // Why blocks of `type` cannot be moved into this tensor as they are; empty where they can.
  std::string why_not_kept(const ModelTensor& tensor, GgmlType type) const {
    const bool packed_rows = tensor.row_map.columns.empty() || tensor.row_map.moves_blocks(info(type).block_elems);
    if (tensor.op != ValueOp::kNone || !packed_rows) return "its values are transformed";
    if (std::ranges::any_of(tensor.pieces, [](const Piece& p) { return p.beside != Piece::kNone; }))
      return "its rows are joined from two matrices";
    if (!divides(type, tensor.row_elems())) {
      return "rows of " + std::to_string(tensor.row_elems()) + " are not whole blocks of " +
             std::to_string(info(type).block_elems);
    }
    const auto has_scale = [&](const Piece& p) { return !is_near_one(weights_[p.source].tensor_scales); };
    if (std::ranges::none_of(tensor.pieces, has_scale)) return "";
    if (!takes_scale(tensor.name)) return "llama.cpp reads no scale for this tensor";
    const uint64_t rows = tensor.ne.size() > 1 ? tensor.ne[1] : 1;  // of a matrix
    std::map<uint64_t, uint32_t> sources;                           // of each output matrix
    const bool one_scale_each = std::ranges::all_of(tensor.pieces, [&](const Piece& p) {
      return p.rows % rows == 0 || sources.try_emplace(p.out_row / rows, p.source).first->second == p.source;
    });
    return one_scale_each ? "" : "its matrices are joined from parts that have scales of their own";
  }

  // What the source's own form decides, before the recipe.
  std::optional<TypeChoice> by_source(const ModelTensor& tensor, const TensorFacts& facts) {
    const WeightForm* form = form_of(tensor);
    const bool as_auto = recipe_.kind == Recipe::Kind::kConverter && !recipe_.converter_type;
    if (form == nullptr) {
      for (const Piece& p : tensor.pieces) {
        const WeightForm* one = weights_[p.source].form;
        if (one == nullptr || find_codec(one->as_auto)->repack == nullptr) continue;
        if (as_auto || options_.keep.contains(one->as_auto))
          not_kept_[{one->as_auto, "some of its matrices have another form"}].push_back(tensor.name);
        break;
      }
      return std::nullopt;
    }
    const std::string source = "source is " + std::string(form->name);
    if (const std::optional<GgmlType> native = native_type(tensor); native && (as_auto || options_.keep.contains(*native))) {
      const std::string why_not = why_not_kept(tensor, *native);
      if (why_not.empty()) return TypeChoice{*native, facts.tensor_class, source + ", kept", as_auto, true};
      not_kept_[{*native, why_not}].push_back(tensor.name);
      return std::nullopt;
    }
    const bool is_eight_bits = info(weights_[tensor.pieces[0].source].code_kind).bits == 8;
    if (((options_.fp8_as_q8 && is_eight_bits) || (as_auto && form->as_auto == GgmlType::Q8_0)) &&
        (as_auto || divides(GgmlType::Q8_0, tensor.row_elems()))) {
      const bool fits = divides(GgmlType::Q8_0, tensor.row_elems());
      const std::string why =
          fits ? source : source + ": rows of " + std::to_string(tensor.row_elems()) + " are not whole blocks of Q8_0";
      return TypeChoice{fits ? GgmlType::Q8_0 : GgmlType::F16, facts.tensor_class, why, recipe_.kind == Recipe::Kind::kConverter};
    }
    return std::nullopt;
  }

  TypeChoice by_converter(const ModelTensor& tensor, const TensorFacts& facts) const {
    if (divides(converter_type_, tensor.row_elems())) return {converter_type_, facts.tensor_class, recipe_.name, true};
    return {GgmlType::F16, facts.tensor_class,
            recipe_.name + ": rows of " + std::to_string(tensor.row_elems()) + " are not whole blocks", true};
  }

  TypeChoice by_file_type(const ModelTensor& tensor, const TensorFacts& facts, const FileTypeChoice& choice) {
    std::string reason = recipe_.name + ": " + std::string(choice.reason);
    if (choice.type != *choice.wanted) {
      count_fallback(tensor, *choice.wanted, choice.type);
      reason +=
          "; rows of " + std::to_string(tensor.row_elems()) + " are not whole blocks of " + std::string(name(*choice.wanted));
    }
    if (choice.wants_imatrix && !facts.imatrix) ++without_imatrix_;
    return {choice.type, facts.tensor_class, reason, recipe_.file_type->of_converter};
  }

  // A tied embedding is the output matrix too: it gets the better of what the two classes would get.
  Ruled by_recipe(const ModelTensor& tensor, const TensorFacts& facts) const {
    const Ruled ruled = by_rule(tensor, facts, first_match(facts));
    if (facts.tensor_class != TensorClass::kEmbeddings || !model_.tied_output) return ruled;
    TensorFacts as_output = facts;
    as_output.tensor_class = TensorClass::kOutput;
    Ruled other = by_rule(tensor, as_output, first_match(as_output));
    other.choice.tensor_class = facts.tensor_class;
    other.choice.reason += ", as tied output";
    return info(other.choice.type).bits_per_weight() > info(ruled.choice.type).bits_per_weight() ? other : ruled;
  }

  const Rule& first_match(const TensorFacts& facts) const {
    const auto rule = std::ranges::find_if(recipe_.rules, [&](const Rule& r) { return r.matches(facts); });
    if (rule != recipe_.rules.end()) return *rule;
    throw Error(Exit::kUsage,
                "recipe " + recipe_.name + ": no rule matches " + quoted_tensor(facts.name) + " of class " +
                    std::string(name(facts.tensor_class)),
                "end the recipe with a [[rule]] that has only a type");
  }

  static Ruled by_rule(const ModelTensor& tensor, const TensorFacts& facts, const Rule& rule) {
    for (const GgmlType type : rule.types) {
      const Codec* codec = find_weight_codec(type);
      if (codec == nullptr || codec->encode == nullptr) {
        throw Error(Exit::kUsage, rule.origin + ": type " + std::string(name(type)) + " cannot be written");
      }
    }
    const auto fits = std::ranges::find_if(rule.types, [&](GgmlType type) { return divides(type, tensor.row_elems()); });
    if (fits != rule.types.end()) return {{*fits, facts.tensor_class, rule.origin}, std::nullopt};
    const GgmlType wanted = rule.types[0];
    const std::string why =
        rule.origin + ": rows of " + std::to_string(tensor.row_elems()) + " are not whole blocks of " + std::string(name(wanted));
    return {{recipe_fallback(wanted, tensor.row_elems()), facts.tensor_class, why}, wanted};
  }

  void report(const std::vector<TypeChoice>& choices) {
    report_fallbacks(choices);
    for (const auto& [what, tensors] : not_kept_) {
      findings_.push_back({Severity::kWarning, "", tensors.front(),
                           std::string(name(what.first)) + " blocks cannot be kept: " + what.second +
                               (tensors.size() > 1 ? " (and " + std::to_string(tensors.size() - 1) + " more tensors)" : "") +
                               "; " + recipe_.name + " decides"});
    }
    report_idle_options();
    for (size_t i = 0; i < type_rules_.size(); ++i) {
      if (rule_hits_[i] == 0) warn(type_rules_[i].origin + ": matches no tensor");
    }
    if (without_imatrix_ > 0) {
      warn("recipe " + recipe_.name + ": " + std::to_string(without_imatrix_) +
           (without_imatrix_ == 1 ? " tensor has a type" : " tensors have types") +
           " that llama-quantize refuses to write without an importance matrix: written all the same, --imatrix FILE lowers the "
           "error");
    }
    for (const auto& [what, n] : overridden_) {
      warn(what.first + ": " + std::to_string(n) + " of its tensors stay " + std::string(name(what.second)) +
           ", as llama.cpp wants them");
    }
  }

  void report_idle_options() {
    const auto has = [&](auto wanted) {
      return std::ranges::any_of(weights_, [&](const Weight& w) { return w.form != nullptr && wanted(w); });
    };
    for (const GgmlType type : options_.keep) {
      if (has([&](const Weight& w) { return w.form->as_auto == type; })) continue;
      warn(std::string(name(type)) + " is to be kept, but no tensor of the source is");
    }
    if (options_.fp8_as_q8 && !has([](const Weight& w) { return info(w.code_kind).bits == 8; }))
      warn("--fp8-as-q8: no tensor of the source is made of 8-bit floats");
  }

  // The whole model's bits first, then each kind of fallback with its cost.
  void report_fallbacks(const std::vector<TypeChoice>& choices) {
    if (fallbacks_.empty()) return;
    uint64_t nominal = 0, real = 0, total = 0, elems = 0;
    for (const auto& [key, f] : fallbacks_) nominal += f.wanted_bytes, real += f.real_bytes;
    for (size_t i = 0; i < choices.size(); ++i) {
      total += *tensor_bytes(choices[i].type, model_.tensors[i].row_elems(), model_.tensors[i].rows());
      elems += model_.tensors[i].elems();
    }
    const auto bits = [&](uint64_t bytes) { return fixed(8.0 * static_cast<double>(bytes) / static_cast<double>(elems), 2); };
    const std::string wanted_bits = bits(total - real + nominal), real_bits = bits(total);
    if (wanted_bits != real_bits) {
      findings_.insert(findings_.begin(), {Severity::kWarning, "", "",
                                           "recipe " + recipe_.name + ": nominal " + wanted_bits + " bits per weight, real " +
                                               real_bits + ", because rows are not whole blocks"});
    }
    for (const auto& [key, f] : fallbacks_) {
      const auto& [wanted, type, row] = key;
      const int64_t cost = static_cast<int64_t>(f.real_bytes) - static_cast<int64_t>(f.wanted_bytes);
      warn(std::to_string(f.tensors) + (f.tensors == 1 ? " tensor" : " tensors") + " with rows of " + std::to_string(row) + ": " +
           std::string(name(wanted)) + " becomes " + std::string(name(type)) + ", " + (cost >= 0 ? "+" : "") +
           std::to_string(cost) + " bytes (" + fixed(100 * static_cast<double>(cost) / static_cast<double>(f.wanted_bytes), 1) +
           " %)");
    }
  }

  void warn(std::string message) { findings_.push_back({Severity::kWarning, "", "", std::move(message)}); }

  const Model& model_;
  std::span<const Weight> weights_;
  const Recipe& recipe_;
  const TypeOptions& options_;
  std::span<const Rule> type_rules_;
  std::vector<Finding>& findings_;
  std::vector<TensorFacts> facts_;
  std::vector<uint64_t> rule_hits_;
  std::map<std::tuple<GgmlType, GgmlType, uint64_t>, Fallback> fallbacks_;         // wanted, real, row length
  std::map<std::pair<std::string, GgmlType>, uint64_t> overridden_;                // rule and the type that stays: tensors
  std::map<std::pair<GgmlType, std::string>, std::vector<std::string>> not_kept_;  // type and reason: tensors
  GgmlType converter_type_ = GgmlType::BF16;
  std::vector<FileTypeChoice> file_type_choices_;  // of a preset that is a file type
  uint64_t without_imatrix_ = 0;
};

// Whether every class-experts tensor (ffn, in a model without experts) gets one of its rule's own types.
bool expert_types_divide(const Model& model, const Recipe& recipe) {
  for (const ModelTensor& t : model.tensors) {
    TensorFacts facts;
    facts.name = t.name;
    facts.tensor_class = classify(t.name, model.mtp_block);
    facts.row_elems = t.row_elems();
    facts.n_experts = model.n_experts;
    const TensorClass wanted = model.n_experts > 0 ? TensorClass::kExperts : TensorClass::kFfn;
    if (facts.tensor_class != wanted || t.ne.size() < 2) continue;
    const auto rule = std::ranges::find_if(recipe.rules, [&](const Rule& r) { return r.matches(facts); });
    if (rule == recipe.rules.end()) return false;
    if (std::ranges::none_of(rule->types, [&](GgmlType type) { return divides(type, t.row_elems()); })) return false;
  }
  return true;
}

}  // namespace

std::vector<TypeChoice> choose_types(const Checkpoint& checkpoint, const Model& model, std::span<const Weight> weights,
                                     const Recipe& recipe, const TypeOptions& options, std::vector<Finding>& findings) {
  return Chooser(checkpoint, model, weights, recipe, options, findings).choose();
}

Recipe default_recipe(const Model& model) {
  for (const ShippedRecipe& shipped : shipped_recipes()) {
    Recipe recipe = parse_recipe(shipped.toml, shipped.name);
    if (std::ranges::find(recipe.architectures, model.architecture) == recipe.architectures.end()) continue;
    if (expert_types_divide(model, recipe)) return recipe;
  }
  return load_recipe("Q4_K_M");
}

uint32_t file_type_of(const Checkpoint& checkpoint, const Model& model, const Recipe& recipe,
                      const std::vector<TypeChoice>& choices) {
  if (recipe.kind == Recipe::Kind::kFileType) return recipe.file_type->number;
  std::map<GgmlType, uint64_t> bytes;
  for (size_t i = 0; i < choices.size(); ++i) {
    bytes[choices[i].type] += *tensor_bytes(choices[i].type, model.tensors[i].row_elems(), model.tensors[i].rows());
  }
  GgmlType most = GgmlType::F32;
  if (!bytes.empty()) most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; })->first;
  if (recipe.kind == Recipe::Kind::kConverter) {
    most = recipe.converter_type.value_or(guess_auto_type(checkpoint));
    const auto kept = std::ranges::find(choices, true, &TypeChoice::repack);
    if (kept != choices.end()) most = kept->type;
  }
  const auto row = std::ranges::find(kFileTypes, most, &FileTypeRow::type);
  return row == kFileTypes.end() ? 0 : row->file_type;
}

}  // namespace ggufmill
