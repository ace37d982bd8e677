// Every byte of every file of a GGUF set against its checksums, read once.
#pragma once

#include <set>
#include <span>
#include <string>

#include "verify/checksums.h"
#include "verify/report.h"
#include "verify/structure.h"

namespace ggufmill {

// Streams each file once (several in parallel, up to `threads`) through SHA-256 and, with a manifest, through the XXH3-128 of
// header and tensors, so that a difference is named: the header, a tensor, the padding after it. Also compares the headers'
// tensor entries with the manifest's. Answers the names of files whose bytes or header differ.
std::set<std::string> check_hashes(std::span<const GgufFile> files, const Checksums& checksums, unsigned threads, Report& report);

}  // namespace ggufmill
