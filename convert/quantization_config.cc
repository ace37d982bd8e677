#include "convert/quantization_config.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>

#include "formats/error.h"

namespace ggufmill {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;  // ModelOpt lists every expert of every layer: some MB
// Patterns are compared with every quantized tensor; real lists have a few dozen.
constexpr size_t kMaxPatterns = 256, kMaxPatternChars = 512;

// Words that configs have for schemes: quant_algo, format, quant_method. The first row that is found in the word counts.
struct Word {
  std::string_view part, scheme;
};
constexpr auto kWords = std::to_array<Word>({{"nvfp4", "NVFP4"},
                                             {"mxfp4", "MXFP4"},
                                             {"mxfp8", "MXFP8"},
                                             {"fp8", "FP8"},
                                             {"float-quantized", "FP8"},
                                             {"pack-quantized", "INT4"}});

// Words that say nothing of a scheme: tools, and checkpoints that mix several or only quantize the KV cache.
constexpr auto kNeutral = std::to_array<std::string_view>(
    {"modelopt", "compressed-tensors", "mixed_precision", "mixed-precision", "naive-quantized", "dense"});

std::string_view scheme_of(std::string_view said) {
  std::string word(said);
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  for (const Word& row : kWords) {
    if (word.find(row.part) != std::string::npos) return row.scheme;
  }
  return "";
}

template <class Each>
void for_each_string(simdjson::dom::element config, std::string_view key, Each each) {
  const auto list = json_find(config, key);
  simdjson::dom::array items;
  if (!list || list->get_array().get(items)) return;
  for (const auto item : items) {
    std::string_view text;
    if (!item.get_string().get(text)) each(text);
  }
}

template <class Each>
void for_each_member(simdjson::dom::element config, std::string_view key, Each each) {
  const auto found = json_find(config, key);
  simdjson::dom::object members;
  if (!found || found->get_object().get(members)) return;
  for (const auto& [name, value] : members) each(name, value);
}

uint64_t group_size(simdjson::dom::element of) {
  const auto n = json_int(of, "group_size");
  return n && *n > 0 ? static_cast<uint64_t>(*n) : 0;
}

const Weight* find_weight(const std::vector<Weight>& weights, const std::string& name) {
  const auto at = std::ranges::lower_bound(weights, name, {}, &Weight::name);
  return at != weights.end() && at->name == name ? &*at : nullptr;
}

std::string more(uint64_t n) { return n > 1 ? " (and " + std::to_string(n - 1) + " more)" : ""; }

}  // namespace

QuantizationConfig::QuantizationConfig(const Checkpoint& checkpoint, simdjson::dom::element config) {
  for (const std::string_view part : {"", "text_config"}) {
    const auto of = part.empty() ? std::optional(config) : json_find(config, part);
    if (!of) continue;
    for (const std::string_view key : {"quantization_config", "compression_config"}) {
      if (const auto found = json_find(*of, key)) read(*found, "config.json");
    }
  }
  if (!checkpoint.has_file("hf_quant_config.json")) return;
  const JsonDocument file = JsonDocument::load(checkpoint.file("hf_quant_config.json"), kMaxConfigBytes);
  if (const auto found = json_find(file.root(), "quantization")) read(*found, "hf_quant_config.json");
}

void QuantizationConfig::read(simdjson::dom::element config, const std::string& file) {
  present_ = true;
  if (const auto size = json_find(config, "weight_block_size")) {
    simdjson::dom::array sizes;
    uint64_t rows = 0, columns = 0;
    if (!size->get_array().get(sizes) && sizes.size() == 2 && !sizes.at(0).get_uint64().get(rows) &&
        !sizes.at(1).get_uint64().get(columns) && rows > 0 && columns > 0 && rows <= 65536 && columns <= 65536) {
      block_size_ = {rows, columns};
    } else {
      throw Error(Exit::kBadInput, file + ": field \"weight_block_size\": expected two numbers from 1 to 65536");
    }
  }
  bool per_module = false;
  for_each_member(config, "quantized_layers", [&](std::string_view module, simdjson::dom::element value) {
    per_module = true;
    const std::string_view scheme = scheme_of(json_string(value, "quant_algo").value_or(""));
    if (!scheme.empty()) modules_[std::string(module)] = {std::string(scheme), group_size(value), file};
  });
  read_groups(config, file);
  for (const std::string_view key : {"quant_algo", "format", "quant_method"}) {
    const std::string_view said = json_string(config, key).value_or("");
    const bool neutral = std::ranges::any_of(kNeutral, [&](std::string_view word) {
      return std::ranges::equal(word, said, {}, {},
                                [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
    });
    if (said.empty() || neutral || !scheme_of(said).empty() || !unknown_.empty()) continue;
    unknown_ = file + ": " + std::string(key) + " \"" + printable(said, 60) + "\"";
  }
  if (!per_module) {
    for (const std::string_view key : {"quant_algo", "format", "quant_method"}) {
      const auto said = json_string(config, key);
      if (!said || scheme_of(*said).empty()) continue;
      declare(*said, group_size(config), file);
      break;
    }
  }
  for (const std::string_view key : {"exclude_modules", "ignore", "modules_to_not_convert"}) {
    for_each_string(config, key, [&](std::string_view name) {
      if (name.starts_with("re:") || name.size() > kMaxPatternChars)
        return;  // regular expressions are not run: they are a stranger's
      if (name.find_first_of("*?[") == std::string_view::npos)
        excluded_names_.emplace(name);
      else if (excluded_patterns_.size() < kMaxPatterns)
        excluded_patterns_.emplace_back(name);
    });
  }
}

// compressed-tensors: groups of modules, each with a format of its own where there are several.
void QuantizationConfig::read_groups(simdjson::dom::element config, const std::string& file) {
  for_each_member(config, "config_groups", [&](std::string_view, simdjson::dom::element group) {
    const auto weights = json_find(group, "weights");
    const auto format = json_string(group, "format");
    if (format && weights) declare(*format, group_size(*weights), file);
  });
}

void QuantizationConfig::declare(std::string_view said, uint64_t group_elems, const std::string& file) {
  if (const std::string_view scheme = scheme_of(said); !scheme.empty())
    declared_.push_back({std::string(scheme), group_elems, file});
}

void QuantizationConfig::check_modules(const std::vector<Weight>& weights) const {
  uint64_t wrong = 0;
  std::string first;
  for (const auto& [module, said] : modules_) {
    const Weight* weight = find_weight(weights, module + ".weight");
    if (weight == nullptr || !weight->problem.empty()) continue;
    const bool same_groups = said.group_elems == 0 || !weight->scales || weight->group_elems == said.group_elems;
    if (weight->scheme_name() == said.scheme && same_groups) continue;
    if (wrong++ > 0) continue;
    first = said.file + ": quantized_layers says " + said.scheme +
            (said.group_elems > 0 ? " in groups of " + std::to_string(said.group_elems) : "") + " of " + printable(module) +
            ", but its weight is " + weight->scheme();
  }
  if (wrong > 0)
    throw Error(Exit::kBadInput, first + more(wrong), "the config belongs to another checkpoint, or tensors were replaced");
}

bool QuantizationConfig::excludes(std::string_view tensor_name) const {
  for (size_t dot = tensor_name.find('.'); dot != std::string_view::npos; dot = tensor_name.find('.', dot + 1)) {
    if (excluded_names_.contains(std::string(tensor_name.substr(0, dot)))) return true;
  }
  const std::string module(tensor_name.substr(0, tensor_name.rfind('.')));
  return std::ranges::any_of(excluded_patterns_,
                             [&](const std::string& pattern) { return fnmatch(pattern.c_str(), module.c_str(), 0) == 0; });
}

void QuantizationConfig::check(const std::vector<Weight>& weights, std::vector<Finding>& findings) const {
  if (!unknown_.empty()) {
    const std::string what = unknown_ + " is not known: NVFP4, FP8, MXFP8, MXFP4 and pack-quantized INT4 are read";
    if (std::ranges::all_of(weights, [](const Weight& w) { return w.form == nullptr; }))
      throw Error(Exit::kBadInput, what, "where the weights were dequantized on purpose, take what it says out of that file");
    findings.push_back({Severity::kWarning, "", "", what});
  }
  check_modules(weights);
  for (const Declared& said : declared_) {
    const auto is = [&](const Weight& w) { return w.scheme_name() == said.scheme; };
    const auto at = std::ranges::find_if(weights, is);
    if (at == weights.end()) {
      throw Error(Exit::kBadInput, said.file + ": says that the weights are " + said.scheme + ", but no tensor is",
                  "where the weights were dequantized on purpose, take what it says of quantization out of " + said.file);
    }
    if (said.group_elems > 0 && at->scales && at->group_elems != said.group_elems) {
      throw Error(Exit::kBadInput, said.file + ": says groups of " + std::to_string(said.group_elems) + ", but " +
                                       quoted_tensor(at->name) + " is " + at->scheme());
    }
  }
  uint64_t quantized = 0, excluded = 0;
  const Weight* first = nullptr;
  for (const Weight& w : weights) {
    if (w.form == nullptr) continue;
    ++quantized;
    if (excludes(w.name) && excluded++ == 0) first = &w;
  }
  if (quantized > 0 && !present_) {
    findings.push_back({Severity::kWarning, "", "", std::to_string(quantized) + " tensors are quantized, but no config says so"});
  }
  if (first != nullptr) {
    findings.push_back({Severity::kWarning, "", first->name,
                        "is " + first->scheme() + ", but the config excludes it from quantization" + more(excluded)});
  }
}

}  // namespace ggufmill
