#include "verify/structure.h"

#include <algorithm>
#include <map>

#include "formats/contradictions.h"

namespace ggufmill {
namespace {

constexpr size_t kMaxNamesListed = 20;

// Padding is at most one alignment long, and the alignment bounded by the reader.
bool is_zero(const InputFile& file, Extent extent) {
  std::vector<std::byte> bytes(extent.bytes);
  file.read_exact(extent.file_offset, bytes);
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

void report_missing(const VerifyTarget& target, const std::vector<std::string>& missing, Report& report) {
  if (missing.empty()) return;
  if (target.files.size() == 1) return report.error(missing[0], "", "is missing");
  const size_t listed = std::min(missing.size(), kMaxNamesListed);
  for (size_t i = 0; i < listed; ++i) {
    report.error(missing[i], "", "is missing (the split has " + std::to_string(target.files.size()) + " files)");
  }
  if (listed < missing.size()) {
    report.error("", "", std::to_string(missing.size() - listed) + " more files of the split are missing");
  }
}

void check_architecture(const GgufFile& first, Report& report) {
  const Metadata& metadata = first.header->metadata;
  const std::string* type = metadata.find_string("general.type");
  if (type != nullptr && *type == "imatrix") return;  // has no architecture
  const MetadataValue* value = metadata.find("general.architecture");
  if (value == nullptr) return report.error(first.name, "", "general.architecture is missing: no program can load the file");
  const std::string* name = std::get_if<std::string>(value);
  if (name == nullptr) return report.error(first.name, "", "general.architecture is " + type_name(*value) + ", not str");
  if (name->empty()) report.error(first.name, "", "general.architecture is empty");
}

void check_contradictions(std::span<const GgufFile> files, Report& report) {
  std::vector<NamedShape> tensors;
  std::map<std::string_view, const std::string*> file_of;
  for (const GgufFile& file : files) {
    for (const GgufTensor& t : file.header->tensors) {
      tensors.push_back({t.name, t.ne});
      file_of[t.name] = &file.name;
    }
  }
  for (const Finding& f : find_contradictions(files.front().header->metadata, tensors))
    report.error(f.tensor.empty() ? files.front().name : *file_of.at(f.tensor), f.tensor, f.message);
}

}  // namespace

std::vector<GgufFile> open_files(const VerifyTarget& target, Report& report) {
  std::vector<GgufFile> files;
  std::vector<std::string> missing;
  for (const std::string& name : target.files) {
    GgufFile file{name, target.folder / name, std::nullopt};
    std::error_code ignored;
    if (!std::filesystem::exists(file.path, ignored)) {
      missing.push_back(name);
    } else {
      try {
        file.header = read_gguf_header(InputFile(file.path));
      } catch (const Error& error) {
        report.error(name, error);
      }
    }
    files.push_back(std::move(file));
  }
  report_missing(target, missing, report);
  return files;
}

void check_padding(const GgufFile& file, Report& report) try {
  const InputFile in(file.path);
  const GgufHeader& h = *file.header;
  for (size_t i = 0; i < h.tensors.size(); ++i) {
    const Extent& extent = h.tensors[i].extent;
    const uint64_t next = i + 1 < h.tensors.size() ? h.tensors[i + 1].extent.file_offset : h.data_end;
    if (!is_zero(in, {extent.end(), next - extent.end()})) {
      report.error(file.name, "", "padding after " + quoted_tensor(h.tensors[i].name) + " is not zero");
    }
  }
  if (!is_zero(in, {h.header_end, h.data_offset - h.header_end}))
    report.error(file.name, "", "padding after the header is not zero");
  if (h.file_bytes > h.data_end) {
    report.error(
        file.name, "",
        std::to_string(h.file_bytes - h.data_end) + " bytes follow the last tensor, which ends at " + std::to_string(h.data_end));
  }
} catch (const Error& error) {
  report.error(file.name, error);
}

void check_set(std::span<const GgufFile> files, Report& report) {
  check_architecture(files.front(), report);
  GgufSet set;
  for (const GgufFile& file : files) {
    set.paths.push_back(file.path);
    set.headers.push_back(*file.header);
  }
  try {
    check_gguf_set(set);
    check_contradictions(files, report);
  } catch (const Error& error) {
    const auto named =
        std::ranges::find_if(files, [&](const GgufFile& f) { return error.message().starts_with(printable(f.name) + ": "); });
    report.error(named == files.end() ? "" : named->name, error);
  }
}

}  // namespace ggufmill
