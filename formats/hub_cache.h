// What huggingface_hub leaves on disk around a model folder, and what it tells: names, hashes, unfinished downloads.
//
//   hub cache     models--ORG--NAME/refs/REV                     a commit hash
//                 models--ORG--NAME/snapshots/COMMIT/FILE        -> ../../blobs/ETAG
//                 models--ORG--NAME/blobs/ETAG                   ETAG = SHA-256 (64 hex) of large files, git SHA-1 (40) of small
//                 models--ORG--NAME/blobs/ETAG.*.incomplete      a download that did not finish
//   --local-dir   FOLDER/.cache/huggingface/download/FILE.metadata       three lines: commit, etag, time of download
//                 FOLDER/.cache/huggingface/download/*.incomplete
//
// Source: https://github.com/huggingface/huggingface_hub, file_download.py and _local_folder.py. All of it works offline.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "formats/file.h"
#include "formats/hash.h"

namespace ggufmill {

// NAME of the repository whose snapshot `folder` is, else the folder's own name; never a snapshot's hash.
std::string model_name_of(const std::filesystem::path& folder);

// The SHA-256 that the hub published for FOLDER/NAME, where the layout tells it. `id` is the opened file's: a local file that
// was changed after its download has none.
std::optional<Sha256> published_sha256(const std::filesystem::path& folder, const std::string& name, const FileId& id);

// Names of all *.incomplete files in the folder, its snapshot's blobs and its --local-dir cache, sorted.
std::vector<std::string> unfinished_downloads(const std::filesystem::path& folder);

// The command that fetches what is missing in `folder`, as a hint.
std::string download_hint(const std::filesystem::path& folder);

}  // namespace ggufmill
