#include "convert/finish.h"

#include <algorithm>
#include <cmath>

#include "formats/error.h"
#include "formats/gguf.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) { return fs::exists(fs::symlink_status(path)); }

ManifestTensor manifest_tensor(const Plan& plan, const Ledger& ledger, uint32_t tensor, const Xxh128& hash) {
  const PlannedTensor& t = plan.tensors[tensor];
  const TensorStats stats = ledger.stats(tensor);
  ManifestTensor m;
  m.name = t.name;
  m.type = t.type;
  m.ne = t.ne;
  m.file = plan.files[t.file].name;
  m.extent = t.extent;
  m.hash = hash;
  const double rmse = stats.relative_rmse();
  if (std::isfinite(rmse)) m.relative_rmse = rmse;
  m.worst_block = stats.worst;
  m.coarse_blocks = stats.coarse_blocks;
  if (!find_codec(t.type)->lossless_container) {
    m.effort = name(t.effort);
    m.objective = name(t.objective);
  }
  m.nan_count = stats.nan_count;
  m.inf_count = stats.inf_count;
  return m;
}

void write_part(const WorkFolder& work, const FinishRecord::File& file, std::string_view text) {
  const fs::path path = work.part(file.name);
  fs::remove(path);
  OutputFile out(path, OutputFile::Mode::kCreate);
  out.write_exact(0, as_bytes(text));
  out.sync();
}

FinishRecord::File text_file(std::string name, std::string_view text) {
  return {std::move(name), text.size(), sha256(as_bytes(text))};
}

// An old set goes into the work folder first, so that old and new files never stand side by side under the stem.
void move_old_away(const FinishRecord& record, const fs::path& folder, const std::string& stem, const WorkFolder& work) {
  const fs::path old_folder = work.old_folder();
  for (const fs::path& old : existing_outputs(folder, stem)) {
    const std::string name = old.filename().string();
    const bool ours =
        std::ranges::any_of(record.files, [&](const auto& f) { return f.name == name && !is_there(work.part(name)); });
    if (ours) continue;  // an interrupted finish had renamed it already
    if (!is_there(old_folder)) fs::create_directory(old_folder);
    if (!fs::is_directory(fs::symlink_status(old_folder))) {
      throw Error(Exit::kCannotCreate, printable(old_folder.string(), 4096) + ": exists and is not a folder");
    }
    fs::rename(old, old_folder / name);
  }
}

// Where renaming is link and unlink, an interruption leaves both names of one file.
void rename_part(const fs::path& part, const fs::path& to) {
  std::error_code missing;
  if (!fs::is_symlink(to) && fs::equivalent(part, to, missing)) {
    fs::remove(part);
  } else {
    rename_no_replace(part, to);
  }
}

// The FINISH record of an interrupted run of whatever plan, where the journal can be read.
std::optional<FinishRecord> find_finish(const WorkFolder& work) {
  std::optional<FinishRecord> found;
  if (!fs::is_regular_file(fs::symlink_status(work.journal()))) return found;
  Journal(work.journal()).replay([&](uint64_t, const JournalRecord& record) {
    if (const auto* finish = std::get_if<FinishRecord>(&record)) found = *finish;
    if (std::holds_alternative<VoidRecord>(record)) found.reset();
  });
  return found;
}

}  // namespace

Manifest make_manifest(const Plan& plan, const Ledger& ledger, std::string_view program_version) {
  Manifest m;
  m.program_version = program_version;
  m.encoding_version = kEncodingVersion;
  m.architecture = plan.architecture;
  m.recipe_name = plan.recipe_name;
  m.recipe_sha256 = plan.recipe_hash;
  if (plan.imatrix != nullptr)
    m.imatrix = ManifestImatrix{printable(plan.imatrix->file().path().filename().string()), *plan.imatrix_hash};
  for (uint32_t s = 0; s < plan.shards.size(); ++s) {
    m.source.push_back({printable(plan.shards[s].name, 4096), plan.shards[s].id.bytes, ledger.shard_hash(s)});
  }
  for (uint32_t f = 0; f < plan.files.size(); ++f) {
    const PlannedFile& file = plan.files[f];
    const FileHashRecord hashes = ledger.file_hash(f).value();
    m.files.push_back({file.name, file.bytes, hashes.sha256, file.header.size(), hashes.header_hash});
    for (uint32_t i = 0; i < file.n_tensors; ++i) {
      m.tensors.push_back(manifest_tensor(plan, ledger, file.first_tensor + i, hashes.tensor_hashes[i]));
    }
  }
  return m;
}

std::vector<fs::path> existing_outputs(const fs::path& folder, const std::string& stem) {
  std::vector<fs::path> found;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    const auto split = parse_split_name(entry->path());
    if (name == stem + ".gguf" || name == sha256sums_file_name(stem) || name == manifest_file_name(stem) ||
        (split && split->stem == stem)) {
      found.push_back(entry->path());
    }
  }
  if (failed) throw system_error(folder.string(), "cannot list the folder", failed.value(), Exit::kCannotCreate);
  std::ranges::sort(found);
  return found;
}

FinishRecord write_finish(const Plan& plan, const Manifest& manifest, const WorkFolder& work, Journal& journal, bool replace) {
  FinishRecord record;
  record.replace = replace;
  for (const ManifestFile& f : manifest.files) record.files.push_back({f.name, f.bytes, f.sha256});
  const std::string manifest_json = manifest_text(manifest);
  const FinishRecord::File manifest_file = text_file(manifest_file_name(plan.stem), manifest_json);
  const std::string sums = sha256sums_text(manifest, manifest_file.name, manifest_file.sha256);
  const FinishRecord::File sums_file = text_file(sha256sums_file_name(plan.stem), sums);
  write_part(work, sums_file, sums);
  write_part(work, manifest_file, manifest_json);
  record.files.push_back(sums_file);
  record.files.push_back(manifest_file);
  sync_folder(work.path());
  journal.append(record);
  journal.sync();
  return record;
}

void undo_renames(const fs::path& folder, const WorkFolder& work) {
  if (const auto finish = find_finish(work)) {
    for (const FinishRecord::File& file : finish->files) {
      if (fs::path(file.name).filename() != file.name) continue;  // not a name of ours
      const fs::path there = folder / file.name, part = work.part(file.name);
      const bool ours = !is_there(part) && fs::is_regular_file(fs::symlink_status(there)) && fs::file_size(there) == file.bytes;
      if (ours) rename_no_replace(there, part);
    }
  }
  if (!fs::is_directory(fs::symlink_status(work.old_folder()))) return;
  for (const auto& entry : fs::directory_iterator(work.old_folder()))
    rename_no_replace(entry.path(), folder / entry.path().filename());
  sync_folder(folder);
}

void rename_into_place(const FinishRecord& record, const fs::path& folder, const std::string& stem, WorkFolder& work) {
  if (record.replace) move_old_away(record, folder, stem, work);
  for (const FinishRecord::File& file : record.files) {
    const fs::path part = work.part(file.name);
    if (is_there(part)) rename_part(part, folder / file.name);
    if (!fs::is_regular_file(folder / file.name) || fs::file_size(folder / file.name) != file.bytes) {
      throw Error(Exit::kSystem,
                  printable((folder / file.name).string(), 4096) + ": vanished or changed while the conversion finished",
                  "--restart begins again");
    }
  }
  sync_folder(work.path());
  sync_folder(folder);
  work.remove();
  sync_folder(folder);
}

}  // namespace ggufmill
