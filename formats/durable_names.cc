// Names that survive a power cut: a file's bytes are durable after fsync, its name only after fsync of its folder. Hence
// small files are replaced by write, fsync, rename, fsync of the folder, and nothing is ever renamed over by accident.
#include <fcntl.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>

#include "formats/checked.h"
#include "formats/file.h"
#include "formats/hash.h"

namespace ggufmill {
namespace {

// An errno about the name or its folder is the user's choice of OUT; the rest (disk full, I/O) is the system's.
Exit code_for_name(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case ENOMEM:
    case ENFILE:
    case EMFILE:
      return Exit::kSystem;
    default:
      return Exit::kCannotCreate;
  }
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

// A name nobody else uses, not even another host on a shared file system, and short whatever the target's name is.
std::filesystem::path temporary_beside(const std::filesystem::path& to) {
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) throw system_error(to.native(), "cannot get a random number", errno);
  char name[48];
  std::snprintf(name, sizeof name, ".ggufmill-%016llx.tmp", static_cast<unsigned long long>(random));
  return folder_of(to) / name;
}

// `from` under a second name, then without its first. Between the two a crash leaves both names, never neither.
void link_then_unlink(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (link(from.c_str(), to.c_str()) != 0) {
    throw system_error(to.native(), "cannot move " + printable(from.native(), 4096) + " here", errno, code_for_name(errno));
  }
  if (unlink(from.c_str()) != 0) throw system_error(from.native(), "cannot remove", errno);
}

}  // namespace

void sync_folder(const std::filesystem::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw system_error(folder.native(), "cannot open the folder", errno);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  // Some network file systems cannot sync a folder and say EINVAL: their server orders names itself.
  if (result != 0 && error != EINVAL) throw system_error(folder.native(), "cannot flush the folder to disk", error);
}

void rename_no_replace(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
  if (errno == EINVAL || errno == ENOSYS) return link_then_unlink(from, to);
  throw system_error(to.native(), "cannot move " + printable(from.native(), 4096) + " here", errno, code_for_name(errno));
}

void write_text_file_durably(const std::filesystem::path& to, std::string_view text) {
  const std::filesystem::path temporary = temporary_beside(to);
  OutputFile file(temporary, OutputFile::Mode::kCreate);
  try {
    file.write_exact(0, as_bytes(text));
    file.sync();
    if (rename(temporary.c_str(), to.c_str()) != 0) {
      throw system_error(to.native(), "cannot replace", errno, code_for_name(errno));
    }
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  sync_folder(folder_of(to));
}

uint64_t free_disk_bytes(const std::filesystem::path& folder) {
  struct statvfs st;
  if (statvfs(folder.c_str(), &st) != 0) throw system_error(folder.native(), "cannot ask for free disk space", errno);
  // A file system that claims more than 2^64 bytes has enough.
  return checked_mul(st.f_bavail, st.f_frsize).value_or(std::numeric_limits<uint64_t>::max());
}

}  // namespace ggufmill
