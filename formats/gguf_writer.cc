// Builds the exact bytes of a GGUF header (byte picture in gguf.h): a pure function, so that a plan knows every output byte
// before the data before any of it is written.
#include <bit>
#include <cassert>
#include <cstring>

#include "formats/checked.h"
#include "formats/gguf.h"

namespace ggufmill {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie in memory");

class HeaderBytes {
 public:
  template <typename T>
  void put(T value) {
    put_raw(&value, sizeof(value));
  }
  void put(const std::string& text) {
    put<uint64_t>(text.size());
    put_raw(text.data(), text.size());
  }
  void put(bool value) { put<uint8_t>(value ? 1 : 0); }
  template <typename T>
  void put(const std::vector<T>& values) {
    put<uint64_t>(values.size());
    for (size_t i = 0; i < values.size(); ++i) put(static_cast<const T&>(values[i]));
  }
  void pad(uint64_t alignment) { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void put_raw(const void* data, size_t n) {
    const auto* first = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), first, first + n);
  }
  std::vector<std::byte> bytes_;
};

void put_value(HeaderBytes& out, const MetadataValue& value) {
  const MetadataType type = type_of(value);
  if (type.is_array) out.put(static_cast<uint32_t>(GgufValueType::kArray));
  out.put(static_cast<uint32_t>(type.element));
  std::visit([&](const auto& v) { out.put(v); }, value);
}

uint64_t stated_alignment(const Metadata& metadata) {
  const MetadataValue* value = metadata.find("general.alignment");
  if (value == nullptr) return kGgufAlignment;
  const auto* alignment = std::get_if<uint32_t>(value);
  assert(alignment != nullptr && "general.alignment is u32");
  return *alignment;
}

}  // namespace

std::vector<std::byte> gguf_header_bytes(const Metadata& metadata, std::span<const GgufTensor> tensors, uint64_t alignment) {
  assert(alignment == stated_alignment(metadata) && "general.alignment says the alignment that is used");
  HeaderBytes out;
  for (const char c : {'G', 'G', 'U', 'F'}) out.put(c);
  out.put<uint32_t>(3);
  out.put<uint64_t>(tensors.size());
  out.put<uint64_t>(metadata.entries().size());
  for (const auto& [key, value] : metadata.entries()) {
    assert(!key.empty() && key.size() <= kMaxGgufKeyBytes && "a key has 1 to 65535 bytes");
    out.put(key);
    put_value(out, value);
  }
  uint64_t expected = 0;
  for (const GgufTensor& t : tensors) {
    assert(!t.name.empty() && t.name.size() <= kMaxGgufTensorName && "ggml cuts longer names");
    assert(!t.ne.empty() && t.ne.size() <= kMaxGgufDims && "ggml has 1 to 4 dimensions");
    assert(t.extent.bytes == tensor_bytes(t.type, t.row_elems(), t.rows()) && "the extent has the size of the type and shape");
    assert(t.extent.file_offset == expected && "offsets are the running padded sum");
    expected += checked_round_up(t.extent.bytes, alignment).value();
    out.put(t.name);
    out.put<uint32_t>(static_cast<uint32_t>(t.ne.size()));
    for (const uint64_t n : t.ne) out.put(n);
    out.put(static_cast<uint32_t>(t.type));
    out.put<uint64_t>(t.extent.file_offset);
  }
  out.pad(alignment);
  return out.take();
}

}  // namespace ggufmill
