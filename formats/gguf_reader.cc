// Reads a GGUF header (byte picture in gguf.h) through a 64 KiB window: nothing is allocated before its size was compared with
// the bytes that the file still has, and with kMaxGgufHeaderBytes.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "formats/checked.h"
#include "formats/gguf.h"

namespace ggufmill {
namespace {

static_assert(std::endian::native == std::endian::little, "headers are copied as they lie in the file");

constexpr uint64_t kWindowBytes = 64 << 10;
constexpr uint64_t kMinKvBytes = 8 + 1 + 4 + 1;              // a key of one byte, its type, a one-byte value
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;  // a name of one byte, one dimension, type, offset

class HeaderStream {
 public:
  explicit HeaderStream(const InputFile& file)
      : file_(file), where_(printable(file.path().filename().string())), end_(std::min(file.bytes(), kMaxGgufHeaderBytes)) {}

  [[noreturn]] void fail(const std::string& why) const { throw Error(Exit::kBadInput, where_ + ": " + why); }
  uint64_t position() const { return position_; }
  uint64_t left() const { return end_ - position_; }

  void read(std::span<std::byte> out, std::string_view what) {
    if (out.size() > left()) fail_short(out.size(), what);
    while (!out.empty()) {
      if (position_ - window_offset_ >= window_.size()) fill(out);
      if (out.empty()) return;
      const auto rest = std::span(window_).subspan(position_ - window_offset_);
      const size_t n = std::min(rest.size(), out.size());
      std::memcpy(out.data(), rest.data(), n);
      position_ += n;
      out = out.subspan(n);
    }
  }

  template <typename T>
  T read(std::string_view what) {
    T value;
    read(std::as_writable_bytes(std::span(&value, 1)), what);
    return value;
  }

  std::string read_string(std::string_view what) {
    const auto length = read<uint64_t>(what);
    if (length > left()) fail_short(length, what);
    std::string text(length, '\0');
    read(std::as_writable_bytes(std::span(text.data(), text.size())), what);
    if (!simdjson::validate_utf8(text.data(), text.size()))
      fail(std::string(what) + " is not UTF-8: \"" + printable(text, 60) + "\"");
    return text;
  }

  [[noreturn]] void fail_short(uint64_t bytes, std::string_view what) const {
    const bool at_limit = end_ < file_.bytes();
    fail(std::string(what) + " needs " + std::to_string(bytes) + " bytes at " + std::to_string(position_) + ", " +
         (at_limit ? "the largest header accepted is " : "the file has ") + std::to_string(end_) +
         (at_limit ? "" : " (truncated?)"));
  }

 private:
  // Large reads go straight to `out`; small ones refill the window.
  void fill(std::span<std::byte>& out) {
    if (out.size() >= kWindowBytes) {
      file_.read_exact(position_, out);
      position_ += out.size();
      out = {};
      return;
    }
    window_.resize(std::min(kWindowBytes, left()));
    window_offset_ = position_;
    file_.read_exact(position_, window_);
  }

  const InputFile& file_;
  std::string where_;
  uint64_t end_;
  uint64_t position_ = 0;
  uint64_t window_offset_ = 0;
  std::vector<std::byte> window_;
};

template <typename T>
bool bool_byte(HeaderStream& in, T byte, std::string_view what) {
  if (byte > 1) in.fail(std::string(what) + " is a bool with value " + std::to_string(byte));
  return byte == 1;
}

template <typename T>
MetadataValue read_scalar(HeaderStream& in, std::string_view what) {
  if constexpr (std::is_same_v<T, std::string>) {
    return in.read_string(what);
  } else if constexpr (std::is_same_v<T, bool>) {
    return bool_byte(in, in.read<uint8_t>(what), what);
  } else {
    return in.read<T>(what);
  }
}

template <typename T>
MetadataValue read_array(HeaderStream& in, uint64_t n, std::string_view what) {
  constexpr bool is_string = std::is_same_v<T, std::string>;
  constexpr uint64_t min_bytes = is_string ? 8 : std::is_same_v<T, bool> ? 1 : sizeof(T);
  if (n > in.left() / min_bytes) {
    in.fail(std::string(what) + " has " + std::to_string(n) + " elements, more than the " + std::to_string(in.left()) +
            " bytes left can hold");
  }
  if constexpr (is_string) {
    std::vector<std::string> values(n);
    for (std::string& value : values) value = in.read_string(what);
    return values;
  } else if constexpr (std::is_same_v<T, bool>) {
    std::vector<uint8_t> raw(n);
    in.read(std::as_writable_bytes(std::span(raw)), what);
    std::vector<bool> values(n);
    for (size_t i = 0; i < raw.size(); ++i) values[i] = bool_byte(in, raw[i], what);
    return values;
  } else {
    std::vector<T> values(n);
    in.read(std::as_writable_bytes(std::span(values)), what);
    return values;
  }
}

template <typename T>
MetadataValue read_typed(HeaderStream& in, bool is_array, std::string_view what) {
  if (!is_array) return read_scalar<T>(in, what);
  return read_array<T>(in, in.read<uint64_t>(what), what);
}

MetadataValue read_value(HeaderStream& in, std::string_view what) {
  auto type = in.read<uint32_t>(what);
  const bool is_array = type == static_cast<uint32_t>(GgufValueType::kArray);
  if (is_array) type = in.read<uint32_t>(what);
  switch (static_cast<GgufValueType>(type)) {
    case GgufValueType::kU8:
      return read_typed<uint8_t>(in, is_array, what);
    case GgufValueType::kI8:
      return read_typed<int8_t>(in, is_array, what);
    case GgufValueType::kU16:
      return read_typed<uint16_t>(in, is_array, what);
    case GgufValueType::kI16:
      return read_typed<int16_t>(in, is_array, what);
    case GgufValueType::kU32:
      return read_typed<uint32_t>(in, is_array, what);
    case GgufValueType::kI32:
      return read_typed<int32_t>(in, is_array, what);
    case GgufValueType::kF32:
      return read_typed<float>(in, is_array, what);
    case GgufValueType::kBool:
      return read_typed<bool>(in, is_array, what);
    case GgufValueType::kString:
      return read_typed<std::string>(in, is_array, what);
    case GgufValueType::kU64:
      return read_typed<uint64_t>(in, is_array, what);
    case GgufValueType::kI64:
      return read_typed<int64_t>(in, is_array, what);
    case GgufValueType::kF64:
      return read_typed<double>(in, is_array, what);
    case GgufValueType::kArray:
      in.fail(std::string(what) + " is an array of arrays, which is not supported");
  }
  in.fail(std::string(what) + " has unknown value type " + std::to_string(type));
}

// The name that stands twice, nullptr if all differ.
const std::string* find_twice(std::vector<const std::string*> names) {
  const auto less = [](const std::string* a, const std::string* b) { return *a < *b; };
  const auto same = [](const std::string* a, const std::string* b) { return *a == *b; };
  std::ranges::sort(names, less);
  const auto twice = std::ranges::adjacent_find(names, same);
  return twice == names.end() ? nullptr : *twice;
}

bool is_plain(const std::string& name) { return printable(name, std::string::npos) == name; }

Metadata read_metadata(HeaderStream& in, uint64_t n_kv) {
  std::vector<Metadata::Entry> entries;
  entries.reserve(n_kv);
  for (uint64_t i = 0; i < n_kv; ++i) {
    std::string key = in.read_string("key " + std::to_string(i));
    if (key.empty()) in.fail("key " + std::to_string(i) + " is empty");
    const std::string what = "key \"" + printable(key) + "\"";
    if (key.size() > kMaxGgufKeyBytes) {
      in.fail(what + " has " + std::to_string(key.size()) + " bytes, the format allows " + std::to_string(kMaxGgufKeyBytes));
    }
    if (!is_plain(key)) in.fail(what + " has control characters in its name");
    MetadataValue value = read_value(in, what);
    entries.emplace_back(std::move(key), std::move(value));
  }
  std::vector<const std::string*> keys;
  for (const auto& entry : entries) keys.push_back(&entry.first);
  if (const std::string* twice = find_twice(std::move(keys))) in.fail("key \"" + printable(*twice) + "\" is there twice");
  return Metadata(std::move(entries));
}

uint64_t read_alignment(const HeaderStream& in, const Metadata& metadata) {
  const MetadataValue* value = metadata.find("general.alignment");
  if (value == nullptr) return kGgufAlignment;
  const auto* alignment = std::get_if<uint32_t>(value);
  if (alignment == nullptr) in.fail("general.alignment is " + type_name(*value) + ", not u32");
  if (!std::has_single_bit(*alignment) || *alignment < kMinGgufAlignment || *alignment > kMaxGgufAlignment) {
    in.fail("general.alignment is " + std::to_string(*alignment) + ", not a power of two from " +
            std::to_string(kMinGgufAlignment) + " to " + std::to_string(kMaxGgufAlignment));
  }
  return *alignment;
}

// One tensor's entry; extent.file_offset is still relative to the data.
GgufTensor read_tensor(HeaderStream& in, uint64_t index) {
  GgufTensor t;
  t.name = in.read_string("name of tensor " + std::to_string(index));
  const std::string what = quoted_tensor(t.name);
  if (t.name.empty()) in.fail("tensor " + std::to_string(index) + " has no name");
  if (t.name.size() > kMaxGgufTensorName) {
    in.fail(what + ": name has " + std::to_string(t.name.size()) + " bytes, ggml allows " + std::to_string(kMaxGgufTensorName));
  }
  if (!is_plain(t.name)) in.fail(what + ": control characters in the name");
  const auto n_dims = in.read<uint32_t>(what);
  if (n_dims < 1 || n_dims > kMaxGgufDims) in.fail(what + ": " + std::to_string(n_dims) + " dimensions, ggml has 1 to 4");
  for (uint32_t d = 0; d < n_dims; ++d) {
    t.ne.push_back(in.read<uint64_t>(what));
    if (t.ne.back() == 0) in.fail(what + ": dimension " + std::to_string(d) + " is 0");
  }
  const auto elems = checked_product(t.ne);
  if (!elems || *elems >= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    in.fail(what + ": more elements than 63 bits can count");
  }
  const auto type_id = in.read<uint32_t>(what);
  const GgmlTypeInfo* type = find_ggml_type(type_id);
  if (type == nullptr) in.fail(what + ": unknown type " + std::to_string(type_id));
  t.type = type->type;
  const auto bytes = tensor_bytes(t.type, t.ne[0], *elems / t.ne[0]);
  if (!bytes && t.ne[0] % type->block_elems != 0) {
    in.fail(what + ": rows of " + std::to_string(t.ne[0]) + " values are not whole blocks of " + std::string(type->name) + " (" +
            std::to_string(type->block_elems) + ")");
  }
  if (!bytes) in.fail(what + ": more bytes than 64 bits can count");
  t.extent = {in.read<uint64_t>(what), *bytes};
  return t;
}

// Compares the offsets with the running padded sum and makes them absolute.
void place_tensors(const HeaderStream& in, GgufHeader& header) {
  uint64_t expected = 0;
  for (GgufTensor& t : header.tensors) {
    const std::string what = quoted_tensor(t.name);
    if (t.extent.file_offset != expected) {
      in.fail(what + ": offset is " + std::to_string(t.extent.file_offset) + ", expected " + std::to_string(expected) +
              " (the end of the tensor before it, padded)");
    }
    const auto padded = checked_round_up(t.extent.bytes, header.alignment);
    const auto next = padded ? checked_add(expected, *padded) : std::nullopt;
    const auto end = next ? checked_add(*next, header.data_offset) : std::nullopt;
    if (!end) in.fail(what + ": sizes of tensors overflow 64 bits");
    if (*end > header.file_bytes) {
      const bool data_there = header.data_offset + expected + t.extent.bytes <= header.file_bytes;
      in.fail(what + ": " + (data_there ? "padding" : "data") + " ends at " +
              std::to_string(data_there ? *end : header.data_offset + expected + t.extent.bytes) + ", the file has " +
              std::to_string(header.file_bytes) + " bytes (truncated?)");
    }
    t.extent.file_offset = header.data_offset + expected;
    expected = *next;
  }
  header.data_end = header.data_offset + expected;
}

uint32_t read_version(HeaderStream& in) {
  const auto magic = in.read<std::array<char, 4>>("magic");
  const std::string_view text(magic.data(), magic.size());
  if (text == "FUGG") in.fail("a big-endian GGUF file, which is not read");
  if (text != "GGUF") in.fail("not a GGUF file: it starts with \"" + printable(text) + "\"");
  const auto version = in.read<uint32_t>("version");
  if (version != 0 && (version & 0xFFFF) == 0) in.fail("a big-endian GGUF file, which is not read");
  if (version != 2 && version != 3) in.fail("GGUF version " + std::to_string(version) + ", this program reads 2 and 3");
  return version;
}

}  // namespace

uint64_t GgufTensor::elems() const {
  uint64_t product = 1;
  for (const uint64_t n : ne) product *= n;
  return product;
}

uint64_t GgufTensor::rows() const { return elems() / ne[0]; }

GgufHeader read_gguf_header(const InputFile& file) {
  HeaderStream in(file);
  GgufHeader header;
  header.file_bytes = file.bytes();
  header.version = read_version(in);
  const auto n_tensors = in.read<uint64_t>("number of tensors");
  const auto n_kv = in.read<uint64_t>("number of keys");
  if (n_kv > in.left() / kMinKvBytes)
    in.fail(std::to_string(n_kv) + " keys do not fit into the " + std::to_string(in.left()) + " bytes left");
  if (n_tensors > in.left() / kMinTensorBytes) {
    in.fail(std::to_string(n_tensors) + " tensors do not fit into the " + std::to_string(in.left()) + " bytes left");
  }
  header.metadata = read_metadata(in, n_kv);
  header.alignment = read_alignment(in, header.metadata);
  if (n_tensors > in.left() / kMinTensorBytes) {
    in.fail(std::to_string(n_tensors) + " tensors do not fit into the " + std::to_string(in.left()) + " bytes after the keys");
  }
  header.tensors.reserve(n_tensors);
  for (uint64_t i = 0; i < n_tensors; ++i) header.tensors.push_back(read_tensor(in, i));
  std::vector<const std::string*> names;
  for (const GgufTensor& t : header.tensors) names.push_back(&t.name);
  if (const std::string* twice = find_twice(std::move(names))) in.fail(quoted_tensor(*twice) + " is there twice");
  // Files without tensors (a vocabulary) may end right after the keys.
  header.header_end = in.position();
  header.data_offset = (header.header_end + header.alignment - 1) / header.alignment * header.alignment;
  if (n_tensors == 0) header.data_offset = std::min(header.data_offset, header.file_bytes);
  place_tensors(in, header);
  return header;
}

}  // namespace ggufmill
