#include "cmd/inspection.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "cmd/sizes.h"
#include "convert/quantization_config.h"
#include "formats/checkpoint.h"
#include "formats/error.h"
#include "formats/gguf.h"
#include "formats/imatrix.h"
#include "formats/json.h"
#include "verify/target.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 16 << 20;
constexpr size_t kTextChars = 60;

std::string counted(uint64_t n, const std::string& what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); }

using ggufmill::number_json;
Json number_json(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  return value;
}
template <typename T>
Json number_json(const T& value) {
  return value;
}

template <typename T>
Json array_json(const std::vector<T>& values) {
  Json j = Json::array();
  for (size_t i = 0; i < values.size(); ++i) j.push_back(number_json(static_cast<const T&>(values[i])));
  return j;
}
template <typename T>
Json array_json(const T& value) {
  return number_json(value);
}

Json long_array(const std::string& type, uint64_t length) { return {{"type", type}, {"length", length}}; }

InspectedKey inspected_key(const std::string& key, const MetadataValue& value) {
  const bool is_long = array_length(value).value_or(0) > kMaxArrayShown;
  Json j = is_long ? long_array(type_name(value), *array_length(value))
                   : std::visit([](const auto& v) { return array_json(v); }, value);
  std::string text = to_text(value, kTextChars);
  const std::string type = type_name(value);
  if (text.starts_with(type + " x ")) text = text.substr(type.size() + 1);  // the type has a column of its own
  return {key, type, std::move(j), std::move(text)};
}

Json config_json(simdjson::dom::element e, int depth = 0) {
  using simdjson::dom::element_type;
  switch (e.type()) {
    case element_type::ARRAY: {
      const simdjson::dom::array array = e.get_array().value();
      if (array.size() > kMaxArrayShown || depth > 1) return long_array("array", array.size());
      Json j = Json::array();
      for (const auto item : array) j.push_back(config_json(item, depth + 1));
      return j;
    }
    case element_type::OBJECT: {
      const simdjson::dom::object object = e.get_object().value();
      Json j = Json::object();
      for (const auto& [key, value] : object) {
        j[std::string(key)] = depth > 1 && (value.is_object() || value.is_array()) ? Json("...") : config_json(value, depth + 1);
      }
      return j;
    }
    case element_type::STRING:
      return std::string(e.get_string().value());
    case element_type::INT64:
      return e.get_int64().value();
    case element_type::UINT64:
      return e.get_uint64().value();
    case element_type::DOUBLE:
      return number_json(e.get_double().value());
    case element_type::BOOL:
      return e.get_bool().value();
    case element_type::NULL_VALUE:
      break;
  }
  return nullptr;
}

void add_config(const fs::path& file, Inspection& inspection) {
  const JsonDocument config = JsonDocument::load(file, kMaxConfigBytes);
  simdjson::dom::object fields;
  if (config.root().get(fields) != simdjson::SUCCESS) throw Error(Exit::kBadInput, config.where() + ": is not a JSON object");
  for (const auto& [key, value] : fields) {
    Json j = config_json(value);
    std::string text = printable(j.dump(-1, ' ', false, Json::error_handler_t::replace), kTextChars);
    inspection.metadata.push_back({std::string(key), j.type_name(), std::move(j), std::move(text)});
  }
}

// Of a damaged download: what is wrong with one expert is wrong with thousands.
constexpr size_t kMaxFindings = 20;

void add_findings(std::vector<Finding> found, Inspection& inspection) {
  const size_t shown = std::min(found.size(), kMaxFindings);
  inspection.findings.insert(inspection.findings.end(), found.begin(), found.begin() + static_cast<std::ptrdiff_t>(shown));
  if (shown < found.size())
    inspection.findings.push_back(
        {Severity::kError, "", "", "and " + std::to_string(found.size() - shown) + " more of this kind"});
}

// Quantized weights with their scales; what they or the configs have wrong is a finding.
Weights bound_weights(const Checkpoint& checkpoint, Inspection& inspection) {
  Weights weights;
  try {
    const JsonDocument config = JsonDocument::load(checkpoint.file("config.json"), kMaxConfigBytes);
    const QuantizationConfig quantization(checkpoint, config.root());
    weights = bind_weights(checkpoint, quantization.block_size());
    quantization.check(weights.all, inspection.findings);
  } catch (const Error& error) {
    inspection.findings.push_back({Severity::kError, "", "", error.message()});
    if (weights.all.empty()) weights = bind_weights(checkpoint, {});
  }
  std::vector<Finding> problems;
  for (const Weight& w : weights.all) {
    if (!w.problem.empty())
      problems.push_back({Severity::kError, checkpoint.shards()[w.codes.shard].name, w.codes.name, w.problem});
  }
  add_findings(std::move(problems), inspection);
  return weights;
}

void add_schemes(const Checkpoint& checkpoint, bool all_scales, Inspection& inspection) {
  auto [weights, dropped] = bound_weights(checkpoint, inspection);
  const uint64_t scale_bytes = group_scale_bytes(weights);
  const bool groups = all_scales || scale_bytes <= kMaxScaleBytes;
  if (!groups) {
    inspection.findings.push_back(
        {Severity::kInfo, "", "",
         "the scales of blocks are " + format_bytes(scale_bytes) + " and were not read (--scales reads all)"});
  }
  std::vector<Finding> bad;
  const std::vector<WeightScales> ranges = scale_ranges(checkpoint.shards(), weights, groups, bad);
  add_findings(std::move(bad), inspection);
  std::unordered_map<std::string_view, InspectedTensor*> by_name;
  for (InspectedTensor& t : inspection.tensors) by_name[t.name] = &t;
  for (const std::string& name : dropped) by_name.at(name)->elems = 0;  // scales of the KV cache
  for (size_t i = 0; i < weights.size(); ++i) {
    const Weight& w = weights[i];
    if (w.form == nullptr) continue;
    for (const auto* part : {&w.scales, &w.tensor_scale, &w.input_scale, &w.stored_shape}) {
      if (!*part) continue;
      InspectedTensor& t = *by_name.at((*part)->name);
      t.scale_of = w.name;
      t.kind = w.scheme_name();
      t.elems = 0;
    }
    InspectedTensor& codes = *by_name.at(w.codes.name);
    codes.kind = w.scheme_name();
    if (!w.problem.empty()) continue;
    codes.elems = w.elems();
    codes.weight = {w.name, codes.kind, w.scheme(), w.shape, ranges[i]};
  }
}

Inspection inspect_checkpoint(const fs::path& path, bool all_scales) {
  const Checkpoint checkpoint(path);
  Inspection inspection{.format = "safetensors", .title = {}, .metadata = {}, .files = {}, .tensors = {}, .findings = {}};
  inspection.title = "checkpoint " + printable(checkpoint.model_name()) + ": " + counted(checkpoint.shards().size(), "shard");
  if (checkpoint.has_file("config.json")) add_config(checkpoint.file("config.json"), inspection);
  for (const Shard& shard : checkpoint.shards()) inspection.files.push_back({shard.name, shard.id.bytes});
  for (const SourceTensor& t : checkpoint.tensors()) {
    inspection.tensors.push_back({t.name, std::string(name(t.dtype)), t.shape, t.elems(), t.extent.bytes, t.shard});
  }
  add_schemes(checkpoint, all_scales, inspection);
  return inspection;
}

void add_metadata(const Metadata& metadata, Inspection& inspection) {
  for (const auto& [key, value] : metadata.entries()) inspection.metadata.push_back(inspected_key(key, value));
}

Inspection inspect_imatrix(const fs::path& path, const Metadata& metadata) {
  const Imatrix imatrix(path);
  Inspection inspection{.format = "imatrix", .title = {}, .metadata = {}, .files = {}, .tensors = {}, .findings = {}};
  uint64_t never = 0;
  for (const ImatrixEntry& entry : imatrix.entries()) {
    const auto [least, most] = std::ranges::minmax_element(entry.counts);
    const SeenTokens seen{*least, *most, static_cast<uint64_t>(std::ranges::count(entry.counts, 0.0f))};
    inspection.tensors.push_back(
        {entry.tensor, "F32", {entry.n_in, entry.n_mat}, entry.n_in * entry.n_mat, entry.sums.bytes, 0, seen});
    never += seen.never;
    if (seen.never == 0) continue;
    const std::string what = counted(seen.never, "expert") + " of " + std::to_string(entry.n_mat) + " never seen";
    inspection.findings.push_back({Severity::kWarning, "", entry.tensor, entry.n_mat == 1 ? "never seen" : what});
  }
  inspection.title = "importance matrix: " + counted(imatrix.entries().size(), "tensor") + ", " +
                     counted(imatrix.chunk_count(), "chunk") + ", " + counted(imatrix.datasets().size(), "dataset") +
                     ", experts never seen: " + std::to_string(never);
  inspection.files.push_back({path.filename().string(), imatrix.file().bytes()});
  add_metadata(metadata, inspection);
  return inspection;
}

bool is_imatrix(const Metadata& metadata) {
  const std::string* type = metadata.find_string("general.type");
  return type != nullptr && *type == "imatrix";
}

Inspection inspect_gguf(const fs::path& path) {
  const GgufSet set = open_gguf_set(path);
  if (is_imatrix(set.headers[0].metadata)) return inspect_imatrix(path, set.headers[0].metadata);
  Inspection inspection{.format = "gguf", .title = {}, .metadata = {}, .files = {}, .tensors = {}, .findings = {}};
  add_metadata(set.headers[0].metadata, inspection);
  for (size_t i = 0; i < set.paths.size(); ++i) {
    inspection.files.push_back({set.paths[i].filename().string(), set.headers[i].file_bytes});
    for (const GgufTensor& t : set.headers[i].tensors) {
      inspection.tensors.push_back({t.name, std::string(name(t.type)), t.ne, t.elems(), t.extent.bytes, i});
    }
  }
  const std::string* architecture = set.headers[0].metadata.find_string("general.architecture");
  inspection.title = "GGUF version " + std::to_string(set.headers[0].version) + ", " +
                     (architecture ? printable(*architecture) : "no architecture") + ": " + counted(set.paths.size(), "file");
  return inspection;
}

}  // namespace

Json number_json(float value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  char text[40];
  *std::to_chars(text, text + sizeof(text) - 1, value).ptr = '\0';
  return std::strtod(text, nullptr);
}

uint64_t Inspection::elems() const {
  uint64_t sum = 0;
  for (const InspectedTensor& t : tensors) sum += t.elems;
  return sum;
}

uint64_t Inspection::tensor_bytes() const {
  uint64_t sum = 0;
  for (const InspectedTensor& t : tensors) sum += t.bytes;
  return sum;
}

Inspection inspect_path(const fs::path& path, bool all_scales) {
  VerifyTarget target;
  try {
    target = find_target(path);
  } catch (const Error& error) {
    if (error.code() != Exit::kDifference) throw;
    throw Error(Exit::kBadInput, error.message(), error.hint());
  }
  if (target.is_checkpoint) return inspect_checkpoint(target.checkpoint, all_scales);
  if (target.files.empty()) throw Error(Exit::kBadInput, printable(path.string(), 4096) + ": the files of this set are missing");
  return inspect_gguf(target.folder / target.files[0]);
}

}  // namespace ggufmill
