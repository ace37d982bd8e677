// What OUT on verify's command line means.
//
//   FILE.gguf             that file, or the whole split that it is a member of
//   STEM.gguf             (no such file) the split STEM-00001-of-..., or what STEM.manifest.json says was there
//   FOLDER                a checkpoint (config.json and *.safetensors), else the one GGUF set in it
//   FILE.safetensors      a checkpoint of one file
// Names of files in the answer have no folder; some may be missing on disk.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ggufmill {

struct VerifyTarget {
  bool is_checkpoint = false;
  std::filesystem::path checkpoint = {};  // the folder or file
  std::filesystem::path folder = {};      // of a GGUF set
  std::string stem = {};                  // of manifest and SHA256SUMS
  std::vector<std::string> files = {};    // in order
};

// Throws kDifference where there is nothing at `out`, kUsage listing the choices where it is ambiguous.
VerifyTarget find_target(const std::filesystem::path& out);

}  // namespace ggufmill
