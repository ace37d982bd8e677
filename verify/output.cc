#include "verify/output.h"

#include <algorithm>
#include <set>

#include "verify/checksums.h"
#include "verify/download.h"
#include "verify/hashes.h"
#include "verify/structure.h"
#include "verify/target.h"

namespace ggufmill {
namespace {

// Two checks may see one defect (padding is read for the structure and for the hashes).
void drop_repeated(std::vector<Finding>& findings) {
  std::set<std::tuple<std::string, std::string, std::string>> seen;
  std::erase_if(findings, [&](const Finding& f) { return !seen.insert({f.file, f.tensor, f.message}).second; });
}

void check_set_of_files(const OutputCheck& check, const VerifyTarget& target, Report& report) {
  const std::vector<GgufFile> files = open_files(target, report);
  const bool all_readable = !files.empty() && std::ranges::all_of(files, [](const GgufFile& f) { return f.header.has_value(); });
  const Checksums checksums = load_checksums(target, report);
  const std::set<std::string> differing = check_hashes(files, checksums, check.values.threads, report);
  for (const GgufFile& file : files) {
    if (file.header) check_padding(file, report);
  }
  // Damaged headers contradict each other; the files that are damaged are already named.
  if (all_readable && differing.empty()) check_set(files, report);
  if (files.empty() && report.ok()) report.error("", "", "there are no GGUF files");
  std::vector<std::string> names;
  for (const GgufFile& file : files) {
    if (!file.header) continue;
    for (const GgufTensor& t : file.header->tensors) names.push_back(t.name);
    report.scope.bytes += file.header->file_bytes;
  }
  report.scope.files = files.size();
  report.scope.tensors = names.size();
  report.scope.hashes = checksums.manifest || !checksums.sums.empty();
  if (check.source) {
    check_values(files, check.source(names), check.values, report);
    report.scope.values = true;
  }
}

}  // namespace

Report verify_output(const OutputCheck& check) {
  Report report;
  VerifyTarget target;
  try {
    target = find_target(check.out);
  } catch (const Error& error) {
    if (error.code() != Exit::kDifference) throw;
    report.error("", "", error.message());
    return report;
  }
  if (target.is_checkpoint && check.source) {
    throw Error(Exit::kUsage,
                "--source compares the values of GGUF files, but OUT is a checkpoint: " + printable(check.out.string(), 4096));
  }
  if (target.is_checkpoint) {
    check_download(target.checkpoint, check.values.threads, report);
  } else {
    check_set_of_files(check, target, report);
  }
  drop_repeated(report.findings);
  return report;
}

}  // namespace ggufmill
