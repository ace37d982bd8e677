#include "verify/values.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "formats/file.h"
#include "quant/codecs.h"
#include "verify/error_bounds.h"
#include "verify/parallel.h"
#include "verify/row_choice.h"
#include "verify/value_sums.h"

namespace ggufmill {
namespace {

// A task's values: enough that handing out tasks costs nothing, little enough that all threads' buffers are small.
constexpr uint64_t kTaskBytes = 1 << 20;

struct Located {
  const GgufFile* file;
  const GgufTensor* tensor;
  std::vector<float> scales = {};  // of its `.scale` tensor: one per matrix, or one; empty without
};

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

std::string shape_text(const std::vector<uint64_t>& ne) {
  std::string text;
  for (const uint64_t n : ne) text += (text.empty() ? "[" : ", ") + std::to_string(n);
  return text + "]";
}

// Dimensions of 1 at the end mean nothing: some writers drop them.
std::vector<uint64_t> trimmed(std::vector<uint64_t> ne) {
  while (ne.size() > 1 && ne.back() == 1) ne.pop_back();
  return ne;
}

// A bad read of OUT is a difference, one of the source an Error that stops the run: told apart by the code.
Error of_out(const Error& error) {
  return Error(error.code() == Exit::kBadInput ? Exit::kDifference : error.code(), error.message());
}

InputFile open_out(const std::filesystem::path& path) try { return InputFile(path); } catch (const Error& error) {
  throw of_out(error);
}

class TensorCheck {
 public:
  TensorCheck(const Located& located, const InputFile& file, const RowSource& source, size_t index, const ValueOptions& options)
      : tensor_(*located.tensor),
        file_(file),
        source_(source),
        index_(index),
        codec_(*find_codec(tensor_.type)),
        exact_(source.tensors[index].exact_type == tensor_.type),
        scales_(located.scales),
        row_bytes_(tensor_bytes(tensor_.type, tensor_.row_elems(), 1).value()),
        choice_(tensor_.rows(), tensor_.rows() / (tensor_.ne.size() > 1 ? tensor_.ne[1] : 1), options.full ? 1 : options.sample,
                options.seed, tensor_.name) {}

  ValueSums run(unsigned threads) const {
    const uint64_t rows_per_task = std::max<uint64_t>(1, kTaskBytes / (tensor_.row_elems() * sizeof(float)));
    const uint64_t n_tasks = (choice_.size() + rows_per_task - 1) / rows_per_task;
    std::vector<ValueSums> sums(n_tasks);
    parallel_for(n_tasks, threads, [&](size_t task) {
      sums[task] = run_task(task * rows_per_task, std::min(choice_.size(), (task + 1) * rows_per_task));
    });
    ValueSums all;
    for (const ValueSums& s : sums) all.merge(s);  // in row order, whichever thread was first
    return all;
  }

 private:
  ValueSums run_task(uint64_t first, uint64_t end) const {
    const size_t n = tensor_.row_elems();
    std::vector<float> expected(n), decoded(n), rounded(codec_.lossless_container ? n : 0);
    std::vector<std::byte> blocks(row_bytes_), rounded_blocks(codec_.lossless_container ? row_bytes_ : 0);
    ValueSums sums;
    for (uint64_t i = first; i < end; ++i) {
      const uint64_t row = choice_[i];
      source_.read_row(index_, row, expected);
      read_out(row, blocks);
      codec_.decode(blocks, decoded);
      apply_scale(row, decoded);
      if (codec_.lossless_container) {
        codec_.encode(expected, {}, rounded_blocks);
        codec_.decode(rounded_blocks, rounded);
        if (source_.tensors[index_].computed) accept_neighbours(decoded, rounded);
      }
      if (exact_) {
        rounded = expected;
        accept_zeros(decoded, rounded);
      }
      add_row(sums, row, expected, decoded, rounded, info(tensor_.type).block_elems);
    }
    return sums;
  }

  void apply_scale(uint64_t row, std::span<float> decoded) const {
    if (scales_.empty()) return;
    const uint64_t matrix = tensor_.ne.size() > 2 ? row / tensor_.ne[1] : 0;
    const float scale = scales_[std::min<uint64_t>(matrix, scales_.size() - 1)];
    for (float& v : decoded) v *= scale;
  }

  // ggml's blocks know no -0.
  static void accept_zeros(std::span<const float> decoded, std::span<float> rounded) {
    for (size_t i = 0; i < decoded.size(); ++i) {
      if (decoded[i] == 0 && rounded[i] == 0) rounded[i] = decoded[i];
    }
  }

  // A value one unit in the last place beside the expected one counts as that.
  static void accept_neighbours(std::span<const float> decoded, std::span<float> rounded) {
    for (size_t i = 0; i < decoded.size(); ++i) {
      if (std::nextafter(rounded[i], decoded[i]) == decoded[i]) rounded[i] = decoded[i];
    }
  }

  void read_out(uint64_t row, std::span<std::byte> blocks) const try {
    file_.read_exact(tensor_.extent.file_offset + row * row_bytes_, blocks);
  } catch (const Error& error) {
    throw of_out(error);
  }

  const GgufTensor& tensor_;
  const InputFile& file_;
  const RowSource& source_;
  size_t index_;
  const Codec& codec_;
  bool exact_;
  const std::vector<float>& scales_;
  uint64_t row_bytes_;
  RowChoice choice_;
};

std::string odd_text(const OddValue& odd, uint64_t count, uint64_t rows) {
  std::string text =
      "row " + std::to_string(odd.row) + ", column " + std::to_string(odd.column) + " is " + number_text(odd.found);
  if (count > 1) text += " (and " + std::to_string(count - 1) + " more values in " + std::to_string(rows) + " rows)";
  return text;
}

void judge(const Located& at, const ExpectedTensor& expected, const ValueSums& sums, const ValueOptions& options,
           Report& report) {
  const std::string& file = at.file->name;
  const std::string& name = at.tensor->name;
  if (sums.first_nonfinite) {
    report.error(file, name,
                 odd_text(*sums.first_nonfinite, sums.nonfinite_count, sums.rows) + ", the source has " +
                     number_text(sums.first_nonfinite->expected));
  }
  const auto chosen = options.max_error.find(expected.class_name);
  const bool by_class = chosen != options.max_error.end();
  const double bound = by_class ? chosen->second : largest_relative_rmse(at.tensor->type);
  if (!by_class && sums.first_inexact && !sums.first_nonfinite) {
    char values[80];
    std::snprintf(values, sizeof(values), "%.9g, the source gives %.9g", static_cast<double>(sums.first_inexact->found),
                  static_cast<double>(sums.first_inexact->expected));
    report.error(file, name,
                 std::to_string(sums.inexact_count) + " values of " + std::to_string(sums.rows) +
                     " rows are not the source's in " + std::string(ggufmill::name(at.tensor->type)) + ": row " +
                     std::to_string(sums.first_inexact->row) + ", column " + std::to_string(sums.first_inexact->column) + " is " +
                     values);
  }
  const bool rounds = find_codec(at.tensor->type)->lossless_container;
  if ((by_class || !rounds) && !(sums.relative_rmse() <= bound)) {
    report.error(file, name,
                 "relative RMSE is " + number_text(sums.relative_rmse()) + " (cosine " + number_text(sums.cosine()) + "), " +
                     (by_class ? "class " + expected.class_name : std::string(ggufmill::name(at.tensor->type))) + " allows " +
                     number_text(bound));
  }
}

void check_tensor(const Located& at, const RowSource& source, size_t index, const ValueOptions& options, Report& report) {
  const ExpectedTensor& expected = source.tensors[index];
  const std::string& file = at.file->name;
  if (trimmed(at.tensor->ne) != trimmed(expected.ne)) {
    return report.error(file, expected.name,
                        "shape is " + shape_text(at.tensor->ne) + ", the source gives " + shape_text(expected.ne));
  }
  if (find_codec(at.tensor->type) == nullptr) {
    return report.add(Severity::kWarning, file, expected.name,
                      "values are not compared: type " + std::string(name(at.tensor->type)) + " cannot be decoded");
  }
  try {
    const InputFile in = open_out(at.file->path);
    const ValueSums sums = TensorCheck(at, in, source, index, options).run(options.threads);
    judge(at, expected, sums, options, report);
    report.tensors.push_back({expected.name, expected.class_name, at.tensor->type, sums.rows, sums.relative_rmse(), sums.cosine(),
                              sums.max_error, sums.worst_block});
  } catch (const Error& error) {
    if (error.code() != Exit::kDifference) throw;
    report.error(file, Error(Exit::kBadInput, error.message()));
  }
}

// The tensors that belong to another one of the set ("X.scale" and "X.input_scale" beside "X.weight"), by name.
std::map<std::string, Located> companions(std::span<const GgufFile> files) {
  std::set<std::string> weights;
  for (const GgufFile& file : files) {
    if (!file.header) continue;
    for (const GgufTensor& t : file.header->tensors) weights.insert(t.name);
  }
  std::map<std::string, Located> found;
  for (const GgufFile& file : files) {
    if (!file.header) continue;
    for (const GgufTensor& t : file.header->tensors) {
      const size_t dot = t.name.rfind('.');
      if (dot == std::string::npos || t.type != GgmlType::F32) continue;
      const bool named = t.name.substr(dot) == ".scale" || t.name.substr(dot) == ".input_scale";
      if (named && weights.contains(t.name.substr(0, dot) + ".weight")) found.emplace(t.name, Located{&file, &t});
    }
  }
  return found;
}

// The values of the `.scale` tensor of "X.weight"; empty where it has none.
std::vector<float> scales_of(const std::string& name, const std::map<std::string, Located>& companions) {
  const auto at = companions.find(name.substr(0, name.rfind('.')) + ".scale");
  if (at == companions.end()) return {};
  const GgufTensor& t = *at->second.tensor;
  std::vector<float> scales(t.extent.bytes / sizeof(float));
  open_out(at->second.file->path).read_exact(t.extent.file_offset, std::as_writable_bytes(std::span(scales)));
  return scales;
}

void check_classes(const RowSource& source, const ValueOptions& options) {
  std::set<std::string> classes;
  for (const ExpectedTensor& t : source.tensors) classes.insert(t.class_name);
  for (const auto& [name, bound] : options.max_error) {
    if (classes.contains(name)) continue;
    std::string list;
    for (const std::string& c : classes) list += (list.empty() ? "" : ", ") + c;
    throw Error(Exit::kUsage, "--max-error: no tensor is of class \"" + printable(name) + "\"; there are " + list);
  }
}

}  // namespace

void check_values(std::span<const GgufFile> files, const RowSource& source, const ValueOptions& options, Report& report) {
  check_classes(source, options);
  std::map<std::string_view, size_t> expected;
  for (size_t i = 0; i < source.tensors.size(); ++i) expected.emplace(source.tensors[i].name, i);
  const std::map<std::string, Located> known = companions(files);
  bool all_readable = true;
  for (const GgufFile& file : files) {
    all_readable = all_readable && file.header;
    if (!file.header) continue;
    for (const GgufTensor& t : file.header->tensors) {
      const auto at = expected.find(t.name);
      if (at == expected.end()) {
        if (known.contains(t.name)) continue;
        report.error(file.name, t.name, "is not in the source, or in the file twice");
        continue;
      }
      check_tensor({&file, &t, scales_of(t.name, known)}, source, at->second, options, report);
      expected.erase(at);
    }
  }
  if (!all_readable) return;  // whatever is missing may be in the files whose headers were refused
  for (const auto& [name, index] : expected) report.error("", std::string(name), "is in the source, but not in the GGUF files");
}

}  // namespace ggufmill
