// A small split GGUF set with manifest and SHA256SUMS, made in a folder for a test to damage.
#pragma once

#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/hash.h"
#include "formats/manifest.h"
#include "quant/codecs.h"
#include "tests/formats/temp_folder.h"
#include "verify/output.h"

namespace ggufmill {

inline std::string bytes_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct SmallTensor {
  std::string name;
  GgmlType type;
  std::vector<uint64_t> ne;
  std::vector<float> values;  // row after row
};

// One GGUF file of the tensors, and what a manifest says of it.
struct SmallFile {
  std::string name;
  std::string bytes;
  ManifestFile file;
  std::vector<ManifestTensor> tensors;
};

inline SmallFile small_file(const std::string& name, const Metadata& metadata, const std::vector<SmallTensor>& tensors) {
  std::vector<GgufTensor> entries;
  std::string data;
  for (const SmallTensor& t : tensors) {
    GgufTensor entry{t.name, t.type, t.ne, {data.size(), 0}};
    std::vector<std::byte> encoded(tensor_bytes(t.type, entry.row_elems(), entry.rows()).value());
    const size_t row_bytes = encoded.size() / entry.rows();
    for (size_t r = 0; r < entry.rows(); ++r) {
      find_codec(t.type)->encode(std::span(t.values).subspan(r * entry.row_elems(), entry.row_elems()), {},
                                 std::span(encoded).subspan(r * row_bytes, row_bytes));
    }
    entry.extent.bytes = encoded.size();
    entries.push_back(entry);
    data += bytes_text(encoded);
    data.resize((data.size() + 31) / 32 * 32);
  }
  const std::string header = bytes_text(gguf_header_bytes(metadata, entries));
  SmallFile out{name, header + data, {}, {}};
  out.file = {name, out.bytes.size(), sha256(as_bytes(out.bytes)), header.size(), xxh128(as_bytes(header))};
  for (const GgufTensor& e : entries) {
    const std::string_view bytes = std::string_view(data).substr(e.extent.file_offset, e.extent.bytes);
    out.tensors.push_back({e.name,
                           e.type,
                           e.ne,
                           name,
                           {header.size() + e.extent.file_offset, e.extent.bytes},
                           xxh128(as_bytes(bytes)),
                           0.0,
                           std::nullopt,
                           0,
                           0});
  }
  return out;
}

inline Metadata split_metadata(uint16_t no, uint16_t count, int32_t n_tensors) {
  Metadata m;
  if (no == 0) m.set("general.architecture", std::string("x"));
  m.set("split.no", no);
  m.set("split.count", count);
  m.set("split.tensors.count", n_tensors);
  return m;
}

inline std::vector<float> ramp(size_t n, float scale) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = scale * (static_cast<float>(i % 17) - 8.25f);
  return values;
}

// m-00001-of-00002.gguf with "a" (F32, 5 values) and "b" (Q8_0, 2 rows of 32), m-00002-of-00002.gguf with "c" (Q8_0, 3 experts of
// 2 rows of 32); manifest and SHA256SUMS.
class SmallSet {
 public:
  SmallSet() {
    tensors_ = {{"a", GgmlType::F32, {5}, ramp(5, 0.1f)},
                {"b", GgmlType::Q8_0, {32, 2}, ramp(64, 0.02f)},
                {"c", GgmlType::Q8_0, {32, 2, 3}, ramp(192, 0.3f)}};
    files_ = {small_file("m-00001-of-00002.gguf", split_metadata(0, 2, 3), {tensors_[0], tensors_[1]}),
              small_file("m-00002-of-00002.gguf", split_metadata(1, 2, 3), {tensors_[2]})};
    for (const SmallFile& f : files_) {
      folder_.write(f.name, f.bytes);
      manifest_.files.push_back(f.file);
      manifest_.tensors.insert(manifest_.tensors.end(), f.tensors.begin(), f.tensors.end());
    }
    manifest_.program_version = "0.1.0";
    manifest_.architecture = "x";
    write_checksums();
  }
  const TempFolder& folder() const { return folder_; }
  const std::vector<SmallFile>& files() const { return files_; }
  Manifest& manifest() { return manifest_; }
  static std::string manifest_name() { return "m.manifest.json"; }
  static std::string sums_name() { return "m.SHA256SUMS"; }

  // Writes both from manifest().
  void write_checksums() {
    const std::string text = manifest_text(manifest_);
    folder_.write(manifest_name(), text);
    folder_.write(sums_name(), sha256sums_text(manifest_, manifest_name(), sha256(as_bytes(text))));
  }
  void remove(const std::string& name) { std::filesystem::remove(folder_.path() / name); }

  RowSource source() const {
    RowSource source;
    for (const SmallTensor& t : tensors_) source.tensors.push_back({t.name, t.ne, t.name == "c" ? "experts" : "other"});
    source.read_row = [this](size_t tensor, uint64_t row, std::span<float> out) {
      std::copy_n(tensors_[tensor].values.begin() + static_cast<ptrdiff_t>(row * out.size()), out.size(), out.begin());
    };
    return source;
  }

  Report verify(const std::string& out = "m.gguf") const {
    return verify_output({.out = folder_.path() / out, .source = {}, .values = {}});
  }

 private:
  TempFolder folder_;
  std::vector<SmallTensor> tensors_;
  std::vector<SmallFile> files_;
  Manifest manifest_;
};

// "severity FILE [TENSOR] message" of every finding, for comparing and for failures.
inline std::vector<std::string> lines_of(const Report& report) {
  std::vector<std::string> lines;
  for (const Finding& f : report.findings) {
    lines.push_back(std::string(name(f.severity)) + " " + f.file + " [" + f.tensor + "] " + f.message);
  }
  return lines;
}

}  // namespace ggufmill
