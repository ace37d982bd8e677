// A downloaded checkpoint before it is converted: structure, and the hashes that the hub gave its files.
#pragma once

#include <filesystem>

#include "verify/report.h"

namespace ggufmill {

// Opens the checkpoint (headers, index, missing and unfinished shards), then compares every file whose hash the layout tells: a
// hub snapshot's blob names (SHA-256 of large files, git's SHA-1 of small ones) or a --local-dir's metadata (shards only). Files
// without a known hash are named in one finding. Up to `threads` files are read at a time.
void check_download(const std::filesystem::path& checkpoint, unsigned threads, Report& report);

}  // namespace ggufmill
