// The two checksum files beside a GGUF set, and which of them to believe.
//
// The manifest carries a hash of its own content and SHA256SUMS can be rebuilt from it: so a manifest that holds is believed, and
// a SHA256SUMS that differs from the rebuilt one is the damaged file. A manifest that does not hold is a finding, and SHA256SUMS
// then stands for itself.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "formats/hash.h"
#include "formats/manifest.h"
#include "verify/report.h"
#include "verify/target.h"

namespace ggufmill {

struct Checksums {
  std::string manifest_name;           // "STEM.manifest.json", whether it is there or not
  std::string sums_name;               // "STEM.SHA256SUMS"
  std::optional<Manifest> manifest;    // where it is there and sound
  std::map<std::string, Sha256> sums;  // of SHA256SUMS, by file; only without a manifest
};

// Reads and compares both; neither being there is a warning. Files that they list beside the set's own are findings if missing.
Checksums load_checksums(const VerifyTarget& target, Report& report);

}  // namespace ggufmill
