#include "formats/manifest.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/error.h"
#include "formats/file.h"
#include "formats/json.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;
using simdjson::dom::element;

constexpr uint64_t kManifestVersion = 1;
constexpr std::string_view kContentKey = "\n \"content_xxh3_128\": \"";

Json optional_hash(const std::optional<Sha256>& hash) { return hash ? Json(hash->hex()) : Json(nullptr); }

// JSON has no infinity.
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const ManifestTensor& t) {
  Json j;
  j["name"] = t.name;
  j["type"] = name(t.type);
  j["shape"] = t.ne;
  j["file"] = t.file;
  j["offset"] = t.extent.file_offset;
  j["bytes"] = t.extent.bytes;
  j["xxh3_128"] = t.hash.hex();
  j["relative_rmse"] = t.relative_rmse ? finite_or_null(*t.relative_rmse) : Json(nullptr);
  j["worst_block"] = nullptr;
  if (t.worst_block) {
    j["worst_block"] = {{"row", t.worst_block->row},
                        {"column", t.worst_block->column},
                        {"relative_error", finite_or_null(t.worst_block->relative_error)}};
  }
  j["coarse_blocks"] = t.coarse_blocks;
  j["effort"] = t.effort;
  j["objective"] = t.objective;
  j["nan_count"] = t.nan_count;
  j["inf_count"] = t.inf_count;
  return j;
}

Json to_json(const Manifest& m) {
  Json j;
  j["manifest_version"] = kManifestVersion;
  j["program"] = {{"name", "ggufmill"}, {"version", m.program_version}, {"encoding_version", m.encoding_version}};
  j["architecture"] = m.architecture;
  j["recipe"] = {{"name", m.recipe_name}, {"sha256", m.recipe_sha256.hex()}};
  j["imatrix"] = m.imatrix ? Json{{"name", m.imatrix->name}, {"sha256", m.imatrix->sha256.hex()}} : Json(nullptr);
  j["source"] = Json::array();
  for (const ManifestSource& s : m.source) {
    j["source"].push_back({{"name", s.name}, {"bytes", s.bytes}, {"sha256", optional_hash(s.sha256)}});
  }
  j["files"] = Json::array();
  for (const ManifestFile& f : m.files) {
    j["files"].push_back({{"name", f.name},
                          {"bytes", f.bytes},
                          {"sha256", f.sha256.hex()},
                          {"header_bytes", f.header_bytes},
                          {"header_xxh3_128", f.header_hash.hex()}});
  }
  j["tensors"] = Json::array();
  for (const ManifestTensor& t : m.tensors) j["tensors"].push_back(to_json(t));
  return j;
}

// A JSON object of the manifest and where it stands ("tensors[3]"), for errors.
class Fields {
 public:
  Fields(element object, std::string_view where, std::string at) : where_(where), at_(std::move(at)) {
    simdjson::dom::object fields;
    if (object.get(fields) != simdjson::SUCCESS) fail(at_, "is not an object");
    for (const auto& [key, value] : fields) {
      if (!fields_.emplace(key, value).second) fail(path(printable(key)), "is there twice");
    }
  }

  element at(std::string_view key) const {
    const auto field = fields_.find(key);
    if (field == fields_.end()) fail(path(key), "is missing");
    return field->second;
  }
  bool has(std::string_view key) const { return fields_.contains(key); }
  bool is_null(std::string_view key) const { return at(key).is_null(); }
  Fields object(std::string_view key) const { return Fields(at(key), where_, path(key)); }

  uint64_t u64(std::string_view key) const { return u64(at(key), path(key)); }
  std::string text(std::string_view key) const {
    std::string_view value;
    if (at(key).get(value) != simdjson::SUCCESS) fail(path(key), "is not a string");
    return std::string(value);
  }
  std::string file_name(std::string_view key) const {
    std::string value = text(key);
    if (value.empty() || value == "." || value == ".." || value.find('/') != std::string::npos ||
        printable(value, 4096) != value) {
      fail(path(key), "is not a plain file name: \"" + printable(value) + "\"");
    }
    return value;
  }
  template <typename Hash>
  Hash hash(std::string_view key) const {
    const std::string value = text(key);
    const auto hash = Hash::from_hex(value);
    if (!hash) fail(path(key), "is not a hash in lower-case hex: \"" + printable(value) + "\"");
    return *hash;
  }
  double finite(std::string_view key) const {
    double value = 0;
    if (at(key).get(value) != simdjson::SUCCESS || !std::isfinite(value) || value < 0) fail(path(key), "is not a number >= 0");
    return value;
  }
  std::vector<uint64_t> u64_array(std::string_view key) const {
    std::vector<uint64_t> values;
    for (const element e : array(key)) values.push_back(u64(e, path(key)));
    return values;
  }
  template <typename Read>
  void each(std::string_view key, Read read) const {
    size_t i = 0;
    for (const element e : array(key)) read(Fields(e, where_, path(key) + "[" + std::to_string(i++) + "]"));
  }
  [[noreturn]] void fail(const std::string& field, const std::string& why) const {
    throw Error(Exit::kBadInput, std::string(where_) + ": " + (field.empty() ? "the document" : field) + " " + why);
  }
  std::string path(std::string_view key) const { return at_.empty() ? std::string(key) : at_ + "." + std::string(key); }

 private:
  uint64_t u64(element e, const std::string& field) const {
    uint64_t value = 0;
    if (e.get(value) != simdjson::SUCCESS) fail(field, "is not an unsigned integer");
    return value;
  }
  simdjson::dom::array array(std::string_view key) const {
    simdjson::dom::array values;
    if (at(key).get(values) != simdjson::SUCCESS) fail(path(key), "is not an array");
    return values;
  }

  std::map<std::string_view, element> fields_;
  std::string_view where_;
  std::string at_;
};

ManifestTensor read_tensor(const Fields& f) {
  ManifestTensor t;
  t.name = f.text("name");
  const GgmlTypeInfo* type = find_ggml_type(std::string_view(f.text("type")));
  if (type == nullptr) f.fail(f.path("type"), "is not a ggml type: \"" + printable(f.text("type")) + "\"");
  t.type = type->type;
  t.ne = f.u64_array("shape");
  t.file = f.file_name("file");
  t.extent = {f.u64("offset"), f.u64("bytes")};
  if (t.extent.end() < t.extent.file_offset) f.fail(f.path("bytes"), "is too large");
  t.hash = f.hash<Xxh128>("xxh3_128");
  if (!f.is_null("relative_rmse")) t.relative_rmse = f.finite("relative_rmse");
  if (!f.is_null("worst_block")) {
    const Fields worst = f.object("worst_block");
    const bool infinite = worst.is_null("relative_error");
    t.worst_block = WorstBlock{worst.u64("row"), worst.u64("column"),
                               infinite ? std::numeric_limits<double>::infinity() : worst.finite("relative_error")};
  }
  if (f.has("coarse_blocks")) t.coarse_blocks = f.u64("coarse_blocks");
  if (f.has("effort")) t.effort = f.text("effort");
  if (f.has("objective")) t.objective = f.text("objective");
  t.nan_count = f.u64("nan_count");
  t.inf_count = f.u64("inf_count");
  return t;
}

// Checks the last line, `"content_xxh3_128": "..."`, against the bytes before it.
void check_content_hash(std::string_view text, std::string_view where) {
  const size_t line = text.rfind(kContentKey);
  if (line == std::string_view::npos) throw Error(Exit::kBadInput, std::string(where) + ": content_xxh3_128 is missing");
  const std::string found = xxh128(as_bytes(text.substr(0, line))).hex();
  const std::string_view rest = text.substr(line + kContentKey.size());
  if (rest.starts_with(found) && rest != found + "\"\n}\n") {
    throw Error(Exit::kBadInput,
                std::string(where) + ": ends otherwise than it was written (cut short, or something follows it)");
  }
  if (rest != found + "\"\n}\n") {
    throw Error(Exit::kBadInput, std::string(where) + ": content hash is " + found + ", the file says " +
                                     printable(rest.substr(0, found.size())) + " (damaged or edited)");
  }
}

void check_names(const Manifest& m, const Fields& root) {
  std::set<std::string_view> files, tensors;
  for (const ManifestFile& f : m.files) {
    if (!files.insert(f.name).second) root.fail("files", "has \"" + printable(f.name) + "\" twice");
  }
  for (const ManifestTensor& t : m.tensors) {
    if (!tensors.insert(t.name).second) root.fail("tensors", "has " + quoted_tensor(t.name) + " twice");
    if (!files.contains(t.file)) {
      root.fail("tensors", "has " + quoted_tensor(t.name) + " in \"" + printable(t.file) + "\", which is not in files");
    }
  }
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  std::string text = to_json(manifest).dump(1);
  assert(text.ends_with("\n}") && "an object with fields ends in a line of its own");
  text.resize(text.size() - 2);
  text += ",";
  const std::string hash = xxh128(as_bytes(text)).hex();
  text += std::string(kContentKey) + hash + "\"\n}\n";
  return text;
}

Manifest parse_manifest(std::string_view text, std::string_view where) {
  check_content_hash(text, where);
  const JsonDocument document{std::string(text), std::string(where)};
  const Fields root(document.root(), where, "");
  if (root.u64("manifest_version") != kManifestVersion) {
    root.fail("manifest_version", "is " + std::to_string(root.u64("manifest_version")) + ", this program reads 1");
  }
  Manifest m;
  const Fields program = root.object("program");
  if (program.text("name") != "ggufmill")
    program.fail("program.name", "is \"" + printable(program.text("name")) + "\", not ggufmill");
  m.program_version = program.text("version");
  const uint64_t encoding_version = program.u64("encoding_version");
  if (encoding_version > std::numeric_limits<uint32_t>::max()) program.fail("program.encoding_version", "is too large");
  m.encoding_version = static_cast<uint32_t>(encoding_version);
  m.architecture = root.text("architecture");
  const Fields recipe = root.object("recipe");
  m.recipe_name = recipe.text("name");
  m.recipe_sha256 = recipe.hash<Sha256>("sha256");
  if (!root.is_null("imatrix")) {
    const Fields imatrix = root.object("imatrix");
    m.imatrix = ManifestImatrix{imatrix.file_name("name"), imatrix.hash<Sha256>("sha256")};
  }
  root.each("source", [&](const Fields& f) {
    m.source.push_back({f.file_name("name"), f.u64("bytes"), std::nullopt});
    if (!f.is_null("sha256")) m.source.back().sha256 = f.hash<Sha256>("sha256");
  });
  root.each("files", [&](const Fields& f) {
    m.files.push_back({f.file_name("name"), f.u64("bytes"), f.hash<Sha256>("sha256"), f.u64("header_bytes"),
                       f.hash<Xxh128>("header_xxh3_128")});
  });
  root.each("tensors", [&](const Fields& f) { m.tensors.push_back(read_tensor(f)); });
  check_names(m, root);
  return m;
}

Manifest load_manifest(const std::filesystem::path& path) {
  return parse_manifest(InputFile(path).read_text(kMaxManifestBytes), path.filename().string());
}

std::string sha256sums_text(const Manifest& manifest, std::string_view manifest_name, const Sha256& manifest_sha256) {
  std::string text;
  for (const ManifestFile& f : manifest.files) text += f.sha256.hex() + "  " + f.name + "\n";
  text += manifest_sha256.hex() + "  " + std::string(manifest_name) + "\n";
  return text;
}

}  // namespace ggufmill
