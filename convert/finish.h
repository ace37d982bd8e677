// The end of a conversion: SHA256SUMS and manifest, the FINISH record, and the renames that bring everything under its final
// name.
#pragma once

#include <filesystem>

#include "convert/journal.h"
#include "convert/ledger.h"
#include "convert/plan.h"
#include "convert/work_folder.h"
#include "formats/manifest.h"

namespace ggufmill {

// The manifest of a complete ledger. `program_version` as --version prints it.
Manifest make_manifest(const Plan& plan, const Ledger& ledger, std::string_view program_version);

// Names that a conversion to `folder` would put in place, or that an older set under the same stem has there (other split counts
// included): what must not exist without --force. Sorted.
std::vector<std::filesystem::path> existing_outputs(const std::filesystem::path& folder, const std::string& stem);

// Writes SHA256SUMS and manifest as part files and the FINISH record. Every GGUF part must be durable and hashed.
FinishRecord write_finish(const Plan& plan, const Manifest& manifest, const WorkFolder& work, Journal& journal, bool replace);

// Takes back what an interrupted finish had renamed: new files return to the work folder, older ones from there to `folder`.
// Before the work folder is discarded. Throws kCannotCreate where an older file cannot return because its name is taken: nothing
// is lost then.
void undo_renames(const std::filesystem::path& folder, const WorkFolder& work);

// Moves older files away where `record.replace`, renames what is still in the work folder, fsyncs both folders, removes the work
// folder. May be called again after any interruption. Throws kCannotCreate where a final name exists and `replace` is false.
void rename_into_place(const FinishRecord& record, const std::filesystem::path& folder, const std::string& stem,
                       WorkFolder& work);

}  // namespace ggufmill
