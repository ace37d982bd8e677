#include "cmd/measure.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cmd/text_table.h"
#include "convert/nearest.h"
#include "formats/error.h"
#include "quant/measure/type_figures.h"
#include "quant/simd.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kSeed = 7;

struct Group {
  std::string name;
  std::vector<DataSet> sets;
};

struct Measured {
  const Codec* codec;
  std::string data;
  TypeFigures figures;
};

const std::vector<std::string> kDataNames = {"gaussian", "heavy", "nvfp4"};

Error unknown_name(const std::string& option, const std::string& name, const std::vector<std::string>& known) {
  const std::string near = nearest_word(name, known);
  return Error(Exit::kUsage, option + " " + printable(name) + ": unknown", near.empty() ? "" : "did you mean " + near + "?");
}

std::vector<const Codec*> chosen_codecs(const std::vector<std::string>& names) {
  std::vector<const Codec*> chosen;
  std::vector<std::string> known;
  for (const Codec& codec : codecs()) {
    if (codec.encode == nullptr) continue;
    known.emplace_back(name(codec.type));
    if (names.empty()) chosen.push_back(&codec);
  }
  for (const std::string& wanted : names) {
    const GgmlTypeInfo* type = find_ggml_type(std::string_view(wanted));
    const Codec* codec = type == nullptr ? nullptr : find_weight_codec(type->type);
    if (type != nullptr && (codec == nullptr || codec->encode == nullptr)) {
      throw Error(Exit::kUsage, "--types " + printable(wanted) + ": cannot be written");
    }
    if (type == nullptr) throw unknown_name("--types", wanted, known);
    chosen.push_back(codec);
  }
  return chosen;
}

std::vector<Group> data_groups(const MeasureOptionsText& options) {
  for (const std::string& name : options.data) {
    if (std::ranges::find(kDataNames, name) == kDataNames.end()) throw unknown_name("--data", name, kDataNames);
  }
  std::vector<Group> groups;
  const auto wanted = [&](const std::string& name) {
    return (options.data.empty() && !options.each) || std::ranges::find(options.data, name) != options.data.end();
  };
  if (wanted("gaussian")) groups.push_back({"gaussian", {gaussian_data(options.rows, options.columns, kSeed)}});
  if (wanted("heavy")) groups.push_back({"heavy", {heavy_data(options.rows, options.columns, kSeed)}});
  if (wanted("nvfp4")) groups.push_back({"nvfp4", {nvfp4_data(options.rows, options.columns, kSeed)}});
  if (options.source.empty()) return groups;
  for (DataSet& matrix : checkpoint_data(options.source, options.rows, kSeed)) {
    // Rows that 256 does not divide are for the types of small blocks alone.
    const std::string name = options.each ? matrix.name : matrix.columns % 256 == 0 ? "tensors" : "odd rows";
    auto group = std::ranges::find(groups, name, &Group::name);
    if (group == groups.end()) group = groups.insert(groups.end(), Group{name, {}});
    group->sets.push_back(std::move(matrix));
  }
  return groups;
}

std::string text_of(double value, const char* format) {
  if (value == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string error_text(double error) { return text_of(error, error < 1e-4 ? "%.1e" : "%.4f"); }
std::string ratio_text(double ratio) { return text_of(ratio, "%.3f"); }
std::string speed_text(double per_second) { return text_of(per_second / 1e6, per_second < 1e7 ? "%.1f" : "%.0f"); }
std::string times_text(double ratio) { return text_of(ratio, ratio < 10 ? "%.2f" : "%.1f"); }

double decode_ratio(const TypeFigures& f) {
  return f.peer_decode_per_second > 0 ? f.decode_per_second / f.peer_decode_per_second : 0;
}

std::vector<std::string> cells(const Measured& m) {
  const TypeFigures& f = m.figures;
  std::vector<std::string> row = {std::string(name(m.codec->type)), m.data};
  for (const EncodeFigures* e : {&f.flat, &f.weighted}) {
    row.insert(row.end(), {error_text(e->error), ratio_text(e->error_ratio()), speed_text(e->weights_per_second),
                           times_text(e->speed_ratio)});
  }
  row.insert(row.end(), {speed_text(f.decode_per_second), times_text(decode_ratio(f))});
  return row;
}

const std::vector<std::string> kColumns = {"type",       "data",   "flat error", "x ggml", "flat Mw/s",   "x ggml",
                                           "imp. error", "x ggml", "imp. Mw/s",  "x ggml", "decode Mw/s", "x ggml"};

void print_table(const std::vector<Measured>& all, std::ostream& out) {
  std::vector<TextTable::Column> columns;
  for (size_t i = 0; i < kColumns.size(); ++i) {
    columns.push_back({kColumns[i], i < 2 ? TextTable::Align::kLeft : TextTable::Align::kRight});
  }
  TextTable table(columns);
  for (const Measured& m : all) table.row(cells(m));
  table.print(out);
}

Json to_json(const EncodeFigures& f) {
  return {{"error", f.error},
          {"error_ratio", f.error_ratio()},
          {"weights_per_second", f.weights_per_second},
          {"speed_ratio", f.speed_ratio}};
}

void print_json(const std::vector<Measured>& all, std::ostream& out) {
  Json rows = Json::array();
  for (const Measured& m : all) {
    rows.push_back({{"type", name(m.codec->type)},
                    {"data", m.data},
                    {"flat", to_json(m.figures.flat)},
                    {"importance", to_json(m.figures.weighted)},
                    {"decode_per_second", m.figures.decode_per_second},
                    {"decode_ratio", decode_ratio(m.figures)}});
  }
  out << Json{{"simd_target", simd_target()}, {"measured", std::move(rows)}}.dump(2) << '\n';
}

void print_markdown_row(const std::vector<std::string>& row, std::ostream& out) {
  out << '|';
  for (const std::string& cell : row) out << ' ' << cell << " |";
  out << '\n';
}

constexpr const char* kPageHead = R"(# Quantized types

Generated by `make -f Makefile.helpers quant-types` (`ggufmill types --measure --markdown`); a test compares the errors with a fresh measurement. How the encoders
work is in docs/quantization.md.

Error: relative RMSE, sqrt(sum w (decoded - x)^2 / sum w x^2), w = importance in the columns "imp.", 1 in those called "flat". "x ggml" beside an error is ours over
that of ggml's encoder on the same rows (below 1: ours is smaller); beside a speed ours over ggml's (above 1: ours is faster), both on one thread in turns
in one process; `-` where ggml has none. Speeds are million weights per second of CPU time on the machine that wrote this page; their ratios carry over, they
do not. The objective is plain importance for every type, whatever the column "objective" says that a conversion minimizes by default: with importance x magnitude the
types below 4 bits have a KL divergence lower by 2 to 11 % and a plain weighted error higher by 3 to 12 %.

## Layout

| type | bits/weight | block | bytes | importance | objective | typical error |
| --- | --- | --- | --- | --- | --- | --- |
)";

constexpr const char* kPageData = R"(
Typical error: flat, heavy-tailed data, default effort. A super-block that loses twice that, and 30 % of itself, is counted as coarse in the report of a conversion.

## Measured

- gaussian: N(0, 0.02).
- heavy: Student's t with 5 degrees of freedom, rows and columns of varying size, 0.02 % of the values 6 times as large.
- nvfp4: heavy, rounded to NVFP4 with a scale per tensor, as a quantized source holds it; the encoder knows the lattice.
- tensors: matrices of a checkpoint, with the same synthetic importance (in the docs: those of the trained miniature in tests/data).

The first two are rounded to BF16. Importance: lognormal with sigma 1, 0.5 % of the columns 50 times as large.
)";

// The page: facts of every type that can be written, then one table per data set.
void print_markdown(const std::vector<Measured>& all, const std::vector<Group>& groups, const MeasureOptionsText& options,
                    std::ostream& out) {
  out << kPageHead;
  for (const Codec& codec : codecs()) {
    if (codec.encode == nullptr) continue;
    const GgmlTypeInfo& type = info(codec.type);
    char bits[32];
    std::snprintf(bits, sizeof bits, "%.4f", type.bits_per_weight());
    print_markdown_row({std::string(type.name), bits, std::to_string(type.block_elems), std::to_string(type.block_bytes),
                        codec.uses_importance ? "yes" : "-", codec.uses_importance ? std::string(name(codec.objective)) : "-",
                        error_text(codec.typical_error)},
                       out);
  }
  out << kPageData << "\nEffort " << options.effort << ", objective " << options.objective << ", SIMD target " << simd_target()
      << ".\n";
  for (const Group& group : groups) {
    std::vector<std::string> header = kColumns;
    header.erase(header.begin() + 1);
    out << "\n### " << group.name << "\n\n";
    print_markdown_row(header, out);
    print_markdown_row(std::vector<std::string>(header.size(), "---"), out);
    for (const Measured& m : all) {
      if (m.data != group.name) continue;
      std::vector<std::string> row = cells(m);
      row.erase(row.begin() + 1);
      print_markdown_row(row, out);
    }
  }
}

}  // namespace

std::vector<std::string> add_measure_options(CLI::App& app, MeasureOptionsText& o) {
  app.add_option("--peer", o.peer, "libggml-base.so of a llama.cpp build, measured in turns with ours");
  app.add_option("--source", o.source, "a checkpoint whose matrices are measured too");
  app.add_option("--types", o.types, "types, separated by commas (all)")->delimiter(',');
  app.add_option("--data", o.data, "gaussian, heavy, nvfp4, separated by commas (all)")->delimiter(',');
  app.add_option("--effort", o.effort, "how long encoders search")->check(CLI::IsMember(effort_names()))->capture_default_str();
  app.add_option("--objective", o.objective, "what encoders minimize")
      ->check(CLI::IsMember(objective_names()))
      ->capture_default_str();
  app.add_option("--tensor-scale", o.tensor_scale, "of NVFP4, for ours")->check(CLI::Range(1e-30, 1e30))->capture_default_str();
  app.add_option("--rows", o.rows, "rows of each data set, at most of each matrix")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--columns", o.columns, "values of a row, a multiple of 256")
      ->check(CLI::Range(256, 1 << 20))
      ->capture_default_str();
  app.add_option("--rounds", o.rounds, "runs of each side; 0: errors alone")->check(CLI::Range(0, 1000))->capture_default_str();
  app.add_flag("--each", o.each, "every matrix of --source by itself");
  app.add_flag("--markdown", o.markdown, "as the page docs/quant-types.md");
  return {"peer",         "source", "types",   "data",   "effort", "objective",
          "tensor-scale", "rows",   "columns", "rounds", "each",   "markdown"};
}

void measure_types(const MeasureOptionsText& options, std::ostream& out) {
  if (!(options.tensor_scale >= 1e-30f && options.tensor_scale <= 1e30f)) {
    throw Error(Exit::kUsage, "--tensor-scale: must lie in 1e-30 .. 1e30");
  }
  if (options.each && options.source.empty()) throw Error(Exit::kUsage, "--each: needs --source");
  if (options.json && options.markdown) throw Error(Exit::kUsage, "--json and --markdown exclude each other");
  if (options.rows * options.columns > kMaxMeasuredWeights) {
    throw Error(Exit::kUsage, "--rows x --columns: more than " + std::to_string(kMaxMeasuredWeights) + " values");
  }
  if (options.columns % 256 != 0) throw Error(Exit::kUsage, "--columns: must be a multiple of 256");
  const std::vector<const Codec*> chosen = chosen_codecs(options.types);
  std::optional<GgmlPeer> peer;
  if (!options.peer.empty()) peer.emplace(options.peer);
  const std::vector<Group> groups = data_groups(options);
  const MeasureOptions how{.peer = peer ? &*peer : nullptr,
                           .effort = *find_effort(options.effort),
                           .objective = *find_objective(options.objective),
                           .tensor_scale = options.tensor_scale,
                           .rounds = options.rounds};
  std::vector<Measured> all;
  for (const Codec* codec : chosen) {
    for (const Group& group : groups) {
      const bool fits =
          std::ranges::all_of(group.sets, [&](const DataSet& s) { return s.columns % info(codec->type).block_elems == 0; });
      if (fits && !group.sets.empty()) all.push_back({codec, group.name, measure_type(*codec, group.sets, how)});
    }
  }
  if (options.json) return print_json(all, out);
  if (options.markdown) return print_markdown(all, groups, options, out);
  out << "SIMD target " << simd_target() << ", effort " << options.effort << ", objective " << options.objective
      << "; one thread, CPU time; Mw/s = million weights per second; x ggml: ours / ggml's\n";
  print_table(all, out);
}

}  // namespace ggufmill
