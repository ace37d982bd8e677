// Structure of a GGUF set without reading its data: headers, padding, what stands after the last tensor, keys that every loader
// wants, and that the members of a split belong together.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "verify/report.h"
#include "verify/target.h"

namespace ggufmill {

struct GgufFile {
  std::string name;  // without folder
  std::filesystem::path path;
  std::optional<GgufHeader> header;  // none where the file is missing or its header is refused
};

// Reads the header of every file of the set; missing files and refused headers become findings.
std::vector<GgufFile> open_files(const VerifyTarget& target, Report& report);

// Bytes between the header's parts and after the last tensor: padding must be zeros, and nothing may follow it.
void check_padding(const GgufFile& file, Report& report);

// general.architecture, split keys, tensors in two files. Needs all headers.
void check_set(std::span<const GgufFile> files, Report& report);

}  // namespace ggufmill
