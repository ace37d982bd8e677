// The output files on their way: NAME.part in the work folder, each at its full size from the start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "convert/ledger.h"
#include "convert/plan.h"
#include "convert/work_folder.h"
#include "formats/file.h"

namespace ggufmill {

// Bytes that a conversion of `plan` in `work_folder` (which need not exist) still needs on its disk: the output files, less the
// blocks that an interrupted run's part files own, and room for journal, manifest and SHA256SUMS.
uint64_t disk_bytes_needed(const Plan& plan, const std::filesystem::path& work_folder);
// Throws kSystem where `folder` has less than that.
void check_disk_space(const Plan& plan, const std::filesystem::path& folder, const std::filesystem::path& work_folder);
// Throws kCannotCreate where a name that the conversion needs, from the first part file to the last rename, is longer than
// `folder` allows.
void check_name_lengths(const Plan& plan, const std::filesystem::path& folder);

// Creates or reopens all part files: full size reserved, headers and padding in place in those that are not hashed yet.
std::vector<OutputFile> open_parts(const Plan& plan, const WorkFolder& work, const Ledger& ledger);

}  // namespace ggufmill
