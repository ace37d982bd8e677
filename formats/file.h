// Files as the program uses them: pread and pwrite, never mmap (a truncated source would be SIGBUS), EINTR and short
// transfers handled, sizes and identities taken from the open descriptor. Errors are Error with the path and errno's text.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "formats/error.h"
#include "formats/extent.h"

namespace ggufmill {

// What tells whether a file is still the one that was opened.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t bytes = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  bool operator==(const FileId&) const = default;
};

// A regular file opened for reading (symlinks are followed: a hub snapshot is made of them; FIFOs, devices and folders are
// refused with kBadInput). Thread-safe: reads do not move a shared position.
class InputFile {
 public:
  // Throws kBadInput if the file is missing or not regular, kSystem on I/O trouble.
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::filesystem::path& path() const { return path_; }
  uint64_t bytes() const { return id_.bytes; }
  const FileId& id() const { return id_; }  // at open time
  FileId current_id() const;                // fstat now
  int fd() const { return fd_; }

  // Fills `out` from `file_offset`; a file that ends before is kBadInput ("file ended at N, expected M (truncated while
  // reading?)"), EIO is kSystem.
  void read_exact(uint64_t file_offset, std::span<std::byte> out) const;
  std::string read_text(uint64_t max_bytes) const;  // the whole file; kBadInput if larger than max_bytes
  void advise_sequential() const;
  void drop_cache(Extent extent) const;  // POSIX_FADV_DONTNEED; failures do not matter

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  FileId id_;
};

// A file this program writes. Created with O_EXCL and O_NOFOLLOW, or reopened for a resumed run (must be regular).
class OutputFile {
 public:
  enum class Mode { kCreate, kReopen };
  OutputFile(const std::filesystem::path& path, Mode mode);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  const std::filesystem::path& path() const { return path_; }
  int fd() const { return fd_; }
  // Reserves blocks with fallocate(2), never posix_fallocate; falls back to ftruncate where it is not supported.
  void reserve(uint64_t bytes);
  void truncate(uint64_t bytes);  // ftruncate: drops what stands behind a journal's last whole record
  void write_exact(uint64_t file_offset, std::span<const std::byte> data);
  void read_exact(uint64_t file_offset, std::span<std::byte> out) const;
  uint64_t bytes() const;                     // fstat
  uint64_t allocated_bytes() const;           // st_blocks * 512
  void start_writeback(Extent extent) const;  // sync_file_range, failures do not matter
  void drop_cache(Extent extent) const;
  void sync_data();  // fdatasync; never retried after a failure: the page cache lies after that
  void sync();       // fsync

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

void sync_folder(const std::filesystem::path& folder);
// renameat2(RENAME_NOREPLACE); where the file system lacks it, link + unlink. An existing target is kCannotCreate.
void rename_no_replace(const std::filesystem::path& from, const std::filesystem::path& to);
// Replaces `to` atomically: write to a temporary name beside it, fsync, rename. For small files.
void write_text_file_durably(const std::filesystem::path& to, std::string_view text);
// Bytes an unprivileged writer can still put on the file system that holds `folder`.
uint64_t free_disk_bytes(const std::filesystem::path& folder);

}  // namespace ggufmill
