#include "cmd/inspect.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cmd/finding_json.h"
#include "cmd/inspection.h"
#include "cmd/sizes.h"
#include "cmd/text_table.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;

// Lists are cut to this without -v.
constexpr size_t kMaxKeysShown = 60;
constexpr size_t kMaxTensorsShown = 60;
constexpr size_t kMaxFilesShown = 8;

struct TypeSum {
  uint64_t tensors = 0, elems = 0, bytes = 0;
};

std::map<std::string, TypeSum> type_histogram(const Inspection& inspection) {
  std::map<std::string, TypeSum> types;
  for (const InspectedTensor& t : inspection.tensors) {
    TypeSum& sum = types[t.kind.empty() ? t.type : t.kind];
    sum.tensors += t.scale_of.empty();
    sum.elems += t.elems;
    sum.bytes += t.bytes;
  }
  return types;
}

double bits_per_weight(uint64_t bytes, uint64_t elems) {
  return elems == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(elems);
}

void add_weight(const InspectedWeight& weight, Json& entry) {
  entry["weight"] = weight.name;
  entry["scheme"] = weight.scheme;
  entry["values"] = weight.values;
  const auto pair = [](const ScaleRange& range) { return Json{number_json(range.least), number_json(range.most)}; };
  if (weight.scales.groups) entry["scale_range"] = pair(*weight.scales.groups);
  if (const auto& tensor = weight.scales.tensor)
    entry["tensor_scale"] = tensor->least == tensor->most ? number_json(tensor->least) : pair(*tensor);
}

void print_json(const Inspection& inspection, std::ostream& out) {
  Json j;
  j["format"] = inspection.format;
  j["parameters"] = inspection.elems();
  j["bits_per_weight"] = bits_per_weight(inspection.tensor_bytes(), inspection.elems());
  j["metadata"] = Json::object();
  for (const InspectedKey& key : inspection.metadata) j["metadata"][key.name] = key.value;
  j["files"] = Json::array();
  for (const InspectedFile& f : inspection.files) j["files"].push_back({{"name", f.name}, {"bytes", f.bytes}});
  j["types"] = Json::array();
  for (const auto& [type, sum] : type_histogram(inspection)) {
    j["types"].push_back({{"type", type}, {"tensors", sum.tensors}, {"parameters", sum.elems}, {"bytes", sum.bytes}});
  }
  j["tensors"] = Json::array();
  for (const InspectedTensor& t : inspection.tensors) {
    Json entry = {
        {"name", t.name}, {"type", t.type}, {"shape", t.shape}, {"bytes", t.bytes}, {"file", inspection.files[t.file].name}};
    if (t.weight) add_weight(*t.weight, entry);
    if (!t.scale_of.empty()) entry["scale_of"] = t.scale_of;
    if (t.seen) entry["tokens"] = {{"least", t.seen->least}, {"most", t.seen->most}, {"never_seen", t.seen->never}};
    j["tensors"].push_back(std::move(entry));
  }
  j["findings"] = Json::array();
  for (const Finding& f : inspection.findings) {
    j["findings"].push_back(finding_json(f));
  }
  out << j.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
}

void print_rest(size_t all, size_t shown, const std::string& what, std::ostream& out) {
  if (shown < all) out << "... and " << all - shown << " more " << what << " (-v shows all)\n";
}

void print_metadata(const Inspection& inspection, bool verbose, std::ostream& out) {
  if (inspection.metadata.empty()) return;
  const size_t shown = verbose ? inspection.metadata.size() : std::min(inspection.metadata.size(), kMaxKeysShown);
  TextTable table({{"key"}, {"type"}, {"value"}});
  for (size_t i = 0; i < shown; ++i) {
    const InspectedKey& key = inspection.metadata[i];
    table.row({printable(key.name, 48), key.type, key.text});
  }
  out << '\n';
  table.print(out);
  print_rest(inspection.metadata.size(), shown, "keys", out);
}

void print_types(const Inspection& inspection, std::ostream& out) {
  const auto types = type_histogram(inspection);
  const uint64_t all_bytes = inspection.tensor_bytes();
  std::vector<std::pair<std::string, TypeSum>> by_bytes(types.begin(), types.end());
  std::ranges::stable_sort(by_bytes, std::greater<>(), [](const auto& t) { return t.second.bytes; });
  using enum TextTable::Align;
  TextTable table(
      {{"type"}, {"tensors", kRight}, {"parameters", kRight}, {"size", kRight}, {"share", kRight}, {"bits/weight", kRight}});
  const auto row = [&](const std::string& type, const TypeSum& sum) {
    const double share = all_bytes == 0 ? 0 : 100.0 * static_cast<double>(sum.bytes) / static_cast<double>(all_bytes);
    table.row({type, std::to_string(sum.tensors), format_count(sum.elems), format_bytes(sum.bytes), format_fixed(share, 1) + " %",
               format_fixed(bits_per_weight(sum.bytes, sum.elems), 2)});
  };
  uint64_t tensors = 0;
  for (const auto& [type, sum] : by_bytes) {
    row(type, sum);
    tensors += sum.tensors;
  }
  table.rule();
  row("all", {tensors, inspection.elems(), all_bytes});
  out << '\n';
  table.print(out);
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text;
  for (const uint64_t n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text.empty() ? "scalar" : text;
}

void print_files(const Inspection& inspection, bool verbose, std::ostream& out) {
  const size_t shown = verbose ? inspection.files.size() : std::min(inspection.files.size(), kMaxFilesShown);
  using enum TextTable::Align;
  TextTable table({{"file", kRight}, {"size", kRight}, {"name"}});
  for (size_t i = 0; i < shown; ++i) {
    table.row({std::to_string(i + 1), format_bytes(inspection.files[i].bytes), printable(inspection.files[i].name, 80)});
  }
  out << '\n';
  table.print(out);
  print_rest(inspection.files.size(), shown, "files", out);
}

std::string tokens_text(const SeenTokens& seen) {
  const std::string most = format_fixed(seen.most, 0);
  return seen.least == seen.most ? most : format_fixed(seen.least, 0) + " to " + most;
}

std::string number_text(float value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.4g", static_cast<double>(value));
  return text;
}

std::string range_text(const std::optional<ScaleRange>& range) {
  if (!range) return "";
  return range->least == range->most ? number_text(range->least) : number_text(range->least) + " to " + number_text(range->most);
}

// "0.0625 to 448, of all 0.000372"
std::string scales_text(const InspectedTensor& t) {
  if (!t.weight) return "";
  const std::string groups = range_text(t.weight->scales.groups), tensor = range_text(t.weight->scales.tensor);
  return groups.empty() || tensor.empty() ? groups + tensor : groups + ", of all " + tensor;
}

void print_tensors(const Inspection& inspection, bool verbose, std::ostream& out) {
  if (inspection.tensors.empty()) return;
  const size_t shown = verbose ? inspection.tensors.size() : std::min(inspection.tensors.size(), kMaxTensorsShown);
  using enum TextTable::Align;
  const bool is_imatrix = inspection.format == "imatrix";
  const bool quantized = std::ranges::any_of(inspection.tensors, [](const InspectedTensor& t) { return t.weight.has_value(); });
  std::vector<TextTable::Column> columns = {
      {"tensor"}, {"type"}, {"shape"}, {"bytes", kRight}, {is_imatrix ? "tokens" : "file", kRight}};
  if (quantized) columns.insert(columns.end(), {{"scheme"}, {"scales"}});
  TextTable table(columns);
  for (size_t i = 0; i < shown; ++i) {
    const InspectedTensor& t = inspection.tensors[i];
    std::vector<std::string> cells = {printable(t.name, 64), t.type, shape_text(t.shape), std::to_string(t.bytes),
                                      is_imatrix ? tokens_text(*t.seen) : std::to_string(t.file + 1)};
    if (quantized) cells.insert(cells.end(), {t.weight ? t.weight->scheme : t.scale_of.empty() ? "" : "scale", scales_text(t)});
    table.row(std::move(cells));
  }
  out << '\n';
  table.print(out);
  print_rest(inspection.tensors.size(), shown, "tensors", out);
}

void print_text(const Inspection& inspection, bool verbose, std::ostream& out) {
  uint64_t bytes = 0;
  for (const InspectedFile& f : inspection.files) bytes += f.bytes;
  out << inspection.title << ", " << format_bytes(bytes);
  if (inspection.format != "imatrix") {
    out << ", " << inspection.tensors.size() << " tensors, " << format_count(inspection.elems()) << " parameters, "
        << format_fixed(bits_per_weight(inspection.tensor_bytes(), inspection.elems()), 2) << " bits per weight";
  }
  out << '\n';
  for (const Finding& f : inspection.findings) {
    out << name(f.severity) << ": " << (f.tensor.empty() ? "" : quoted_tensor(f.tensor) + ": ") << printable(f.message) << '\n';
  }
  print_metadata(inspection, verbose, out);
  if (inspection.files.size() > 1) print_files(inspection, verbose, out);
  if (inspection.format != "imatrix") print_types(inspection, out);
  print_tensors(inspection, verbose, out);
}

}  // namespace

int run_inspect(const InspectOptions& options, std::ostream& out) {
  const Inspection inspection = inspect_path(options.path, options.scales);
  if (options.json) {
    print_json(inspection, out);
  } else {
    print_text(inspection, options.verbose, out);
  }
  return static_cast<int>(Exit::kOk);
}

}  // namespace ggufmill
