// The header is checked in the order in which a wrong file shows itself: what else the file may be, the length, the JSON, each
// entry, then the entries together (names once, data without hole or overlap, up to the file's last byte).
#include "formats/safetensors.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cctype>
#include <functional>
#include <numeric>
#include <optional>
#include <utility>

#include "formats/checked.h"
#include "formats/error.h"
#include "formats/json.h"

namespace ggufmill {
namespace {

using simdjson::dom::element;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit, MAX_HEADER_SIZE
constexpr size_t kMaxDims = 8;                     // model weights have at most 5; bounds what a name can cost
constexpr size_t kSniffBytes = 64;                 // enough to tell a pointer file or a web page by its opening

static_assert(std::endian::native == std::endian::little, "lengths are read in place");

using enum DType;
constexpr std::array kDTypes = std::to_array<DTypeInfo>({
    {BOOL, "BOOL", 1},
    {U8, "U8", 1},
    {I8, "I8", 1},
    {F8_E4M3, "F8_E4M3", 1},
    {F8_E5M2, "F8_E5M2", 1},
    {F8_E8M0, "F8_E8M0", 1},
    {I16, "I16", 2},
    {U16, "U16", 2},
    {F16, "F16", 2},
    {BF16, "BF16", 2},
    {I32, "I32", 4},
    {U32, "U32", 4},
    {F32, "F32", 4},
    {I64, "I64", 8},
    {U64, "U64", 8},
    {F64, "F64", 8},
});
static_assert(
    [] {
      for (size_t i = 0; i < kDTypes.size(); ++i) {
        if (static_cast<size_t>(kDTypes[i].dtype) != i) return false;
      }
      return kDTypes.size() == static_cast<size_t>(F64) + 1;
    }(),
    "the row of a dtype stands at its value");

const DTypeInfo* find_dtype(std::string_view name) {
  const auto row = std::ranges::find(kDTypes, name, &DTypeInfo::name);
  return row == kDTypes.end() ? nullptr : &*row;
}

// C0, DEL and the two-byte UTF-8 forms of C1.
bool has_control_characters(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7F) return true;
    if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

std::string number(uint64_t value) { return std::to_string(value); }

// The reader of one header. Errors carry the file's display name.
class HeaderReader {
 public:
  HeaderReader(const InputFile& file, std::string_view display_name) : file_(file), display_name_(printable(display_name)) {}

  SafetensorsHeader read() {
    refuse_other_formats();
    read_text();
    parse();
    refuse_duplicates();
    check_tiling();
    return std::move(header_);
  }

 private:
  Error fail(const std::string& reason) const { return Error(Exit::kBadInput, display_name_ + ": " + reason); }
  Error fail_tensor(std::string_view tensor, const std::string& reason) const {
    return fail(quoted_tensor(tensor) + ": " + reason);
  }

  void refuse_other_formats() const;
  void read_text();
  void parse();
  void check_metadata(element value) const;
  struct EntryFields {
    element dtype, shape, data_offsets;
  };
  EntryFields collect_fields(std::string_view name, element value) const;
  SafetensorsEntry parse_entry(std::string_view name, element value) const;
  const DTypeInfo& parse_dtype(std::string_view name, element value) const;
  std::vector<uint64_t> parse_shape(std::string_view name, element value) const;
  std::pair<uint64_t, uint64_t> parse_offsets(std::string_view name, element value) const;
  void refuse_duplicates() const;
  void check_tiling();

  const InputFile& file_;
  std::string display_name_;
  std::string text_;
  SafetensorsHeader header_;
};

// What a failed download leaves in place of a shard.
void HeaderReader::refuse_other_formats() const {
  constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";
  if (file_.bytes() == 0) throw fail("empty file (unfinished download?)");
  std::string opening(std::min<uint64_t>(kSniffBytes, file_.bytes()), '\0');
  file_.read_exact(0, std::as_writable_bytes(std::span(opening)));
  if (opening.starts_with(kLfsPointer)) throw fail("LFS pointer, run git lfs pull");
  const size_t first = opening.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && opening[first] == '<' && first + 1 < opening.size() &&
      (opening[first + 1] == '!' || opening[first + 1] == '?' || std::isalpha(static_cast<unsigned char>(opening[first + 1])))) {
    throw fail("an HTML or XML page, not safetensors (a server's error message saved as the file?)");
  }
  if (file_.bytes() < kLengthBytes) {
    throw fail("file has " + number(file_.bytes()) + " bytes, expected at least " + number(kLengthBytes));
  }
}

void HeaderReader::read_text() {
  uint64_t header_bytes = 0;
  file_.read_exact(0, std::as_writable_bytes(std::span(&header_bytes, 1)));
  if (header_bytes == 0) throw fail("header length is 0 (space reserved by an unfinished download?)");
  if (header_bytes > kMaxHeaderBytes) {
    throw fail("header length is " + number(header_bytes) + ", expected at most " + number(kMaxHeaderBytes) +
               " (not a safetensors file?)");
  }
  header_.data_offset = kLengthBytes + header_bytes;
  if (header_.data_offset > file_.bytes()) {
    throw fail("header ends at " + number(header_.data_offset) + ", file has " + number(file_.bytes()) +
               " bytes (truncated download?)");
  }
  text_.resize(header_bytes);
  file_.read_exact(kLengthBytes, std::as_writable_bytes(std::span(text_)));
  Sha256Stream hash;
  hash.update(std::as_bytes(std::span(&header_bytes, 1)));
  hash.update(as_bytes(text_));
  header_.header_hash = hash.finish();
  if (text_[0] != '{') throw fail("header begins with \"" + printable(text_, 8) + "\", expected '{'");
}

void HeaderReader::parse() {
  simdjson::dom::parser parser;
  simdjson::dom::object entries;
  if (parse_json(parser, text_, display_name_ + ": header").get(entries)) throw fail("header is not a JSON object");
  text_ = {};
  header_.tensors.reserve(entries.size());
  bool seen_metadata = false;
  for (const auto field : entries) {
    if (field.key != "__metadata__") {
      header_.tensors.push_back(parse_entry(field.key, field.value));
    } else if (std::exchange(seen_metadata, true)) {
      throw fail("__metadata__ stands twice in the header");
    } else {
      check_metadata(field.value);
    }
  }
}

void HeaderReader::check_metadata(element value) const {
  simdjson::dom::object fields;
  if (value.get(fields)) throw fail("__metadata__ is not an object");
  std::vector<std::string_view> keys;
  for (const auto field : fields) {
    if (!field.value.is_string()) throw fail("__metadata__: value of \"" + printable(field.key) + "\" is not a string");
    keys.push_back(field.key);
  }
  std::ranges::sort(keys);
  const auto twice = std::ranges::adjacent_find(keys);
  if (twice != keys.end()) throw fail("__metadata__: key \"" + printable(*twice) + "\" stands twice");
}

// Each of the three fields once, and no other.
HeaderReader::EntryFields HeaderReader::collect_fields(std::string_view name, element value) const {
  constexpr std::array<std::string_view, 3> kNames = {"dtype", "shape", "data_offsets"};
  simdjson::dom::object fields;
  if (value.get(fields)) throw fail_tensor(name, "its entry is not an object");
  std::array<std::optional<element>, 3> found;
  for (const auto field : fields) {
    const auto which = static_cast<size_t>(std::ranges::find(kNames, field.key) - kNames.begin());
    if (which == kNames.size()) throw fail_tensor(name, "unknown field \"" + printable(field.key) + "\"");
    if (found[which]) throw fail_tensor(name, "field \"" + std::string(field.key) + "\" stands twice");
    found[which] = field.value;
  }
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (!found[i]) throw fail_tensor(name, "field \"" + std::string(kNames[i]) + "\" is missing");
  }
  return {.dtype = *found[0], .shape = *found[1], .data_offsets = *found[2]};
}

SafetensorsEntry HeaderReader::parse_entry(std::string_view name, element value) const {
  if (name.empty()) throw fail_tensor(name, "the name is empty");
  if (has_control_characters(name)) throw fail_tensor(name, "the name holds control characters");
  const EntryFields fields = collect_fields(name, value);
  const DTypeInfo& dtype = parse_dtype(name, fields.dtype);
  SafetensorsEntry entry{.name = std::string(name), .dtype = dtype.dtype, .shape = parse_shape(name, fields.shape), .extent = {}};
  const auto [begin, end] = parse_offsets(name, fields.data_offsets);
  const auto elems = checked_product(entry.shape);
  const auto bytes = elems ? checked_mul(*elems, dtype.bytes) : std::nullopt;
  if (!bytes) throw fail_tensor(name, "shape times dtype overflows 64 bits");
  if (*bytes != end - begin) {
    throw fail_tensor(name, "shape and dtype make " + number(*bytes) + " bytes, data_offsets hold " + number(end - begin));
  }
  const auto file_offset = checked_add(header_.data_offset, begin);
  if (!file_offset || !checked_add(*file_offset, *bytes)) throw fail_tensor(name, "data_offsets overflow 64 bits");
  entry.extent = {.file_offset = *file_offset, .bytes = *bytes};
  return entry;
}

const DTypeInfo& HeaderReader::parse_dtype(std::string_view name, element value) const {
  std::string_view text;
  if (value.get(text)) throw fail_tensor(name, "dtype is not a string");
  const DTypeInfo* dtype = find_dtype(text);
  if (dtype == nullptr) throw fail_tensor(name, "unknown dtype \"" + printable(text, 32) + "\"");
  return *dtype;
}

std::vector<uint64_t> HeaderReader::parse_shape(std::string_view name, element value) const {
  simdjson::dom::array dims;
  if (value.get(dims)) throw fail_tensor(name, "shape is not an array");
  std::vector<uint64_t> shape;
  shape.reserve(std::min(dims.size(), kMaxDims));
  for (const element dim : dims) {
    if (shape.size() == kMaxDims) {
      throw fail_tensor(name, "shape has " + number(dims.size()) + " dimensions, expected at most " + number(kMaxDims));
    }
    uint64_t size;
    if (dim.get(size)) throw fail_tensor(name, "shape[" + number(shape.size()) + "] is not a non-negative integer");
    shape.push_back(size);
  }
  return shape;
}

std::pair<uint64_t, uint64_t> HeaderReader::parse_offsets(std::string_view name, element value) const {
  simdjson::dom::array offsets;
  if (value.get(offsets) || offsets.size() != 2) throw fail_tensor(name, "data_offsets is not an array of two numbers");
  uint64_t begin, end;
  if (offsets.at(0).get(begin) || offsets.at(1).get(end)) throw fail_tensor(name, "data_offsets are not non-negative integers");
  if (end < begin) throw fail_tensor(name, "data_offsets end at " + number(end) + " before they begin at " + number(begin));
  return {begin, end};
}

void HeaderReader::refuse_duplicates() const {
  std::vector<std::string_view> names;
  names.reserve(header_.tensors.size());
  for (const SafetensorsEntry& entry : header_.tensors) names.push_back(entry.name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) throw fail_tensor(*twice, "stands twice in the header");
}

void HeaderReader::check_tiling() {
  std::ranges::sort(header_.tensors, {},
                    [](const SafetensorsEntry& e) { return std::pair(e.extent.file_offset, e.extent.end()); });
  uint64_t end = header_.data_offset;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry& entry : header_.tensors) {
    if (entry.extent.file_offset != end) {
      const std::string begins = "data begins at " + number(entry.extent.file_offset) + ", expected " + number(end);
      if (previous == nullptr) throw fail_tensor(entry.name, begins + ", where the header ends");
      throw fail_tensor(entry.name, begins + ", where " + quoted_tensor(previous->name) + " ends" +
                                        (entry.extent.file_offset < end ? " (overlap)" : " (hole)"));
    }
    end = entry.extent.end();
    previous = &entry;
  }
  if (end > file_.bytes()) {
    throw fail_tensor(previous->name,
                      "data ends at " + number(end) + ", file has " + number(file_.bytes()) + " bytes (truncated download?)");
  }
  if (end < file_.bytes()) {
    throw fail("data ends at " + number(end) + ", file has " + number(file_.bytes()) + " bytes (bytes that belong to no tensor)");
  }
}

}  // namespace

std::span<const DTypeInfo> dtypes() { return kDTypes; }

const DTypeInfo& info(DType dtype) {
  const auto row = static_cast<size_t>(dtype);
  assert(row < kDTypes.size() && "every value of DType has a row in kDTypes");
  return kDTypes[row];
}

uint64_t SafetensorsEntry::elems() const { return std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>()); }

SafetensorsHeader read_safetensors_header(const InputFile& file, std::string_view display_name) {
  return HeaderReader(file, display_name).read();
}

}  // namespace ggufmill
