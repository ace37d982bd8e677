#include "cmd/inspection.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "cmd/sizes.h"
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

// JSON has no NaN; the shortest decimal of a float, not of the double it becomes.
Json number_json(float value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  char text[40];
  *std::to_chars(text, text + sizeof(text) - 1, value).ptr = '\0';
  return std::strtod(text, nullptr);
}
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

Inspection inspect_checkpoint(const fs::path& path) {
  const Checkpoint checkpoint(path);
  Inspection inspection{.format = "safetensors", .title = {}, .metadata = {}, .files = {}, .tensors = {}, .findings = {}};
  inspection.title = "checkpoint " + printable(checkpoint.model_name()) + ": " + counted(checkpoint.shards().size(), "shard");
  if (checkpoint.has_file("config.json")) add_config(checkpoint.file("config.json"), inspection);
  for (const Shard& shard : checkpoint.shards()) inspection.files.push_back({shard.name, shard.id.bytes});
  for (const SourceTensor& t : checkpoint.tensors()) {
    inspection.tensors.push_back({t.name, std::string(name(t.dtype)), t.shape, t.elems(), t.extent.bytes, t.shard});
  }
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

Inspection inspect_path(const fs::path& path) {
  VerifyTarget target;
  try {
    target = find_target(path);
  } catch (const Error& error) {
    if (error.code() != Exit::kDifference) throw;
    throw Error(Exit::kBadInput, error.message(), error.hint());
  }
  if (target.is_checkpoint) return inspect_checkpoint(target.checkpoint);
  if (target.files.empty()) throw Error(Exit::kBadInput, printable(path.string(), 4096) + ": the files of this set are missing");
  return inspect_gguf(target.folder / target.files[0]);
}

}  // namespace ggufmill
