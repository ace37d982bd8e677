// Files on a real file system, with single system calls made to fail. The calls below replace libc's in this program and pass
// on to the kernel unless a test armed them.
#include "formats/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>

#include "formats/hash.h"
#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace {

// 0: the kernel answers. Otherwise the next calls fail with this errno, `times` times.
struct Fault {
  int errno_value = 0;
  int times = 0;
  bool strikes() {
    if (times == 0) return false;
    --times;
    errno = errno_value;
    return true;
  }
};
thread_local Fault pread_fault, pwrite_fault, fallocate_fault, fdatasync_fault, fsync_fault, renameat2_fault;
thread_local size_t longest_transfer = SIZE_MAX;  // bytes moved by one pread or pwrite

}  // namespace

extern "C" {
ssize_t pread(int fd, void* data, size_t bytes, off_t offset) {
  if (pread_fault.strikes()) return -1;
  return syscall(SYS_pread64, fd, data, std::min(bytes, longest_transfer), offset);
}
ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  if (pwrite_fault.strikes()) return -1;
  return syscall(SYS_pwrite64, fd, data, std::min(bytes, longest_transfer), offset);
}
int fallocate(int fd, int mode, off_t offset, off_t bytes) {
  if (fallocate_fault.strikes()) return -1;
  return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, bytes));
}
int fdatasync(int fd) {
  if (fdatasync_fault.strikes()) return -1;
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}
int fsync(int fd) {
  if (fsync_fault.strikes()) return -1;
  return static_cast<int>(syscall(SYS_fsync, fd));
}
int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  if (renameat2_fault.strikes()) return -1;
  return static_cast<int>(syscall(SYS_renameat2, from_fd, from, to_fd, to, flags));
}
}

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

std::string read_back(const InputFile& file, uint64_t offset, size_t bytes) {
  std::string out(bytes, '?');
  file.read_exact(offset, std::as_writable_bytes(std::span(out)));
  return out;
}

TEST(InputFile, ReadsAtOffsets) {
  const TempFolder folder;
  const InputFile file(folder.write("a", "0123456789"));
  EXPECT_EQ(file.bytes(), 10u);
  EXPECT_EQ(read_back(file, 3, 4), "3456");
  EXPECT_EQ(read_back(file, 10, 0), "");
  EXPECT_EQ(file.read_text(10), "0123456789");
  file.advise_sequential();
  file.drop_cache({0, 10});
  EXPECT_EQ(read_back(file, 0, 2), "01");
}

TEST(InputFile, GoesOnAfterInterruptsAndShortReads) {
  const TempFolder folder;
  const InputFile file(folder.write("a", "0123456789"));
  longest_transfer = 3;
  pread_fault = {EINTR, 2};
  EXPECT_EQ(read_back(file, 0, 10), "0123456789");
  longest_transfer = SIZE_MAX;
}

TEST(InputFile, MovesWithItsDescriptor) {
  const TempFolder folder;
  InputFile first(folder.write("a", "aaaa"));
  const int fd = first.fd();
  InputFile second = std::move(first);
  EXPECT_EQ(second.fd(), fd);
  InputFile third(folder.write("b", "bbbb"));
  third = std::move(second);
  EXPECT_EQ(read_back(third, 0, 4), "aaaa");
}

TEST(InputFile, FollowsLinksAndKeepsTheIdentityOfOpenTime) {
  const TempFolder folder;
  const fs::path target = folder.write("blob", "data");
  const InputFile file(folder.link("name", "blob"));
  EXPECT_EQ(file.id(), InputFile(target).id());
  EXPECT_EQ(file.current_id(), file.id());
  folder.write("blob", "other data");
  EXPECT_NE(file.current_id(), file.id());
  EXPECT_EQ(file.current_id().inode, file.id().inode);
}

TEST(InputFile, MissingFile) {
  const TempFolder folder;
  const fs::path path = folder / "none";
  expect_error(Exit::kBadInput, path.native() + ": cannot open: No such file or directory", [&] { InputFile file(path); });
}

TEST(InputFile, DanglingLinkNamesItsTarget) {
  const TempFolder folder;
  const fs::path path = folder.link("name", "../blobs/abc");
  expect_error(Exit::kBadInput, path.native() + ": symbolic link to ../blobs/abc, which does not exist",
               [&] { InputFile file(path); });
}

TEST(InputFile, LinkLoop) {
  const TempFolder folder;
  const fs::path path = folder.link("loop", "loop");
  expect_error(Exit::kBadInput, path.native() + ": cannot open: Too many levels of symbolic links",
               [&] { InputFile file(path); });
}

TEST(InputFile, RefusesWhatIsNotARegularFileWithoutWaiting) {
  const TempFolder folder;
  const fs::path fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  expect_error(Exit::kBadInput, fifo.native() + ": is a FIFO, not a regular file", [&] { InputFile file(fifo); });
  expect_error(Exit::kBadInput, folder.path().native() + ": is a folder, not a regular file",
               [&] { InputFile file(folder.path()); });
  expect_error(Exit::kBadInput, "/dev/zero: is a device, not a regular file", [&] { InputFile file("/dev/zero"); });
}

TEST(InputFile, RefusesASocket) {
  const TempFolder folder;
  const fs::path path = folder / "socket";
  ASSERT_EQ(mknod(path.c_str(), S_IFSOCK | 0600, 0), 0);
  expect_error(Exit::kBadInput, path.native() + ": is a socket or device, not a regular file", [&] { InputFile file(path); });
}

TEST(InputFile, ReadBeyondTheEnd) {
  const TempFolder folder;
  const InputFile file(folder.write("a", "0123456789"));
  const std::string path = (folder / "a").native();
  expect_error(Exit::kBadInput, path + ": file ended at 10, expected 8 + 4 bytes (truncated while reading?)",
               [&] { read_back(file, 8, 4); });
  expect_error(Exit::kBadInput, path + ": file ended at 10, expected 18446744073709551615 + 4 bytes (truncated while reading?)",
               [&] { read_back(file, UINT64_MAX, 4); });
}

TEST(InputFile, TruncatedWhileReading) {
  const TempFolder folder;
  const InputFile file(folder.write("a", "0123456789"));
  fs::resize_file(folder / "a", 5);
  expect_error(Exit::kBadInput, (folder / "a").native() + ": file ended at 5, expected 0 + 10 bytes (truncated while reading?)",
               [&] { file.read_text(100); });
}

TEST(InputFile, IoErrorIsTheSystems) {
  const TempFolder folder;
  const InputFile file(folder.write("a", "0123456789"));
  pread_fault = {EIO, 1};
  expect_error(Exit::kSystem, (folder / "a").native() + ": cannot read: Input/output error", [&] { read_back(file, 0, 4); });
}

TEST(InputFile, TextLargerThanAllowed) {
  const TempFolder folder;
  const InputFile file(folder.write("a", "0123456789"));
  expect_error(Exit::kBadInput, (folder / "a").native() + ": 10 bytes, expected at most 9", [&] { file.read_text(9); });
}

TEST(OutputFile, WritesAtOffsetsAndReadsBack) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  file.reserve(10);
  EXPECT_EQ(file.bytes(), 10u);
  EXPECT_GT(file.allocated_bytes(), 0u);
  file.write_exact(6, as_bytes("6789"));
  file.write_exact(0, as_bytes("012345"));
  std::string back(10, '?');
  file.read_exact(0, std::as_writable_bytes(std::span(back)));
  EXPECT_EQ(back, "0123456789");
  file.start_writeback({0, 10});
  file.drop_cache({0, 10});
  file.sync_data();
  file.sync();
  file.truncate(4);
  EXPECT_EQ(folder.read("out"), "0123");
}

TEST(OutputFile, GoesOnAfterInterruptsAndShortWrites) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  longest_transfer = 3;
  pwrite_fault = {EINTR, 2};
  file.write_exact(0, as_bytes("0123456789"));
  longest_transfer = SIZE_MAX;
  EXPECT_EQ(folder.read("out"), "0123456789");
}

TEST(OutputFile, ReopensWhatWasWritten) {
  const TempFolder folder;
  OutputFile(folder / "out", OutputFile::Mode::kCreate).write_exact(0, as_bytes("abc"));
  OutputFile again(folder / "out", OutputFile::Mode::kReopen);
  EXPECT_EQ(again.bytes(), 3u);
  again.write_exact(3, as_bytes("def"));
  EXPECT_EQ(folder.read("out"), "abcdef");
}

TEST(OutputFile, ReserveFallsBackWhereBlocksCannotBeReserved) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  for (const int unsupported : {EOPNOTSUPP, ENOSYS}) {
    fallocate_fault = {unsupported, 1};
    file.reserve(unsupported == EOPNOTSUPP ? 1000 : 2000);
    EXPECT_EQ(file.bytes(), unsupported == EOPNOTSUPP ? 1000u : 2000u);
  }
  fallocate_fault = {EOPNOTSUPP, 1};
  file.reserve(10);
  EXPECT_EQ(file.bytes(), 2000u) << "never made shorter";
  fallocate_fault = {EINTR, 3};
  file.reserve(3000);
  EXPECT_EQ(file.bytes(), 3000u);
}

TEST(OutputFile, FullDisk) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  const std::string path = (folder / "out").native();
  fallocate_fault = {ENOSPC, 1};
  expect_error(Exit::kSystem, path + ": cannot reserve 4096 bytes: No space left on device", [&] { file.reserve(4096); });
  pwrite_fault = {ENOSPC, 1};
  expect_error(Exit::kSystem, path + ": cannot write: No space left on device", [&] { file.write_exact(0, as_bytes("x")); });
  pwrite_fault = {EDQUOT, 1};
  expect_error(Exit::kSystem, path + ": cannot write: Disk quota exceeded", [&] { file.write_exact(0, as_bytes("x")); });
}

TEST(OutputFile, SizeBeyondTheFileSystem) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  const std::string path = (folder / "out").native();
  expect_error(Exit::kSystem, path + ": cannot reserve 18446744073709551615 bytes: File too large",
               [&] { file.reserve(UINT64_MAX); });
  expect_error(Exit::kSystem, path + ": cannot write: File too large", [&] { file.write_exact(UINT64_MAX, as_bytes("x")); });
}

TEST(OutputFile, FileSizeLimitOfTheProcess) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit limit{.rlim_cur = 4096, .rlim_max = old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Error error = error_of([&] { file.write_exact(0, as_bytes(std::string(5000, 'x'))); });
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(error.message(), (folder / "out").native() + ": cannot write: File too large");
  EXPECT_EQ(error.code(), Exit::kSystem);
}

TEST(OutputFile, FailedFlush) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  const std::string path = (folder / "out").native();
  fdatasync_fault = {EIO, 1};
  expect_error(Exit::kSystem, path + ": cannot flush to disk: Input/output error", [&] { file.sync_data(); });
  fsync_fault = {EIO, 1};
  expect_error(Exit::kSystem, path + ": cannot flush to disk: Input/output error", [&] { file.sync(); });
}

TEST(OutputFile, ReadBackBeyondTheEnd) {
  const TempFolder folder;
  OutputFile file(folder / "out", OutputFile::Mode::kCreate);
  std::string back(4, '?');
  expect_error(Exit::kSystem, (folder / "out").native() + ": file ended at 0, expected 0 + 4 bytes (truncated while reading?)",
               [&] { file.read_exact(0, std::as_writable_bytes(std::span(back))); });
}

TEST(OutputFile, NeverTouchesWhatExists) {
  const TempFolder folder;
  folder.write("file", "precious");
  folder.link("link", "file");
  for (const char* name : {"file", "link"}) {
    const fs::path path = folder / name;
    expect_error(Exit::kCannotCreate, path.native() + ": cannot create: File exists",
                 [&] { OutputFile file(path, OutputFile::Mode::kCreate); });
  }
  EXPECT_EQ(folder.read("file"), "precious");
}

TEST(OutputFile, CannotCreateInAMissingFolder) {
  const TempFolder folder;
  const fs::path path = folder / "none/out";
  expect_error(Exit::kCannotCreate, path.native() + ": cannot create: No such file or directory",
               [&] { OutputFile file(path, OutputFile::Mode::kCreate); });
}

TEST(OutputFile, ReopensOnlyRegularFilesAndNoLinks) {
  const TempFolder folder;
  folder.write("file", "x");
  const fs::path link = folder.link("link", "file");
  const fs::path fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const fs::path none = folder / "none";
  expect_error(Exit::kCannotCreate, link.native() + ": cannot reopen: Too many levels of symbolic links",
               [&] { OutputFile file(link, OutputFile::Mode::kReopen); });
  expect_error(Exit::kCannotCreate, fifo.native() + ": is a FIFO, not a regular file",
               [&] { OutputFile file(fifo, OutputFile::Mode::kReopen); });
  expect_error(Exit::kCannotCreate, none.native() + ": cannot reopen: No such file or directory",
               [&] { OutputFile file(none, OutputFile::Mode::kReopen); });
}

TEST(RenameNoReplace, MovesToANewName) {
  const TempFolder folder;
  for (const int unsupported : {0, EINVAL, ENOSYS}) {
    folder.write("from", "text");
    renameat2_fault = {unsupported, unsupported == 0 ? 0 : 1};
    rename_no_replace(folder / "from", folder / "to");
    EXPECT_FALSE(fs::exists(folder / "from")) << unsupported;
    EXPECT_EQ(folder.read("to"), "text");
    fs::remove(folder / "to");
  }
}

TEST(RenameNoReplace, KeepsAnExistingTarget) {
  const TempFolder folder;
  for (const int unsupported : {0, EINVAL, ENOSYS}) {
    folder.write("from", "new");
    folder.write("to", "old");
    renameat2_fault = {unsupported, unsupported == 0 ? 0 : 1};
    expect_error(Exit::kCannotCreate,
                 (folder / "to").native() + ": cannot move " + (folder / "from").native() + " here: File exists",
                 [&] { rename_no_replace(folder / "from", folder / "to"); });
    EXPECT_EQ(folder.read("to"), "old");
    EXPECT_EQ(folder.read("from"), "new");
  }
}

TEST(RenameNoReplace, FullDiskIsTheSystems) {
  const TempFolder folder;
  folder.write("from", "new");
  renameat2_fault = {ENOSPC, 1};
  expect_error(Exit::kSystem,
               (folder / "to").native() + ": cannot move " + (folder / "from").native() + " here: No space left on device",
               [&] { rename_no_replace(folder / "from", folder / "to"); });
}

TEST(WriteTextFileDurably, ReplacesAtomicallyAndLeavesNothingElse) {
  const TempFolder folder;
  write_text_file_durably(folder / "a.txt", "one");
  write_text_file_durably(folder / "a.txt", "two");
  EXPECT_EQ(folder.read("a.txt"), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(WriteTextFileDurably, WritesIntoTheWorkingFolder) {
  const TempFolder folder;
  const fs::path old = fs::current_path();
  fs::current_path(folder.path());
  write_text_file_durably("a.txt", "text");
  fs::current_path(old);
  EXPECT_EQ(folder.read("a.txt"), "text");
}

TEST(WriteTextFileDurably, FailureKeepsTheOldTextAndRemovesTheTemporary) {
  const TempFolder folder;
  folder.write("a.txt", "old");
  pwrite_fault = {ENOSPC, 1};
  EXPECT_EQ(error_of([&] { write_text_file_durably(folder / "a.txt", "new"); }).code(), Exit::kSystem);
  fsync_fault = {EIO, 1};
  EXPECT_EQ(error_of([&] { write_text_file_durably(folder / "a.txt", "new"); }).code(), Exit::kSystem);
  EXPECT_EQ(folder.read("a.txt"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(WriteTextFileDurably, TargetIsAFolder) {
  const TempFolder folder;
  fs::create_directory(folder / "a");
  expect_error(Exit::kCannotCreate, (folder / "a").native() + ": cannot replace: Is a directory",
               [&] { write_text_file_durably(folder / "a", "new"); });
}

TEST(SyncFolder, FlushesOrSaysWhyNot) {
  const TempFolder folder;
  sync_folder(folder.path());
  fsync_fault = {EINVAL, 1};
  sync_folder(folder.path());  // a file system that cannot
  fsync_fault = {EIO, 1};
  expect_error(Exit::kSystem, folder.path().native() + ": cannot flush the folder to disk: Input/output error",
               [&] { sync_folder(folder.path()); });
  expect_error(Exit::kSystem, (folder / "none").native() + ": cannot open the folder: No such file or directory",
               [&] { sync_folder(folder / "none"); });
}

TEST(FreeDiskBytes, AsksTheFileSystem) {
  const TempFolder folder;
  EXPECT_GT(free_disk_bytes(folder.path()), 0u);
  expect_error(Exit::kSystem, (folder / "none").native() + ": cannot ask for free disk space: No such file or directory",
               [&] { free_disk_bytes(folder / "none"); });
}

}  // namespace
}  // namespace ggufmill
