#include "verify/hashes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/checked.h"
#include "formats/file.h"
#include "formats/hash.h"
#include "verify/parallel.h"

namespace ggufmill {
namespace {

constexpr uint64_t kReadBytes = 4 << 20;

// A run of bytes with a hash of its own: the header or a tensor of the manifest, or what lies between them (no hash, zeros).
struct Part {
  enum Kind { kHeader, kTensor, kGap };
  Kind kind = kGap;
  Extent extent;
  const ManifestTensor* tensor = nullptr;  // of kGap: the one before it
  Xxh128 expected;
  bool as_expected = true;
};

struct Pass {
  Sha256 sha256;
  std::vector<Part> parts;
};

// Adds a part and the gap before it. Parts come by offset; one that overlaps or does not fit is left out and reported.
class PartList {
 public:
  PartList(const ManifestFile& file, uint64_t file_bytes, const std::string& manifest, Report& report)
      : file_(file), file_bytes_(file_bytes), manifest_(manifest), report_(report) {}

  void add(const Part& part) {
    const std::string tensor = part.tensor ? part.tensor->name : "";
    const auto end = checked_add(part.extent.file_offset, part.extent.bytes);
    if (part.extent.file_offset < position_ || !end) {
      return report_.error(manifest_, tensor,
                           "has bytes of " + printable(file_.name) + " twice, at " + std::to_string(part.extent.file_offset));
    }
    if (*end > file_bytes_) {
      return report_.error(file_.name, tensor,
                           (tensor.empty() ? "header" : "data") + std::string(" ends at ") + std::to_string(*end) +
                               ", the file has " + std::to_string(file_bytes_) + " bytes (truncated?)");
    }
    add_gap(part.extent.file_offset);
    parts_.push_back(part);
    position_ = *end;
  }
  std::vector<Part> finish() {
    add_gap(file_bytes_);
    return std::move(parts_);
  }

 private:
  void add_gap(uint64_t end) {
    if (end == position_) return;
    parts_.push_back({.kind = Part::kGap,
                      .extent = {position_, end - position_},
                      .tensor = parts_.empty() ? nullptr : parts_.back().tensor,
                      .expected = {}});
    position_ = end;
  }
  const ManifestFile& file_;
  uint64_t file_bytes_;
  const std::string& manifest_;
  Report& report_;
  std::vector<Part> parts_;
  uint64_t position_ = 0;
};

std::vector<Part> parts_of(const ManifestFile& file, const Checksums& sums, uint64_t file_bytes, Report& report) {
  std::vector<const ManifestTensor*> tensors;
  for (const ManifestTensor& t : sums.manifest->tensors) {
    if (t.file == file.name) tensors.push_back(&t);
  }
  std::ranges::sort(tensors, {}, [](const ManifestTensor* t) { return t->extent.file_offset; });
  PartList list(file, file_bytes, sums.manifest_name, report);
  list.add({.kind = Part::kHeader, .extent = {0, file.header_bytes}, .expected = file.header_hash});
  for (const ManifestTensor* t : tensors)
    list.add({.kind = Part::kTensor, .extent = t->extent, .tensor = t, .expected = t->hash});
  return list.finish();
}

// Feeds the bytes of one part, wherever the reads cut it.
class PartCheck {
 public:
  void start() {
    hash_.reset();
    zero_ = true;
  }
  void update(const Part& part, std::span<const std::byte> data) {
    if (part.kind != Part::kGap) return hash_.update(data);
    zero_ = zero_ && std::ranges::all_of(data, [](std::byte b) { return b == std::byte{0}; });
  }
  bool holds(const Part& part) const { return part.kind == Part::kGap ? zero_ : hash_.finish() == part.expected; }

 private:
  Xxh128Stream hash_;
  bool zero_ = true;
};

// Reads the file once. `parts` tile it or are empty.
Pass read_once(const InputFile& file, std::vector<Part> parts) {
  Sha256Stream whole;
  PartCheck check;
  auto part = parts.begin();
  std::vector<std::byte> buffer(std::min(kReadBytes, file.bytes()));
  file.advise_sequential();
  for (uint64_t offset = 0; offset < file.bytes();) {
    const std::span<std::byte> data(buffer.data(), std::min(kReadBytes, file.bytes() - offset));
    file.read_exact(offset, data);
    file.drop_cache({offset, data.size()});
    whole.update(data);
    while (part != parts.end() && part->extent.file_offset < offset + data.size()) {
      if (part->extent.file_offset >= offset) check.start();
      const uint64_t from = std::max(part->extent.file_offset, offset), to = std::min(part->extent.end(), offset + data.size());
      check.update(*part, data.subspan(from - offset, to - from));
      if (part->extent.end() > offset + data.size()) break;
      part->as_expected = check.holds(*part);
      ++part;
    }
    offset += data.size();
  }
  return {whole.finish(), std::move(parts)};
}

std::string gap_name(const Part& gap) {
  return gap.tensor ? "padding after " + quoted_tensor(gap.tensor->name) : "padding after the header";
}

// What differs in a file whose SHA-256 is not the recorded one.
void name_differences(const ManifestFile& expected, const Pass& pass, const std::string& manifest, Report& report) {
  bool named = false;
  for (const Part& part : pass.parts) {
    if (part.as_expected) continue;
    named = true;
    if (part.kind == Part::kHeader) report.error(expected.name, "", "header differs from what " + manifest + " recorded");
    if (part.kind == Part::kTensor)
      report.error(expected.name, part.tensor->name, "data differs from what " + manifest + " recorded");
    if (part.kind == Part::kGap) report.error(expected.name, "", gap_name(part) + " is not zero");
  }
  if (!named) {
    report.error(expected.name, "", "SHA-256 is " + pass.sha256.hex() + ", " + manifest + " says " + expected.sha256.hex());
  }
}

void check_against_manifest(const InputFile& in, const ManifestFile& expected, const Checksums& sums, Report& report) {
  if (in.bytes() != expected.bytes) {
    report.error(
        expected.name, "",
        "has " + std::to_string(in.bytes()) + " bytes, " + sums.manifest_name + " says " + std::to_string(expected.bytes));
  }
  const Pass pass = read_once(in, parts_of(expected, sums, in.bytes(), report));
  if (pass.sha256 != expected.sha256) return name_differences(expected, pass, sums.manifest_name, report);
  for (const Part& part : pass.parts) {
    if (part.as_expected || part.kind == Part::kGap) continue;
    report.error(sums.manifest_name, part.tensor ? part.tensor->name : "",
                 "XXH3-128 " + std::string(part.tensor ? "" : "of the header ") + "is not that of " + printable(expected.name) +
                     ", whose SHA-256 is as recorded");
  }
}

void check_against_sums(const InputFile& in, const std::string& name, const Checksums& sums, Report& report) {
  const auto listed = sums.sums.find(name);
  if (listed == sums.sums.end()) return;  // reported with the headers
  const Sha256 found = read_once(in, {}).sha256;
  if (found != listed->second) {
    report.error(name, "", "SHA-256 is " + found.hex() + ", " + sums.sums_name + " says " + listed->second.hex());
  }
}

const ManifestFile* find_file(const Manifest& manifest, const std::string& name) {
  const auto file = std::ranges::find(manifest.files, name, &ManifestFile::name);
  return file == manifest.files.end() ? nullptr : &*file;
}

Report check_file(const GgufFile& file, const Checksums& sums) {
  Report report;
  std::error_code ignored;
  if (!std::filesystem::exists(file.path, ignored)) return report;  // reported with the structure
  try {
    const InputFile in(file.path);
    if (!sums.manifest) {
      check_against_sums(in, file.name, sums, report);
    } else if (const ManifestFile* expected = find_file(*sums.manifest, file.name)) {
      check_against_manifest(in, *expected, sums, report);
    }
  } catch (const Error& error) {
    report.error(file.name, error);
  }
  return report;
}

std::string shape_text(const std::vector<uint64_t>& ne) {
  std::string text;
  for (const uint64_t n : ne) text += (text.empty() ? "[" : ", ") + std::to_string(n);
  return text + "]";
}

std::string entry_text(GgmlType type, const std::vector<uint64_t>& ne, Extent extent) {
  return std::string(name(type)) + " " + shape_text(ne) + " at " + std::to_string(extent.file_offset) + ", " +
         std::to_string(extent.bytes) + " bytes";
}

// The manifest's entries against a header whose bytes are as recorded: a difference is the manifest's.
void compare_entries(const GgufFile& file, const Checksums& sums, Report& report) {
  std::map<std::string_view, const ManifestTensor*> recorded;
  for (const ManifestTensor& t : sums.manifest->tensors) {
    if (t.file == file.name) recorded.emplace(t.name, &t);
  }
  for (const GgufTensor& t : file.header->tensors) {
    const auto entry = recorded.find(t.name);
    if (entry == recorded.end()) {
      report.error(sums.manifest_name, t.name, "is not listed, but in " + printable(file.name));
      continue;
    }
    const ManifestTensor& r = *entry->second;
    const std::string found = entry_text(t.type, t.ne, t.extent), said = entry_text(r.type, r.ne, r.extent);
    if (found != said)
      report.error(sums.manifest_name, t.name, "is listed as " + said + ", " + printable(file.name) + " has " + found);
    recorded.erase(entry);
  }
  for (const auto& [name, entry] : recorded) {
    report.error(sums.manifest_name, std::string(name), "is listed, but not in " + printable(file.name));
  }
}

void check_listing(const GgufFile& file, const Checksums& sums, Report& report) {
  const std::string& list = sums.manifest ? sums.manifest_name : sums.sums_name;
  const bool listed = sums.manifest ? find_file(*sums.manifest, file.name) != nullptr : sums.sums.contains(file.name);
  if (!listed) report.error(file.name, "", "is not listed in " + list);
}

}  // namespace

std::set<std::string> check_hashes(std::span<const GgufFile> files, const Checksums& checksums, unsigned threads,
                                   Report& report) {
  std::set<std::string> differing;
  if (!checksums.manifest && checksums.sums.empty()) return differing;
  std::vector<Report> reports(files.size());
  parallel_for(files.size(), threads, [&](size_t i) { reports[i] = check_file(files[i], checksums); });
  for (size_t i = 0; i < files.size(); ++i) {
    if (!reports[i].ok() || !files[i].header) differing.insert(files[i].name);
    report.findings.insert(report.findings.end(), reports[i].findings.begin(), reports[i].findings.end());
    check_listing(files[i], checksums, report);
    if (checksums.manifest && reports[i].ok() && files[i].header && find_file(*checksums.manifest, files[i].name)) {
      compare_entries(files[i], checksums, report);
    }
  }
  return differing;
}

}  // namespace ggufmill
