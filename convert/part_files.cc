#include "convert/part_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "formats/error.h"
#include "formats/manifest.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

// Room for manifest and SHA256SUMS, and for the journal: about 200 bytes per tile, a tile being up to 2^20 weights.
constexpr uint64_t kSideFilesBytes = 4 << 20;
constexpr uint64_t kSideBytesPerTensor = 1024;
constexpr uint64_t kJournalBytesPerMiWeights = 1024;
constexpr uint64_t kStatBlockBytes = 512;  // unit of st_blocks

// Of a regular file; a link is not followed.
uint64_t allocated_bytes(const fs::path& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) ? static_cast<uint64_t>(st.st_blocks) * kStatBlockBytes : 0;
}

// The zeros between tensors: they belong to the file, and a part file may be an interrupted run's, with damage in it.
void write_padding(const Plan& plan, const PlannedFile& file, OutputFile& part) {
  constexpr std::array<std::byte, kGgufAlignment> kZeros{};
  for (uint32_t i = 0; i < file.n_tensors; ++i) {
    const uint64_t end = plan.tensors[file.first_tensor + i].extent.end();
    const bool last = i + 1 == file.n_tensors;
    const uint64_t next = last ? file.bytes : plan.tensors[file.first_tensor + i + 1].extent.file_offset;
    if (next > end) part.write_exact(end, std::span(kZeros).first(next - end));
  }
}

}  // namespace

uint64_t disk_bytes_needed(const Plan& plan, const fs::path& work_folder) {
  uint64_t needed =
      kSideFilesBytes + plan.tensors.size() * kSideBytesPerTensor + (plan.parameters() >> 20) * kJournalBytesPerMiWeights;
  for (const PlannedFile& f : plan.files)
    needed += f.bytes - std::min(f.bytes, allocated_bytes(work_folder / (f.name + ".part")));
  return needed;
}

void check_disk_space(const Plan& plan, const fs::path& folder, const fs::path& work_folder) {
  const uint64_t needed = disk_bytes_needed(plan, work_folder), free = free_disk_bytes(folder);
  if (needed <= free) return;
  throw Error(Exit::kSystem,
              printable(folder.string(), 4096) + ": not enough disk space: " + std::to_string(needed) + " bytes are needed, " +
                  std::to_string(free) + " are free",
              "free " + std::to_string(needed - free) + " bytes or write to another disk");
}

void check_name_lengths(const Plan& plan, const fs::path& folder) {
  const long limit = pathconf(folder.c_str(), _PC_NAME_MAX);
  if (limit <= 0) return;
  std::vector<std::string> names = {manifest_file_name(plan.stem), sha256sums_file_name(plan.stem)};
  for (const PlannedFile& f : plan.files) names.push_back(f.name);
  for (const std::string& name : names) {
    const std::string part = name + ".part";
    if (part.size() <= static_cast<uint64_t>(limit)) continue;
    throw Error(Exit::kCannotCreate,
                printable((folder / part).string(), 4096) + ": a name of " + std::to_string(part.size()) +
                    " bytes is needed, this file system allows " + std::to_string(limit),
                "give a shorter name with -o");
  }
}

std::vector<OutputFile> open_parts(const Plan& plan, const WorkFolder& work, const Ledger& ledger) {
  std::vector<OutputFile> parts;
  for (uint32_t f = 0; f < plan.files.size(); ++f) {
    const PlannedFile& file = plan.files[f];
    const fs::path path = work.part(file.name);
    parts.emplace_back(path, fs::exists(fs::symlink_status(path)) ? OutputFile::Mode::kReopen : OutputFile::Mode::kCreate);
    parts.back().reserve(file.bytes);
    if (ledger.file_hash(f)) continue;
    parts.back().write_exact(0, file.header);
    write_padding(plan, file, parts.back());
  }
  sync_folder(work.path());
  return parts;
}

}  // namespace ggufmill
