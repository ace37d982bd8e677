// The work folder of a conversion, OUT-stem.ggufmill/ beside the output: lock, journal, part files, and an old set on its way
// out.
//
//   lock          who holds it: one line "HOST BOOT_ID PID START_TIME" (start time of the process in clock ticks, /proc/PID/stat)
//   journal       convert/journal.h
//   NAME.part     an output file on its way (NAME is its final name)
//   old/          with --force: the files that the new ones replace, until all new ones are in place
//
// The lock is linked into place with its text already in it and flocked by its holder. Same host, same boot and the process gone:
// it is taken over. Another host's (a shared file system) is respected until --break-lock.
#pragma once

#include <filesystem>
#include <string>

#include "formats/error.h"

namespace ggufmill {

struct LockHolder;

class WorkFolder {
 public:
  // Creates the folder where needed and takes the lock; Error kTryAgain names the holder where another process has it.
  WorkFolder(std::filesystem::path folder, bool break_lock);
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  ~WorkFolder();  // gives the lock back; the folder and its work stay

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path journal() const { return path_ / "journal"; }
  std::filesystem::path part(const std::string& name) const { return path_ / (name + ".part"); }
  std::filesystem::path old_folder() const { return path_ / "old"; }

  void discard_work();  // everything but the lock
  void remove();        // the folder itself, at the end of a finished conversion

 private:
  bool take_lock(bool break_lock);
  void move_stale_lock(const LockHolder& me, bool break_lock);
  void remove_old_locks() const;
  void release() noexcept;

  std::filesystem::path path_;
  std::filesystem::path lock_;
  int lock_fd_ = -1;
};

}  // namespace ggufmill
