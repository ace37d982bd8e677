#include "formats/hub_cache.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <span>
#include <string_view>

#include "formats/checkpoint.h"
#include "formats/error.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxSmallFileBytes = 4096;  // refs and .metadata files hold under 200 bytes
constexpr size_t kCommitDigits = 40;
constexpr std::string_view kIncomplete = ".incomplete";
constexpr std::string_view kRepositoryPrefix = "models--";

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_commit(std::string_view text) { return text.size() == kCommitDigits && is_hex(text); }

fs::path canonical_folder(const fs::path& folder) {
  std::error_code error;
  fs::path canonical = fs::weakly_canonical(fs::absolute(folder, error), error);
  if (error) canonical = folder.lexically_normal();
  return canonical.has_filename() ? canonical : canonical.parent_path();  // without a trailing slash
}

// A folder at or below REPOSITORY/snapshots/COMMIT.
struct Snapshot {
  fs::path repository;  // .../models--ORG--NAME
  std::string commit;

  bool is_hub_cache() const { return repository.filename().native().starts_with(kRepositoryPrefix); }
  // "ORG/NAME", or "NAME" of a repository without an owner.
  std::string repository_id() const {
    std::string id = repository.filename().native().substr(kRepositoryPrefix.size());
    if (const size_t dashes = id.find("--"); dashes != std::string::npos) id.replace(dashes, 2, "/");
    return id;
  }
};

std::optional<Snapshot> find_snapshot(const fs::path& canonical) {
  for (fs::path below = canonical; below.has_relative_path(); below = below.parent_path()) {
    const fs::path above = below.parent_path();
    if (above.filename() == "snapshots" && is_commit(below.filename().native())) {
      return Snapshot{above.parent_path(), below.filename().native()};
    }
  }
  return std::nullopt;
}

// Names in `folder`, sorted; none where it cannot be listed.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().native());
  }
  std::ranges::sort(names);
  return names;
}

// The text of a small file the hub wrote; nullopt where there is none that could be one.
std::optional<std::string> read_small_file(const fs::path& path) {
  try {
    return InputFile(path).read_text(kMaxSmallFileBytes);
  } catch (const Error& error) {
    if (error.code() != Exit::kBadInput) throw;
    return std::nullopt;
  }
}

// The name of the blob that a snapshot's link leads to; further links (a blob moved to another disk) are followed too.
std::optional<Sha256> sha256_of_link(const fs::path& file) {
  std::error_code error;
  const fs::path target = fs::read_symlink(file, error);
  if (error) return std::nullopt;
  if (const auto hash = Sha256::from_hex(target.filename().native())) return hash;
  const fs::path last = fs::canonical(file, error);
  return error ? std::nullopt : Sha256::from_hex(last.filename().native());
}

std::optional<Sha256> sha256_of_local_dir(const fs::path& folder, const std::string& name, const FileId& id) {
  const auto text = read_small_file(folder / ".cache/huggingface/download" / (name + ".metadata"));
  if (!text) return std::nullopt;
  std::array<std::string_view, 3> lines;  // commit, etag, time
  std::string_view rest = *text;
  for (std::string_view& line : lines) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  double downloaded_s = 0;
  const auto [end, error] = std::from_chars(lines[2].data(), lines[2].data() + lines[2].size(), downloaded_s);
  const bool valid = is_commit(lines[0]) && error == std::errc() && end == lines[2].data() + lines[2].size();
  // huggingface_hub's own rule, with its second of tolerance for coarse file systems.
  if (!valid || static_cast<double>(id.mtime_ns) / 1e9 - 1 > downloaded_s) return std::nullopt;
  return Sha256::from_hex(lines[1]);
}

// `org/name[@REV]`, made of what the hub allows in names; nullopt for any other text. No part is "." or "..".
struct RepositoryName {
  std::string org, name, revision;
  std::string folder() const { return std::string(kRepositoryPrefix) + org + "--" + name; }
};

bool is_plain_part(std::string_view part) {
  const auto allowed = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; };
  return !part.empty() && std::ranges::all_of(part, allowed) && part != "." && part.find("..") == std::string_view::npos;
}

std::optional<RepositoryName> parse_repository_name(std::string_view source) {
  const size_t at = source.find('@');
  const std::string_view repository = source.substr(0, at);
  const size_t slash = repository.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  RepositoryName parsed{std::string(repository.substr(0, slash)), std::string(repository.substr(slash + 1)), ""};
  if (!is_plain_part(parsed.org) || !is_plain_part(parsed.name)) return std::nullopt;
  if (at == std::string_view::npos) return parsed;
  parsed.revision = source.substr(at + 1);
  std::string_view rest = parsed.revision;  // refs/pr/3 is a revision too
  while (true) {
    const size_t end = rest.find('/');
    if (!is_plain_part(rest.substr(0, end))) return std::nullopt;
    if (end == std::string_view::npos) return parsed;
    rest.remove_prefix(end + 1);
  }
}

// The commit that refs/REVISION names; nullopt where there is no such ref.
std::optional<std::string> commit_of_ref(const fs::path& repository, const std::string& revision) {
  auto text = read_small_file(repository / "refs" / revision);
  if (!text) return std::nullopt;
  while (!text->empty() && std::isspace(static_cast<unsigned char>(text->back()))) text->pop_back();
  if (!is_commit(*text)) {
    throw Error(Exit::kBadInput, printable((repository / "refs" / revision).native(), 4096) + ": \"" + printable(*text, 60) +
                                     "\" is not a commit hash of 40 hex digits");
  }
  return text;
}

// The one snapshot of `commits` that the source means; throws with the list where that is not one.
std::string select_snapshot(const fs::path& repository, const RepositoryName& wanted, std::span<const std::string> commits) {
  const std::string id = wanted.org + "/" + wanted.name;
  const std::string have = "; the hub cache has " + listed(commits);
  if (const auto commit = commit_of_ref(repository, wanted.revision.empty() ? "main" : wanted.revision)) {
    if (std::ranges::find(commits, *commit) != commits.end()) return *commit;
    if (!wanted.revision.empty()) {
      throw Error(Exit::kBadInput,
                  id + ": revision " + wanted.revision + " is commit " + *commit + ", whose snapshot is missing" + have);
    }
  }
  std::vector<std::string> matching;
  for (const std::string& commit : commits) {
    if (commit.starts_with(wanted.revision)) matching.push_back(commit);
  }
  if (matching.size() == 1) return matching.front();
  const std::string hint = "choose one: " + id + "@COMMIT";
  if (wanted.revision.empty()) throw Error(Exit::kBadInput, id + ": no refs/main and several snapshots" + have, hint);
  throw Error(
      Exit::kBadInput,
      id + ": revision \"" + wanted.revision + "\" selects " + (matching.empty() ? "no snapshot" : "several snapshots") + have,
      hint);
}

}  // namespace

std::string model_name_of(const fs::path& folder) {
  const fs::path canonical = canonical_folder(folder);
  if (const auto snapshot = find_snapshot(canonical)) {
    if (!snapshot->is_hub_cache()) return snapshot->repository.filename().native();
    const std::string id = snapshot->repository_id();
    return id.substr(id.find('/') + 1);  // npos + 1 is 0: the whole of an id without owner
  }
  const std::string name = canonical.filename().native();
  return name.empty() || name == "/" ? "model" : name;
}

std::optional<Sha256> published_sha256(const fs::path& folder, const std::string& name, const FileId& id) {
  if (const auto hash = sha256_of_link(folder / name)) return hash;
  return sha256_of_local_dir(folder, name, id);
}

std::vector<std::string> unfinished_downloads(const fs::path& folder) {
  std::vector<fs::path> places = {folder, folder / ".cache/huggingface/download"};
  if (const auto snapshot = find_snapshot(canonical_folder(folder))) places.push_back(snapshot->repository / "blobs");
  std::vector<std::string> found;
  for (const fs::path& place : places) {
    for (const std::string& name : names_in(place)) {
      if (name.ends_with(kIncomplete)) found.push_back(printable(name));
    }
  }
  return found;
}

std::string download_hint(const fs::path& folder) {
  if (const auto snapshot = find_snapshot(canonical_folder(folder)); snapshot && snapshot->is_hub_cache()) {
    return "hf download " + printable(snapshot->repository_id()) + " --revision " + snapshot->commit;
  }
  std::error_code error;
  if (fs::is_directory(folder / ".cache/huggingface", error)) {
    return "run the same `hf download ... --local-dir " + printable(folder.native(), 4096) + "` again";
  }
  return "download the model again (`hf download`): finished files are kept";
}

fs::path resolve_source(std::string_view source, const fs::path& hub_cache) {
  const fs::path path(source);
  std::error_code error;
  if (!source.empty() && fs::symlink_status(path, error).type() != fs::file_type::not_found) return path;
  const auto wanted = parse_repository_name(source);
  const fs::path repository = wanted ? hub_cache / wanted->folder() : fs::path();
  if (!wanted || hub_cache.empty() || !fs::is_directory(repository, error)) {
    const std::string hint = wanted ? "hf download " + wanted->org + "/" + wanted->name : "";
    throw Error(Exit::kBadInput, printable(source, 4096) + ": no such file or folder, and not in the hub cache", hint);
  }
  std::vector<std::string> commits;
  for (const std::string& name : names_in(repository / "snapshots")) {
    if (is_commit(name)) commits.push_back(name);
  }
  if (commits.empty()) {
    const std::string id = wanted->org + "/" + wanted->name;
    throw Error(Exit::kBadInput, id + ": the hub cache has no snapshot of it (unfinished download?)", "hf download " + id);
  }
  return repository / "snapshots" / select_snapshot(repository, *wanted, commits);
}

}  // namespace ggufmill
