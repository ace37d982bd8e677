#include "convert/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <unordered_set>

#include "formats/error.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text = "[";
  for (const uint64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

uint64_t product(std::span<const uint64_t> shape) {  // of a tensor that is in a file: no overflow
  return std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
}

uint64_t ceil_div(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

bool is_float(DType dtype) { return dtype == DType::F32 || dtype == DType::BF16 || dtype == DType::F16; }

// Names of one-value tensors that a quantized KV cache or attention brings along.
bool is_cache_scale(const SourceTensor& tensor) {
  if (!is_float(tensor.dtype) || tensor.elems() != 1) return false;
  constexpr std::string_view kSuffixes[] = {".k_scale", ".v_scale", ".q_scale", ".prob_scale", ".kv_scale"};
  return std::ranges::any_of(kSuffixes, [&](std::string_view suffix) { return tensor.name.ends_with(suffix); });
}

class Binder {
 public:
  Binder(const Checkpoint& checkpoint, BlockSize block) : checkpoint_(checkpoint), block_(block) {}

  Weights run() {
    Weights out;
    std::vector<const SourceTensor*> rest;  // plain weights, and scales, which are three of four tensors in some checkpoints
    for (const SourceTensor& tensor : checkpoint_.tensors()) {
      if (is_cache_scale(tensor))
        out.dropped.push_back(tensor.name);
      else if (!bind(tensor, out.all))
        rest.push_back(&tensor);
    }
    for (const SourceTensor* tensor : rest) claim_companions(*tensor);
    for (const SourceTensor* tensor : rest) {
      if (companions_.contains(tensor->name)) continue;
      out.all.push_back({.name = tensor->name, .shape = tensor->shape, .codes = *tensor});
      note_missing_scales(out.all.back());
    }
    std::ranges::sort(out.all, {}, &Weight::name);
    return out;
  }

 private:
  const SourceTensor* find(const std::string& base, std::string_view suffix) const {
    return suffix.empty() ? nullptr : checkpoint_.find(base + std::string(suffix));
  }

  static const CodesDType* codes_of(const WeightForm& form, DType dtype) {
    const auto at = std::ranges::find(form.codes_dtypes, dtype, &CodesDType::dtype);
    return dtype == DType::BOOL || at == form.codes_dtypes.end() ? nullptr : &*at;
  }
  static bool has_scales(const WeightForm& form, DType dtype) {
    return dtype != DType::BOOL && std::ranges::find(form.scales_dtypes, dtype) != form.scales_dtypes.end();
  }

  // True if `codes` are those of a form; then the weight is in `all`.
  bool bind(const SourceTensor& codes, std::vector<Weight>& all) {
    for (const WeightForm& form : weight_forms()) {
      if (codes_of(form, codes.dtype) == nullptr || !codes.name.ends_with(form.codes_suffix)) continue;
      const std::string base = codes.name.substr(0, codes.name.size() - form.codes_suffix.size());
      const SourceTensor* scales = find(base, form.scales_suffix);
      if (scales == nullptr || !has_scales(form, scales->dtype)) continue;
      all.push_back(bound(form, base, codes, *scales));
      return true;
    }
    return false;
  }

  std::optional<SourceTensor> companion(const std::string& base, std::string_view suffix) {
    const SourceTensor* tensor = find(base, suffix);
    if (tensor == nullptr) return std::nullopt;
    companions_.insert(tensor->name);
    return *tensor;
  }

  Weight bound(const WeightForm& form, const std::string& base, const SourceTensor& codes, const SourceTensor& scales) {
    Weight w;
    w.name = base + std::string(form.name_suffix);
    w.form = &form;
    w.codes = codes;
    w.code_kind = codes_of(form, codes.dtype)->codes;
    w.scales = scales;
    companions_.insert(scales.name);
    w.tensor_scale = companion(base, form.tensor_scale_suffix);
    w.input_scale = companion(base, form.input_scale_suffix);
    w.stored_shape = companion(base, form.shape_suffix);
    set_shape(w);
    if (w.problem.empty()) set_groups(w);
    if (w.problem.empty()) check_companions(w, base);
    return w;
  }

  // The shape of the values from that of the codes.
  static void set_shape(Weight& w) {
    w.shape = w.codes.shape;
    const size_t least = w.form->codes_in_blocks ? 3 : 2;
    if (w.shape.size() < least || w.shape.size() > least + 1 || w.codes.elems() == 0) {
      w.problem = w.form->name;
      w.problem += " codes of shape " + shape_text(w.codes.shape) + ", expected a matrix or a stack of them";
      return;
    }
    if (w.form->codes_in_blocks) {
      const uint64_t bytes = w.shape.back();
      w.shape.pop_back();
      w.shape.back() *= bytes;
    }
    w.shape.back() *= info(w.codes.dtype).bytes * 8 / info(w.code_kind).bits;
  }

  void set_groups(Weight& w) const {
    const std::vector<uint64_t>& found = w.scales->shape;
    const std::vector<uint64_t> matrices(w.shape.begin(), w.shape.end() - 2);
    const uint64_t rows = w.rows_per_matrix(), columns = w.columns();
    // A stack's shape with two last dimensions.
    const auto of = [&](std::initializer_list<uint64_t> last) {
      std::vector<uint64_t> shape = matrices;
      shape.insert(shape.end(), last);
      return shape;
    };
    const auto fits = [&](uint64_t group_rows, uint64_t group_elems) {
      w.group_rows = group_rows;
      w.group_elems = group_elems;
    };
    if (w.form->groups == ScaleGroups::kColumns) {
      uint64_t group = w.form->group_elems;
      if (group == 0 && !found.empty() && found.back() > 0 && columns % found.back() == 0) group = columns / found.back();
      if (group > 0 && columns % group == 0 && group % 8 == 0 && found == of({rows, columns / group})) return fits(1, group);
      return wrong_scales(w, group > 0 ? shape_text(of({rows, columns / group})) + " for groups of " + std::to_string(group)
                                       : shape_text(of({rows, columns})) + " divided along rows");
    }
    if (w.scales->elems() == 1 || (!matrices.empty() && w.scales->elems() == product(matrices) && found != of({rows})))
      return whole_tensor(w);
    if (found == of({rows}) || found == of({rows, 1})) return fits(1, columns);
    if (found == of({ceil_div(rows, block_.rows), ceil_div(columns, block_.columns)})) return fits(block_.rows, block_.columns);
    wrong_scales(w, "one, " + shape_text(of({rows})) + " or " +
                        shape_text(of({ceil_div(rows, block_.rows), ceil_div(columns, block_.columns)})) + " for blocks of " +
                        std::to_string(block_.rows) + "x" + std::to_string(block_.columns));
  }

  // Scales of whole matrices are read with the plan, as those that stand beside groups' scales.
  static void whole_tensor(Weight& w) {
    w.tensor_scale = std::move(w.scales);
    w.scales.reset();
    w.group_rows = w.rows_per_matrix();
    w.group_elems = w.columns();
  }

  static void wrong_scales(Weight& w, const std::string& expected) {
    w.problem = quoted_tensor(w.scales->name) + " of shape " + shape_text(w.scales->shape) + " for " + std::string(w.form->name) +
                " values " + shape_text(w.shape) + ", expected " + expected;
  }

  void check_companions(Weight& w, const std::string& base) const {
    if (!w.form->tensor_scale_suffix.empty() && !w.tensor_scale) {
      w.problem = std::string(w.form->name) + " without " + quoted_tensor(base + std::string(w.form->tensor_scale_suffix));
      return;
    }
    const uint64_t matrices = product(std::span(w.shape).first(w.shape.size() - 2));
    for (const auto* of_tensor : {&w.tensor_scale, &w.input_scale}) {
      if (!*of_tensor) continue;
      const SourceTensor& t = **of_tensor;
      const bool e8m0 = t.dtype == DType::F8_E8M0 && of_tensor == &w.tensor_scale;
      if ((!is_float(t.dtype) && !e8m0) || (t.elems() != 1 && t.elems() != matrices)) {
        w.problem = quoted_tensor(t.name) + " is " + std::string(name(t.dtype)) + " " + shape_text(t.shape) +
                    ", expected one number" + (matrices > 1 ? " or " + std::to_string(matrices) : "");
      }
    }
    if (w.stored_shape && ((w.stored_shape->dtype != DType::I32 && w.stored_shape->dtype != DType::I64) ||
                           w.stored_shape->elems() != w.shape.size())) {
      w.problem = quoted_tensor(w.stored_shape->name) + " is no shape of " + std::to_string(w.shape.size()) + " dimensions";
    }
    for (const std::string_view unknown : {".weight_zero_point", ".weight_g_idx"}) {
      if (find(base, unknown) != nullptr)
        w.problem = "has " + quoted_tensor(base + std::string(unknown)) + ": asymmetric or reordered codes are not known";
    }
  }

  static bool may_be_codes(const WeightForm& form, const SourceTensor& tensor) {
    return codes_of(form, tensor.dtype) != nullptr && !form.codes_suffix.empty() && tensor.name.ends_with(form.codes_suffix);
  }

  // What else belongs to codes whose scales are missing: the missing ones are what is to be told.
  void claim_companions(const SourceTensor& tensor) {
    for (const WeightForm& form : weight_forms()) {
      if (!may_be_codes(form, tensor)) continue;
      const std::string base = tensor.name.substr(0, tensor.name.size() - form.codes_suffix.size());
      for (const std::string_view suffix : {form.tensor_scale_suffix, form.input_scale_suffix, form.shape_suffix}) {
        if (const SourceTensor* found = find(base, suffix)) companions_.insert(found->name);
      }
    }
  }

  // Codes that stand alone: what would have to be beside them.
  void note_missing_scales(Weight& w) const {
    std::string expected;
    std::unordered_set<std::string_view> listed;
    const std::string& codes_name = w.codes.name;
    for (const WeightForm& form : weight_forms()) {
      if (!may_be_codes(form, w.codes)) continue;
      if (listed.empty())
        w.name = codes_name.substr(0, codes_name.size() - form.codes_suffix.size()) + std::string(form.name_suffix);
      if (listed.insert(form.scales_suffix).second)
        expected += (expected.empty() ? "*" : ", *") + std::string(form.scales_suffix);
    }
    if (!expected.empty()) {
      w.problem = "is " + std::string(name(w.codes.dtype)) + ", and the scales of a quantized weight are missing (" + expected +
                  ", of a known dtype)";
    }
  }

  const Checkpoint& checkpoint_;
  const BlockSize block_;
  std::unordered_set<std::string_view> companions_;  // names in the checkpoint
};

// ---- reading the few bytes of scalars

struct Wanted {
  const SourceTensor* tensor;
  std::vector<std::byte>* bytes;
};

// Scalars lie side by side in most files: what is nearer than this is read at once, in reads of at most the second figure.
constexpr uint64_t kNearBytes = 64 << 10, kMaxReadBytes = 1 << 20;

void read_all(std::span<const Shard> shards, std::vector<Wanted> wanted) {
  std::ranges::sort(wanted, {}, [](const Wanted& w) { return std::pair(w.tensor->shard, w.tensor->extent.file_offset); });
  std::vector<std::byte> buffer;
  std::optional<InputFile> file;
  for (size_t first = 0; first < wanted.size();) {
    const uint32_t shard = wanted[first].tensor->shard;
    if (first == 0 || shard != wanted[first - 1].tensor->shard) {
      file.emplace(shards[shard].path);
      if (file->id() != shards[shard].id)
        throw Error(Exit::kBadInput, printable(shards[shard].name) + ": changed while it was read");
    }
    const uint64_t start = wanted[first].tensor->extent.file_offset;
    uint64_t end = wanted[first].tensor->extent.end();
    size_t last = first + 1;
    for (; last < wanted.size() && wanted[last].tensor->shard == shard; ++last) {
      const Extent& next = wanted[last].tensor->extent;
      if (next.file_offset > end + kNearBytes || next.end() - start > kMaxReadBytes) break;
      end = std::max(end, next.end());
    }
    buffer.resize(end - start);
    file->read_exact(start, buffer);
    for (; first < last; ++first) {
      const Extent& e = wanted[first].tensor->extent;
      const auto from = buffer.begin() + static_cast<std::ptrdiff_t>(e.file_offset - start);
      wanted[first].bytes->assign(from, from + static_cast<std::ptrdiff_t>(e.bytes));
    }
  }
}

std::vector<float> as_floats(const SourceTensor& tensor, std::span<const std::byte> bytes) {
  std::vector<float> values(tensor.elems());
  decode_scales(*scales_of(tensor.dtype), bytes, values);
  return values;
}

bool is_scale(float value) { return value > 0 && !std::isinf(value); }

std::string bad_number(float value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return std::string("is ") + text + ", expected a finite number above zero";
}

// Fills `out` from the bytes of a scale of whole tensors; the reason where one is no scale.
std::string take_scales(const SourceTensor& tensor, std::span<const std::byte> bytes, bool divides, std::vector<float>& out) {
  out = as_floats(tensor, bytes);
  std::string problem;
  for (float& value : out) {
    const float stored = value;
    if (divides) value = 1.0f / value;
    if (!is_scale(stored) && problem.empty()) problem = bad_number(stored);
    if (!is_scale(value) && problem.empty()) problem = bad_number(stored) + " whose reciprocal is one too";
  }
  return problem;
}

std::string compare_shape(const Weight& w, std::span<const std::byte> bytes) {
  std::vector<uint64_t> stored(w.shape.size());
  const size_t width = info(w.stored_shape->dtype).bytes;
  for (size_t i = 0; i < stored.size(); ++i) std::memcpy(&stored[i], bytes.data() + i * width, width);
  if (stored == w.shape) return "";
  const bool padded = stored.size() == w.shape.size() && std::equal(stored.begin(), stored.end() - 1, w.shape.begin()) &&
                      stored.back() < w.shape.back();
  return "says " + shape_text(stored) + ", the codes are " + shape_text(w.shape) +
         (padded ? ": rows padded to whole words are not known" : "");
}

}  // namespace

uint64_t Weight::elems() const { return product(shape); }

float Weight::tensor_scale_of(uint64_t row) const {
  if (tensor_scales.empty()) return 1;
  return tensor_scales.size() == 1 ? tensor_scales[0] : tensor_scales[row / rows_per_matrix()];
}

std::string Weight::scheme() const {
  std::string text(scheme_name());
  if (form == nullptr) return text;
  if (!scales) return text + (tensor_scale && tensor_scale->elems() > 1 ? ", a scale per matrix" : ", one scale");
  if (form->group_elems == 0 && group_rows == 1 && group_elems == columns()) return text + ", a scale per row";
  if (group_rows == 1) return text + ", groups of " + std::to_string(group_elems);
  return text + ", blocks of " + std::to_string(group_rows) + "x" + std::to_string(group_elems);
}

Weights bind_weights(const Checkpoint& checkpoint, BlockSize block) { return Binder(checkpoint, block).run(); }

std::vector<Finding> find_tensor_scales(std::span<const Shard> shards, std::span<const uint32_t> used,
                                        std::vector<Weight>& weights) {
  struct Raw {
    std::vector<std::byte> tensor_scale, input_scale, shape;
  };
  std::vector<Raw> raw(used.size());
  std::vector<Wanted> wanted;
  for (size_t i = 0; i < used.size(); ++i) {
    const Weight& w = weights[used[i]];
    if (w.tensor_scale) wanted.push_back({&*w.tensor_scale, &raw[i].tensor_scale});
    if (w.input_scale) wanted.push_back({&*w.input_scale, &raw[i].input_scale});
    if (w.stored_shape) wanted.push_back({&*w.stored_shape, &raw[i].shape});
  }
  read_all(shards, std::move(wanted));
  std::vector<Finding> findings;
  const auto note = [&](const SourceTensor& tensor, const std::string& why) {
    if (!why.empty()) findings.push_back({Severity::kError, shards[tensor.shard].name, tensor.name, why});
  };
  for (size_t i = 0; i < used.size(); ++i) {
    Weight& w = weights[used[i]];
    const bool divides = w.form != nullptr && w.form->tensor_scale_divides;
    if (w.tensor_scale) note(*w.tensor_scale, take_scales(*w.tensor_scale, raw[i].tensor_scale, divides, w.tensor_scales));
    // A scale of activations is of no interest but to a runtime: who writes it checks it.
    if (w.input_scale) take_scales(*w.input_scale, raw[i].input_scale, divides, w.input_scales);
    if (w.stored_shape) note(*w.stored_shape, compare_shape(w, raw[i].shape));
  }
  return findings;
}

void read_tensor_scales(std::span<const Shard> shards, std::span<const uint32_t> used, std::vector<Weight>& weights) {
  const std::vector<Finding> bad = find_tensor_scales(shards, used, weights);
  if (bad.empty()) return;
  throw Error(Exit::kBadInput, printable(bad[0].file) + ": " + quoted_tensor(bad[0].tensor) + ": " + bad[0].message +
                                   (bad.size() > 1 ? " (and " + std::to_string(bad.size() - 1) + " more scales)" : ""));
}

}  // namespace ggufmill
