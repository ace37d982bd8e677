#include "verify/checksums.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "formats/error.h"
#include "formats/file.h"

namespace ggufmill {
namespace {

constexpr uint64_t kMaxSumsBytes = 16ull << 20;  // 100,000 files, more than a split can have

bool is_there(const VerifyTarget& target, const std::string& name) {
  std::error_code ignored;
  return std::filesystem::exists(target.folder / name, ignored);
}

// The file's text; nullopt where it is missing, a finding where it cannot be read.
std::optional<std::string> read_beside(const VerifyTarget& target, const std::string& name, uint64_t max_bytes, Report& report) {
  const std::filesystem::path path = target.folder / name;
  if (!is_there(target, name)) return std::nullopt;
  try {
    return InputFile(path).read_text(max_bytes);
  } catch (const Error& error) {
    report.error(name, error);
    return std::nullopt;
  }
}

std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end == std::string_view::npos ? end : end + 1);
  rest.remove_prefix(line.size());
  return line;
}

std::string shown(std::string_view line) {
  return line.empty() ? "missing" : "\"" + printable(line.substr(0, line.find('\n'))) + "\"";
}

void compare_sums(const std::string& found, const std::string& expected, const Checksums& sums, Report& report) {
  std::string_view left = found, right = expected;
  for (int line = 1; !left.empty() || !right.empty(); ++line) {
    const std::string_view a = take_line(left), b = take_line(right);
    if (a == b) continue;
    std::string message =
        "line " + std::to_string(line) + " is " + shown(a) + ", " + sums.manifest_name + " makes it " + shown(b);
    if (shown(a) == shown(b)) message = "line " + std::to_string(line) + " does not end in a newline";
    return report.error(sums.sums_name, "", message);  // the first difference is enough: later lines may be shifted
  }
}

// "HEX  NAME" or "HEX *NAME".
void parse_sums(std::string_view text, Checksums& sums, Report& report) {
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = take_line(text);
    if (line.ends_with('\n')) line.remove_suffix(1);
    const auto hash = line.size() > 66 ? Sha256::from_hex(line.substr(0, 64)) : std::nullopt;
    const std::string name(hash ? line.substr(66) : "");
    const bool separated = hash && line[64] == ' ' && (line[65] == ' ' || line[65] == '*');
    if (!separated || name == ".." || name == "." || printable(name, 4096) != name) {
      report.error(sums.sums_name, "",
                   "line " + std::to_string(number) + " is not \"SHA-256  NAME\": " + shown(line.empty() ? " " : line));
    } else if (name.find('/') != std::string::npos) {
      report.error(sums.sums_name, "", "line " + std::to_string(number) + " names a file of another folder: " + shown(name));
    } else if (!sums.sums.emplace(name, *hash).second) {
      report.error(sums.sums_name, "", "line " + std::to_string(number) + " lists " + printable(name) + " again");
    }
  }
}

void check_listed(const VerifyTarget& target, const std::string& name, const std::string& list, Report& report) {
  if (std::ranges::find(target.files, name) != target.files.end()) return;  // its own checks say whether it is there
  if (!is_there(target, name)) {
    report.error(name, "", "is missing, although " + list + " lists it");
  } else {
    report.error(list, "", "lists " + printable(name) + ", which is not part of the set");
  }
}

// SHA256SUMS without a manifest to rebuild it from.
void check_sums_alone(const VerifyTarget& target, const std::optional<std::string>& manifest_text, Checksums& sums,
                      Report& report) {
  for (const auto& [name, hash] : sums.sums) {
    if (name != sums.manifest_name || !manifest_text) check_listed(target, name, sums.sums_name, report);
  }
  const auto listed = sums.sums.find(sums.manifest_name);
  if (!manifest_text || listed == sums.sums.end()) return;
  const Sha256 found = sha256(as_bytes(*manifest_text));
  if (found != listed->second) {
    report.error(sums.manifest_name, "", "SHA-256 is " + found.hex() + ", " + sums.sums_name + " says " + listed->second.hex());
  }
}

}  // namespace

Checksums load_checksums(const VerifyTarget& target, Report& report) {
  Checksums sums{manifest_file_name(target.stem), sha256sums_file_name(target.stem), std::nullopt, {}};
  const auto manifest_text = read_beside(target, sums.manifest_name, kMaxManifestBytes, report);
  const auto sums_text = read_beside(target, sums.sums_name, kMaxSumsBytes, report);
  if (!is_there(target, sums.manifest_name) && !is_there(target, sums.sums_name)) {
    report.add(
        Severity::kWarning, "", "",
        "no checksums: neither " + sums.manifest_name + " nor " + sums.sums_name + " is there, so only the structure is checked");
  }
  if (manifest_text) {
    try {
      sums.manifest = parse_manifest(*manifest_text, printable(sums.manifest_name));
    } catch (const Error& error) {
      report.error(sums.manifest_name, error);
    }
  }
  if (sums.manifest) {
    const std::string expected = sha256sums_text(*sums.manifest, sums.manifest_name, sha256(as_bytes(*manifest_text)));
    if (sums_text) compare_sums(*sums_text, expected, sums, report);
    if (!sums_text) report.add(Severity::kWarning, sums.sums_name, "", "is missing");
    for (const ManifestFile& f : sums.manifest->files) check_listed(target, f.name, sums.manifest_name, report);
  } else if (sums_text) {
    parse_sums(*sums_text, sums, report);
    check_sums_alone(target, manifest_text, sums, report);
  }
  return sums;
}

}  // namespace ggufmill
