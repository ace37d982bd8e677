// The manifest of a finished conversion, OUT-stem.manifest.json: what was made from what, and the hashes of everything.
//
//   {"manifest_version": 1,
//    "program": {"name": "ggufmill", "version": "0.1.0", "encoding_version": 1},
//    "architecture": "...", "recipe": {"name": "...", "sha256": HEX64}, "imatrix": null or {"name": "...", "sha256": HEX64},
//    "source":  [{"name", "bytes", "sha256": HEX64 or null}],
//    "files":   [{"name", "bytes", "sha256", "header_bytes", "header_xxh3_128": HEX32}],
//    "tensors": [{"name", "type", "shape": [innermost first], "file", "offset": absolute in the file, "bytes", "xxh3_128",
//                 "relative_rmse": number or null, "worst_block": null or {"row", "column", "relative_error": null for infinity},
//                 "coarse_blocks", "effort", "objective" (the last two "" where nothing was encoded), "nan_count", "inf_count"}],
//    "content_xxh3_128": HEX32}
//
// The last value is the XXH3-128 of all bytes of the file before its line, so that a damaged manifest is told from a damaged
// SHA256SUMS. The text is a pure function of the value: no times, folders or process numbers. Padding between tensors is covered
// by the whole file's SHA-256.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/extent.h"
#include "formats/ggml_type.h"
#include "formats/hash.h"

namespace ggufmill {

// A tensor takes about 500 bytes of text, so this is room for 250,000 of them.
inline constexpr uint64_t kMaxManifestBytes = 128ull << 20;

// The block of a tensor whose error, relative to its own values, is largest.
struct WorstBlock {
  uint64_t row = 0;           // over all rows of the tensor: row r of expert e is e * rows of one expert + r
  uint64_t column = 0;        // first column of the block
  double relative_error = 0;  // sqrt(sum d^2 / sum x^2) over the block; infinite for zeros that became something else
  bool operator==(const WorstBlock&) const = default;
};

struct ManifestTensor {
  std::string name;  // GGUF name
  GgmlType type = GgmlType::F32;
  std::vector<uint64_t> ne;               // innermost first
  std::string file;                       // one of Manifest::files' names
  Extent extent;                          // absolute in that file, without padding
  Xxh128 hash;                            // of the tensor's bytes
  std::optional<double> relative_rmse;    // sqrt(sum d^2 / sum x^2); none where it was not measured or is not finite
  std::optional<WorstBlock> worst_block;  // none where the type is exact
  uint64_t nan_count = 0;                 // in the source values
  uint64_t inf_count = 0;
  uint64_t coarse_blocks = 0;  // super-blocks that lost more than the codec's coarse_error()
  std::string effort = {};     // how the encoder searched: "default"; empty where nothing was encoded
  std::string objective = {};
  bool operator==(const ManifestTensor&) const = default;
};

struct ManifestFile {
  std::string name;  // without folder
  uint64_t bytes = 0;
  Sha256 sha256;
  uint64_t header_bytes = 0;  // up to the first data byte
  Xxh128 header_hash;
  bool operator==(const ManifestFile&) const = default;
};

struct ManifestSource {
  std::string name;  // without folder
  uint64_t bytes = 0;
  std::optional<Sha256> sha256;  // none with --no-source-hash
  bool operator==(const ManifestSource&) const = default;
};

struct ManifestImatrix {
  std::string name;  // without folder
  Sha256 sha256;
  bool operator==(const ManifestImatrix&) const = default;
};

struct Manifest {
  std::string program_version;
  uint32_t encoding_version = 0;
  std::string architecture;
  std::string recipe_name;
  Sha256 recipe_sha256;  // of the resolved rules
  std::optional<ManifestImatrix> imatrix;
  std::vector<ManifestSource> source;
  std::vector<ManifestFile> files;      // the GGUF files in order
  std::vector<ManifestTensor> tensors;  // in file order
  bool operator==(const Manifest&) const = default;
};

// The file's exact text: LF, indent 1, doubles in a short form that reads back as the same value. Precondition: names are UTF-8.
std::string manifest_text(const Manifest& manifest);

// Throws kBadInput that names `where` and the field which is missing, twice there, of another type or out of range; also for
// names with folders in them, tensors in files that are not listed, and a content hash that differs. Keys it does not know are
// passed over: a later version may add some.
Manifest parse_manifest(std::string_view text, std::string_view where);
Manifest load_manifest(const std::filesystem::path& path);

// "HEX  NAME\n" for every GGUF file, then the manifest: what `sha256sum -c` reads.
std::string sha256sums_text(const Manifest& manifest, std::string_view manifest_name, const Sha256& manifest_sha256);

// Names beside the output: "<stem>.manifest.json", "<stem>.SHA256SUMS".
inline std::string manifest_file_name(std::string_view stem) { return std::string(stem) + ".manifest.json"; }
inline std::string sha256sums_file_name(std::string_view stem) { return std::string(stem) + ".SHA256SUMS"; }

}  // namespace ggufmill
