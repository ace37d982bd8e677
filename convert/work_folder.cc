#include "convert/work_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <utility>

#include "formats/file.h"

namespace ggufmill {

// What the lock file says.
struct LockHolder {
  std::string host, boot_id;
  pid_t pid = 0;
  unsigned long long start_time = 0;
  std::string text() const { return host + " " + boot_id + " " + std::to_string(pid) + " " + std::to_string(start_time) + "\n"; }
};

namespace {

namespace fs = std::filesystem;

// How often a folder that its last holder removes under us is made again.
constexpr int kAttempts = 100;

// Field 22 of /proc/PID/stat, counted after the command's closing parenthesis; nullopt where there is no such process, or only
// what is left of one that nobody has waited for (state Z).
std::optional<unsigned long long> start_time_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  std::istringstream rest(line.substr(line.rfind(')') + 1));
  std::string field;
  rest >> field;
  if (field == "Z" || field == "X") return std::nullopt;
  for (int i = 4; i <= 22; ++i) rest >> field;
  return rest ? std::optional(std::stoull(field)) : std::nullopt;
}

LockHolder this_process() {
  LockHolder me;
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  me.host = host.data();
  std::ifstream("/proc/sys/kernel/random/boot_id") >> me.boot_id;
  me.pid = getpid();
  me.start_time = start_time_of(me.pid).value_or(0);
  return me;
}

std::optional<LockHolder> read_holder(int fd) {
  std::array<char, 512> text{};
  const ssize_t n = pread(fd, text.data(), text.size() - 1, 0);
  if (n <= 0) return std::nullopt;
  LockHolder holder;
  std::istringstream in(text.data());
  in >> holder.host >> holder.boot_id >> holder.pid >> holder.start_time;
  return in ? std::optional(holder) : std::nullopt;
}

std::string unique_suffix() {
  std::random_device random;
  return std::to_string(getpid()) + "." + std::to_string(random()) + std::to_string(random());
}

bool same_inode(int fd, const fs::path& path) {
  struct stat a, b;
  return fstat(fd, &a) == 0 && lstat(path.c_str(), &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

// The folder is removed at the end: whatever is not this program's must not be in it.
void refuse_foreign_files(const fs::path& folder) {
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(folder, gone)) {
    const std::string name = entry.path().filename().string();
    if (name == "journal" || name == "old" || name == "lock" || name.starts_with("lock.") || name.ends_with(".part")) continue;
    throw Error(Exit::kCannotCreate, printable(entry.path().string(), 4096) + ": is no file of an interrupted conversion",
                "move it away: this folder is removed at the end");
  }
}

Error held(const fs::path& folder, const std::optional<LockHolder>& holder, bool other_host) {
  std::string who = "another process";
  if (holder) who = "process " + std::to_string(holder->pid) + " on host " + printable(holder->host);
  return Error(Exit::kTryAgain, printable(folder.string(), 4096) + ": " + who + " holds this output",
               other_host ? "if that process is gone, add --break-lock" : "");
}

}  // namespace

WorkFolder::WorkFolder(fs::path folder, bool break_lock) : path_(std::move(folder)), lock_(path_ / "lock") {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (mkdir(path_.c_str(), 0777) != 0 && errno != EEXIST) {
      throw system_error(path_.string(), "cannot create", errno,
                         errno == ENOSPC || errno == EDQUOT || errno == EIO ? Exit::kSystem : Exit::kCannotCreate);
    }
    if (const fs::file_status is = fs::symlink_status(path_); fs::exists(is) && !fs::is_directory(is)) {
      throw Error(Exit::kCannotCreate, printable(path_.string(), 4096) + ": exists and is not a folder");
    }
    refuse_foreign_files(path_);
    if (take_lock(break_lock)) {
      remove_old_locks();
      return;
    }
  }
  throw Error(Exit::kTryAgain, printable(path_.string(), 4096) + ": other processes take and give up this output all the time");
}

WorkFolder::~WorkFolder() { release(); }

// False where the folder was removed meanwhile, by a holder that finished.
bool WorkFolder::take_lock(bool break_lock) {
  const LockHolder me = this_process();
  const fs::path mine = path_ / ("lock." + unique_suffix());
  lock_fd_ = open(mine.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (lock_fd_ < 0 && errno == ENOENT) return false;
  if (lock_fd_ < 0) throw system_error(mine.string(), "cannot create", errno, Exit::kCannotCreate);
  try {
    const std::string text = me.text();
    errno = EIO;
    if (write(lock_fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      throw system_error(mine.string(), "cannot write", errno);
    flock(lock_fd_, LOCK_EX | LOCK_NB);
    while (link(mine.c_str(), lock_.c_str()) != 0) {
      if (errno == ENOENT) {  // the folder or `mine` is gone
        close(std::exchange(lock_fd_, -1));
        return false;
      }
      if (errno != EEXIST) throw system_error(lock_.string(), "cannot create", errno);
      move_stale_lock(me, break_lock);
    }
  } catch (...) {
    unlink(mine.c_str());
    close(std::exchange(lock_fd_, -1));
    throw;
  }
  unlink(mine.c_str());
  return true;
}

// Moves the lock away where its holder is gone; throws kTryAgain where it is not.
void WorkFolder::move_stale_lock(const LockHolder& me, bool break_lock) {
  const int fd = open(lock_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return;  // given back this moment
    throw system_error(lock_.string(), "cannot open", errno);
  }
  const std::optional<LockHolder> holder = read_holder(fd);
  const bool other_host = holder && holder->host != me.host;
  const bool alive = holder && !other_host && holder->boot_id == me.boot_id && start_time_of(holder->pid) == holder->start_time;
  // The flock is free where the holder is gone; while we have it, nobody else takes this very file over. A file system without
  // flock says another errno than EWOULDBLOCK: there pid and start time decide.
  const bool flocked = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  const bool stale = !flocked && !alive && (!other_host || break_lock);
  if (stale && same_inode(fd, lock_)) rename(lock_.c_str(), (path_ / ("lock.stale." + unique_suffix())).c_str());
  close(fd);
  if (!stale) throw held(path_, holder, other_host);
}

// What takers that were killed left: nobody who lives needs them.
void WorkFolder::remove_old_locks() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path_, ignored)) {
    if (entry.path().filename().string().starts_with("lock.stale.")) fs::remove(entry.path(), ignored);
  }
}

void WorkFolder::release() noexcept {
  if (lock_fd_ < 0) return;
  if (same_inode(lock_fd_, lock_)) unlink(lock_.c_str());
  close(std::exchange(lock_fd_, -1));
}

void WorkFolder::discard_work() {
  // The journal goes last: as long as it is there, an interruption in between finds its way back.
  for (const bool journal_too : {false, true}) {
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path() != lock_ && (journal_too || entry.path() != journal())) fs::remove_all(entry.path());
    }
  }
}

void WorkFolder::remove() {
  discard_work();
  release();
  // Another process may have come for the lock this moment: then the folder is its own and stays.
  rmdir(path_.c_str());
}

}  // namespace ggufmill
