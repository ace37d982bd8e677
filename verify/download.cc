#include "verify/download.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/file.h"
#include "formats/hash.h"
#include "formats/hub_cache.h"
#include "verify/parallel.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kReadBytes = 4 << 20;
// The hub stores files above 10 MB by SHA-256; a git blob name on more than this is not the hub's.
constexpr uint64_t kMaxGitBlobBytes = 64 << 20;
constexpr size_t kGitSha1Digits = 40;

struct Download {
  std::string name;
  fs::path path;
  std::optional<Sha256> sha256;
  std::optional<std::string> git_sha1;  // hex
  bool known() const { return sha256 || git_sha1; }
};

bool is_git_sha1(std::string_view text) {
  return text.size() == kGitSha1Digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The blob name at the end of a snapshot's link.
std::optional<std::string> blob_name(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? std::nullopt : std::optional(target.filename().string());
}

// The folder's files beside the shards, by name.
std::vector<Download> small_files(const fs::path& folder, std::span<const Shard> shards) {
  std::vector<Download> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    std::error_code ignored;
    const bool is_shard = std::ranges::find(shards, name, &Shard::name) != shards.end();
    if (is_shard || name.starts_with(".") || entry.is_directory(ignored)) continue;
    Download file{name, entry.path(), std::nullopt, std::nullopt};
    if (const auto blob = blob_name(entry.path())) {  // also of a link that leads nowhere
      file.sha256 = Sha256::from_hex(*blob);
      if (is_git_sha1(*blob)) file.git_sha1 = *blob;
    }
    if (!file.known() && fs::is_regular_file(entry.path(), ignored)) {
      file.sha256 = published_sha256(folder, name, InputFile(entry.path()).id());
    }
    files.push_back(std::move(file));
  }
  std::ranges::sort(files, {}, &Download::name);
  return files;
}

Sha256 sha256_of(const InputFile& file) {
  Sha256Stream stream;
  std::vector<std::byte> buffer(std::min(kReadBytes, file.bytes()));
  file.advise_sequential();
  for (uint64_t offset = 0; offset < file.bytes(); offset += buffer.size()) {
    const std::span<std::byte> data(buffer.data(), std::min<uint64_t>(buffer.size(), file.bytes() - offset));
    file.read_exact(offset, data);
    file.drop_cache({offset, data.size()});
    stream.update(data);
  }
  return stream.finish();
}

Report check_file(const Download& expected) {
  Report report;
  try {
    const InputFile file(expected.path);
    if (expected.sha256) {
      const Sha256 found = sha256_of(file);
      if (found != *expected.sha256) {
        report.error(expected.name, "", "SHA-256 is " + found.hex() + ", the hub says " + expected.sha256->hex());
      }
    } else if (expected.git_sha1) {
      const std::string found = git_blob_sha1(as_bytes(file.read_text(kMaxGitBlobBytes)));
      if (found != *expected.git_sha1) {
        report.error(expected.name, "", "git SHA-1 is " + found + ", the hub says " + *expected.git_sha1);
      }
    }
  } catch (const Error& error) {
    report.error(expected.name, error);
  }
  return report;
}

void report_unknown(std::span<const Download> files, Report& report) {
  std::string names;
  size_t unknown = 0;
  constexpr size_t kListed = 8;
  for (const Download& file : files) {
    if (file.known()) continue;
    if (++unknown <= kListed) names += (unknown == 1 ? "" : ", ") + printable(file.name);
  }
  if (unknown == 0) return;
  if (unknown > kListed) names += " and " + std::to_string(unknown - kListed) + " more";
  report.add(unknown == files.size() ? Severity::kWarning : Severity::kInfo, "", "",
             std::to_string(unknown) + " of " + std::to_string(files.size()) +
                 " files have no known hash, so only their structure is checked: " + names);
}

// A folder that is a checkpoint is checked as that alone.
void report_gguf_files(const fs::path& folder, Report& report) {
  size_t n = 0;
  for (const auto& entry : fs::directory_iterator(folder)) n += entry.path().extension() == ".gguf";
  if (n > 0)
    report.add(Severity::kWarning, "", "", std::to_string(n) + " GGUF files here were not checked: verify them by their path");
}

}  // namespace

void check_download(const fs::path& path, unsigned threads, Report& report) {
  std::optional<Checkpoint> checkpoint;
  try {
    checkpoint.emplace(path);
  } catch (const Error& error) {
    return report.error("", error);
  }
  std::vector<Download> files;
  for (const Shard& shard : checkpoint->shards()) files.push_back({shard.name, shard.path, shard.expected_sha256, std::nullopt});
  if (fs::is_directory(path)) {
    const auto small = small_files(checkpoint->folder(), checkpoint->shards());
    files.insert(files.end(), small.begin(), small.end());
  }
  report.scope.files = files.size();
  report.scope.tensors = checkpoint->tensors().size();
  report.scope.bytes = checkpoint->source_bytes();
  report.scope.hashes = std::ranges::any_of(files, &Download::known);
  std::vector<Report> reports(files.size());
  parallel_for(files.size(), threads, [&](size_t i) { reports[i] = check_file(files[i]); });
  for (const Report& r : reports) report.findings.insert(report.findings.end(), r.findings.begin(), r.findings.end());
  report_unknown(files, report);
  if (fs::is_directory(path)) report_gguf_files(path, report);
}

}  // namespace ggufmill
