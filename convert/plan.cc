#include "convert/plan.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <tuple>

#include "convert/plan_digest.h"
#include "convert/plan_layout.h"
#include "convert/refused.h"
#include "convert/scale_tensors.h"
#include "convert/source_rows.h"
#include "convert/type_choice.h"
#include "formats/contradictions.h"
#include "formats/error.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

template <typename T>
T parse_number(std::string_view text, const std::string& where) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    throw Error(Exit::kUsage, where + ": \"" + printable(text) + "\" is not a value of that type");
  }
  return value;
}

// Keys that the layout of the files decides.
void check_metadata_key(const std::string& key, const std::string& where) {
  if (key.size() > kMaxGgufKeyBytes)
    throw Error(Exit::kUsage, where + ": a key has at most " + std::to_string(kMaxGgufKeyBytes) + " bytes");
  if (key == "general.alignment" || key.starts_with("split."))
    throw Error(Exit::kUsage, where + ": " + key + " is the program's to set");
}

bool is_plain_name(const std::string& text) { return text.find('/') == std::string::npos && printable(text, 4096) == text; }

// A model's name as a part of file names: it may come from a folder whose name is not UTF-8 or holds control characters, which no
// manifest and no line of SHA256SUMS can.
std::string plain_name(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '/') c = '_';
  }
  if (is_plain_name(text)) return text;
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '_');
  return text;
}

// Where a tensor's first byte stands in the source: what orders tensors in the output.
std::tuple<uint32_t, uint64_t> first_source(std::span<const Weight> weights, const std::vector<Piece>& pieces) {
  std::tuple<uint32_t, uint64_t> first{UINT32_MAX, UINT64_MAX};
  for (const Piece& p : pieces) {
    const SourceTensor& s = weights[p.source].codes;
    first = std::min(first, std::tuple(s.shard, s.extent.file_offset));
  }
  return first;
}

void bind_importance(PlannedTensor& tensor, const Imatrix& imatrix, std::vector<const PlannedTensor*>& without) {
  const Codec* codec = find_codec(tensor.type);
  if (codec == nullptr || !codec->uses_importance) return;
  const ImatrixEntry* entry = imatrix.find(tensor.name);
  if (entry == nullptr) {
    without.push_back(&tensor);
    return;
  }
  const uint64_t matrices = tensor.ne.size() > 2 ? tensor.ne[2] : 1;
  if (entry->n_in != tensor.row_elems() || entry->n_mat != matrices) {
    throw Error(Exit::kBadInput, printable(imatrix.file().path().filename().string()) + ": " + quoted_tensor(tensor.name) +
                                     ": has " + std::to_string(entry->n_mat) + " x " + std::to_string(entry->n_in) +
                                     " values, the tensor needs " + std::to_string(matrices) + " x " +
                                     std::to_string(tensor.row_elems()));
  }
  tensor.importance = entry;
}

void report_imatrix(const Plan& plan, const std::vector<const PlannedTensor*>& without, std::vector<Finding>& findings) {
  const auto add = [&](Severity severity, std::string tensor, std::string text) {
    findings.push_back({severity, "", std::move(tensor), std::move(text)});
  };
  for (const PlannedTensor* t : without) {
    // llama-imatrix never gathers any for the embeddings, and for the output only on request.
    const bool usual = t->tensor_class == TensorClass::kEmbeddings || t->tensor_class == TensorClass::kOutput;
    add(usual ? Severity::kInfo : Severity::kWarning, t->name, "no importance data: quantized with flat weights");
  }
  for (const PlannedTensor& t : plan.tensors) {
    if (t.importance == nullptr) continue;
    const auto unseen = std::ranges::count_if(t.importance->counts, [](float n) { return !(n > 0); });
    const auto all = static_cast<std::ptrdiff_t>(t.importance->counts.size());
    if (unseen == 0) continue;
    if (unseen == all) {
      add(Severity::kWarning, t.name, "importance data of no token: quantized with flat weights");
    } else {
      add(Severity::kInfo, t.name,
          std::to_string(unseen) + " of " + std::to_string(all) +
              " experts were never seen by the importance matrix: they get the layer's mean");
    }
  }
}

Sha256 hash_of_file(const InputFile& file) {
  Sha256Stream hash;
  std::vector<std::byte> buffer(4 << 20);
  for (uint64_t offset = 0; offset < file.bytes(); offset += buffer.size()) {
    const auto part = std::span(buffer).first(std::min<uint64_t>(buffer.size(), file.bytes() - offset));
    file.read_exact(offset, part);
    hash.update(part);
  }
  return hash.finish();
}

// As llama-quantize writes them, but with file names without folders.
void add_imatrix_keys(Metadata& metadata, const Imatrix& imatrix) {
  metadata.set("quantize.imatrix.file", printable(imatrix.file().path().filename().string(), 4096));
  if (!imatrix.datasets().empty()) {
    metadata.set("quantize.imatrix.dataset", std::filesystem::path(imatrix.datasets()[0]).filename().string());
  }
  metadata.set("quantize.imatrix.entries_count", static_cast<uint32_t>(imatrix.entries().size()));
  if (imatrix.chunk_count() > 0) metadata.set("quantize.imatrix.chunks_count", static_cast<uint32_t>(imatrix.chunk_count()));
}

// Weights that the tensors need, each once.
std::vector<uint32_t> used_weights(const Model& model) {
  std::set<uint32_t> used;
  for (const ModelTensor& t : model.tensors) {
    for (const Piece& p : t.pieces) {
      used.insert(p.source);
      if (p.beside != Piece::kNone) used.insert(p.beside);
    }
  }
  return {used.begin(), used.end()};
}

// Metadata that do not fit the tensors: config.json's, or an override's.
void refuse_contradictions(const Checkpoint& checkpoint, const Metadata& metadata, const std::vector<PlannedTensor>& tensors) {
  std::vector<NamedShape> shapes;
  for (const PlannedTensor& t : tensors) shapes.push_back({t.name, t.ne});
  std::vector<Finding> findings = find_contradictions(metadata, shapes);
  if (findings.empty()) return;
  std::vector<std::string> texts;
  for (const Finding& f : findings) texts.push_back((f.tensor.empty() ? "" : quoted_tensor(f.tensor) + " ") + f.message);
  throw Refused(checkpoint.folder().string() + ": metadata and tensors contradict each other: " + listed(texts, 3, "; "),
                std::move(findings));
}

// A quantized weight has no other rows than its own: the planner's tables may see a plain one as rows of another length.
void refuse_reshaped(const Plan& plan, const Model& model) {
  for (const ModelTensor& t : model.tensors) {
    for (const Piece& p : t.pieces) {
      const Weight& w = plan.sources[p.source];
      if (w.form == nullptr || !t.row_map.columns.empty() || w.columns() == t.row_elems() || p.beside != Piece::kNone) continue;
      throw Error(Exit::kBadInput, printable(plan.shards[w.codes.shard].name) + ": " + quoted_tensor(w.codes.name) + ": " +
                                       w.scheme() + " in rows of " + std::to_string(w.columns()) + ", but " + t.name +
                                       " has rows of " + std::to_string(t.row_elems()));
    }
  }
}

void override_metadata(Metadata& metadata, const PlanOptions& options, std::vector<Finding>& findings) {
  for (const auto& [key, value] : options.metadata) {
    const MetadataValue* old = metadata.find(key);
    if (old != nullptr && old->index() != value.index()) {
      findings.push_back({Severity::kWarning, "", "",
                          "--metadata " + printable(key) + ": changes its type from " + type_name(*old) + " to " +
                              type_name(value) + "; readers may refuse the file"});
    }
    metadata.set(key, value);
  }
}

std::vector<PlannedTensor> planned_tensors(const Plan& plan, const Model& model, const std::vector<TypeChoice>& choices,
                                           const PlanOptions& options) {
  std::vector<size_t> order(model.tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) {
    return std::tuple(first_source(plan.sources, model.tensors[i].pieces), model.tensors[i].name);
  });
  std::vector<PlannedTensor> tensors;
  tensors.reserve(order.size());
  for (const size_t i : order) {
    const ModelTensor& from = model.tensors[i];
    PlannedTensor t;
    t.name = from.name;
    t.type = choices[i].type;
    t.ne = from.ne;
    t.tensor_class = choices[i].tensor_class;
    t.reason = choices[i].reason;
    t.pieces = from.pieces;
    t.ids_below = from.ids_below;
    t.row_map = from.row_map;
    t.op = from.op;
    if (!from.values.empty()) {
      const auto bytes = std::as_bytes(std::span(from.values));
      t.literal.assign(bytes.begin(), bytes.end());
    }
    t.repack = choices[i].repack;
    t.effort = options.effort.value_or(choices[i].as_converter ? Effort::kFast : Effort::kDefault);
    t.objective = options.objective.value_or(find_codec(t.type)->objective);
    tensors.push_back(std::move(t));
  }
  return tensors;
}

}  // namespace

uint64_t PlannedTensor::rows() const { return std::accumulate(ne.begin() + 1, ne.end(), uint64_t{1}, std::multiplies<>()); }
uint64_t PlannedTensor::row_bytes() const { return row_elems() / info(type).block_elems * info(type).block_bytes; }

uint64_t Plan::total_bytes() const {
  return std::accumulate(files.begin(), files.end(), uint64_t{0}, [](uint64_t n, const PlannedFile& f) { return n + f.bytes; });
}
uint64_t Plan::parameters() const {
  return std::accumulate(tensors.begin(), tensors.end(), uint64_t{0},
                         [](uint64_t n, const PlannedTensor& t) { return n + t.elems(); });
}
uint64_t Plan::source_bytes() const {
  return std::accumulate(shards.begin(), shards.end(), uint64_t{0}, [](uint64_t n, const Shard& s) { return n + s.id.bytes; });
}

void Plan::add_shards_of(const PlannedTensor& tensor, std::set<uint32_t>& shards) const {
  const auto add = [&](const Weight& w) {
    shards.insert(w.codes.shard);
    for (const auto* part : {&w.scales, &w.tensor_scale}) {
      if (*part) shards.insert((*part)->shard);
    }
    if (tensor.repack && w.input_scale) shards.insert(w.input_scale->shard);
  };
  for (const Piece& p : tensor.pieces) {
    add(sources[p.source]);
    if (p.beside != Piece::kNone) add(sources[p.beside]);
  }
}

std::set<uint32_t> Plan::used_shards() const {
  std::set<uint32_t> used;
  for (const PlannedTensor& t : tensors) add_shards_of(t, used);
  return used;
}

std::pair<std::string, MetadataValue> parse_metadata_option(std::string_view option) {
  const std::string where = "--metadata " + printable(option);
  const size_t equals = option.find('=');
  const size_t colon = option.find(':', equals == std::string_view::npos ? 0 : equals);
  if (equals == std::string_view::npos || equals == 0 || colon == std::string_view::npos) {
    throw Error(Exit::kUsage, where + ": expected KEY=TYPE:VALUE");
  }
  if (printable(option, option.size()) != option) throw Error(Exit::kUsage, where + ": control characters or broken UTF-8");
  const std::string key(option.substr(0, equals));
  check_metadata_key(key, where);
  const std::string_view type = option.substr(equals + 1, colon - equals - 1), text = option.substr(colon + 1);
  if (type == "str") return {key, std::string(text)};
  if (type == "u8") return {key, parse_number<uint8_t>(text, where)};
  if (type == "i8") return {key, parse_number<int8_t>(text, where)};
  if (type == "u16") return {key, parse_number<uint16_t>(text, where)};
  if (type == "i16") return {key, parse_number<int16_t>(text, where)};
  if (type == "u32") return {key, parse_number<uint32_t>(text, where)};
  if (type == "i32" || type == "int") return {key, parse_number<int32_t>(text, where)};
  if (type == "u64") return {key, parse_number<uint64_t>(text, where)};
  if (type == "i64") return {key, parse_number<int64_t>(text, where)};
  if (type == "f32" || type == "float") return {key, parse_number<float>(text, where)};
  if (type == "f64") return {key, parse_number<double>(text, where)};
  if (type == "bool" && (text == "true" || text == "false")) return {key, text == "true"};
  if (type == "bool") throw Error(Exit::kUsage, where + ": a bool is true or false");
  throw Error(Exit::kUsage, where + ": type must be one of str u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool");
}

Plan make_plan(const Checkpoint& checkpoint, Model model, const PlanOptions& options) {
  Plan plan;
  plan.architecture = model.architecture;
  plan.model_name = model.name;
  plan.loads = model.loads;
  plan.findings = model.findings;
  plan.shards.assign(checkpoint.shards().begin(), checkpoint.shards().end());
  plan.sources = std::move(model.weights);
  plan.imatrix = options.imatrix;
  refuse_reshaped(plan, model);
  read_tensor_scales(plan.shards, used_weights(model), plan.sources);

  // Types.
  const Recipe recipe = options.recipe ? load_recipe(*options.recipe) : default_recipe(model);
  plan.recipe_name = recipe.name;
  const std::vector<TypeChoice> choices =
      choose_types(checkpoint, model, plan.sources, recipe,
                   {options.type_rules, options.keep, options.fp8_as_q8, options.imatrix != nullptr}, plan.findings);
  plan.tensors = planned_tensors(plan, model, choices, options);
  add_scale_tensors(plan.sources, plan.tensors, plan.findings);
  plan.stem = options.stem.empty() ? plain_name(model.name + "-" + recipe.name) : options.stem;
  if (!is_plain_name(plan.stem))
    throw Error(Exit::kUsage, "output name " + printable(plan.stem) + ": control characters or broken UTF-8");

  // Metadata.
  Metadata metadata = model.metadata;
  metadata.set("general.file_type", file_type_of(checkpoint, model, recipe, choices));
  if (plan.imatrix != nullptr) {
    std::vector<const PlannedTensor*> without;
    for (PlannedTensor& t : plan.tensors) bind_importance(t, *plan.imatrix, without);
    report_imatrix(plan, without, plan.findings);
    add_imatrix_keys(metadata, *plan.imatrix);
    plan.imatrix_hash = hash_of_file(plan.imatrix->file());
  }
  override_metadata(metadata, options, plan.findings);
  refuse_contradictions(checkpoint, metadata, plan.tensors);

  // From here every name, type and shape is decided; from the next line on every offset.
  plan.metadata_hash = sha256(gguf_header_bytes(metadata, {}));
  lay_out(plan, metadata, options.split);
  add_digest(plan);
  return plan;
}

}  // namespace ggufmill
