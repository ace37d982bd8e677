// Reading and writing of single files; what happens to names (rename, folders) is in durable_names.cc.
//
// Every loop here goes on after EINTR and after a short transfer. Files are opened with O_NONBLOCK, so that a FIFO in place of
// a shard is an error at once and not a wait for its writer; on regular files the flag changes nothing.
#include "formats/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace ggufmill {
namespace {

constexpr mode_t kNewFileMode = 0666;      // less the umask, as for any file a user creates
constexpr uint64_t kStatBlockBytes = 512;  // unit of st_blocks, whatever the file system's block size

template <typename Call>
auto retry_interrupted(Call&& call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

// Is this errno about the path the user named (rather than about the machine)?
bool is_about_path(int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EACCES:
    case EPERM:
    case EISDIR:
    case ENXIO:
    case ENODEV:
    case EEXIST:
    case EROFS:
    case EINVAL:
      return true;
    default:
      return false;
  }
}

std::string where(const std::filesystem::path& path) { return printable(path.native(), 4096); }

std::string_view kind_of(mode_t mode) {
  return S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" : "a device";
}

Error open_error(const std::filesystem::path& path, int errno_value) {
  std::error_code ignored;
  if (errno_value == ENOENT && std::filesystem::is_symlink(path, ignored)) {
    const std::string target = std::filesystem::read_symlink(path, ignored).native();
    return Error(Exit::kBadInput, where(path) + ": symbolic link to " + printable(target) + ", which does not exist");
  }
  if (errno_value == ENXIO) return Error(Exit::kBadInput, where(path) + ": is a socket or device, not a regular file");
  return system_error(path.native(), "cannot open", errno_value, is_about_path(errno_value) ? Exit::kBadInput : Exit::kSystem);
}

struct stat stat_of(int fd, const std::filesystem::path& path) {
  struct stat st;
  if (fstat(fd, &st) != 0) throw system_error(path.native(), "cannot stat", errno);
  return st;
}

FileId file_id(const struct stat& st) {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  return {.device = st.st_dev,
          .inode = st.st_ino,
          .bytes = static_cast<uint64_t>(st.st_size),
          .mtime_ns = st.st_mtim.tv_sec * kNanoseconds + st.st_mtim.tv_nsec,
          .ctime_ns = st.st_ctim.tv_sec * kNanoseconds + st.st_ctim.tv_nsec};
}

// Closes a descriptor unless it was handed on: for constructors that throw halfway.
class FdGuard {
 public:
  explicit FdGuard(int fd) : fd_(fd) {}
  FdGuard(const FdGuard&) = delete;
  FdGuard& operator=(const FdGuard&) = delete;
  ~FdGuard() {
    if (fd_ >= 0) close(fd_);
  }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

bool fits_off_t(uint64_t file_offset, uint64_t bytes) {
  constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<off_t>::max());
  return file_offset <= kMax && bytes <= kMax - file_offset;
}

// Reads up to out.size() bytes; fewer only at the end of the file.
size_t pread_all(int fd, const std::filesystem::path& path, uint64_t file_offset, std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const auto position = static_cast<off_t>(file_offset + done);
    const ssize_t n = retry_interrupted([&] { return pread(fd, out.data() + done, out.size() - done, position); });
    if (n < 0) throw system_error(path.native(), "cannot read", errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

void read_exact_or_throw(int fd, const std::filesystem::path& path, uint64_t file_offset, std::span<std::byte> out, Exit code) {
  uint64_t end = file_offset;
  if (fits_off_t(file_offset, out.size())) {
    const size_t done = pread_all(fd, path, file_offset, out);
    if (done == out.size()) return;
    end += done;
  }
  const auto file_bytes = static_cast<uint64_t>(stat_of(fd, path).st_size);
  throw Error(code, where(path) + ": file ended at " + std::to_string(std::min(end, file_bytes)) + ", expected " +
                        std::to_string(file_offset) + " + " + std::to_string(out.size()) + " bytes (truncated while reading?)");
}

void drop_pages(int fd, Extent extent) {
  if (!fits_off_t(extent.file_offset, extent.bytes)) return;
  posix_fadvise(fd, static_cast<off_t>(extent.file_offset), static_cast<off_t>(extent.bytes), POSIX_FADV_DONTNEED);
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  const int fd = retry_interrupted([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
  if (fd < 0) throw open_error(path, errno);
  FdGuard guard(fd);
  const struct stat st = stat_of(fd, path);
  if (!S_ISREG(st.st_mode)) {
    throw Error(Exit::kBadInput, where(path) + ": is " + std::string(kind_of(st.st_mode)) + ", not a regular file");
  }
  id_ = file_id(st);
  fd_ = guard.release();
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), id_(other.id_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(id_, other.id_);
  return *this;
}

InputFile::~InputFile() {
  if (fd_ >= 0) close(fd_);
}

FileId InputFile::current_id() const { return file_id(stat_of(fd_, path_)); }

void InputFile::read_exact(uint64_t file_offset, std::span<std::byte> out) const {
  read_exact_or_throw(fd_, path_, file_offset, out, Exit::kBadInput);
}

std::string InputFile::read_text(uint64_t max_bytes) const {
  if (bytes() > max_bytes) {
    throw Error(Exit::kBadInput,
                where(path_) + ": " + std::to_string(bytes()) + " bytes, expected at most " + std::to_string(max_bytes));
  }
  std::string text(bytes(), '\0');
  read_exact(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

void InputFile::advise_sequential() const { posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL); }

void InputFile::drop_cache(Extent extent) const { drop_pages(fd_, extent); }

OutputFile::OutputFile(const std::filesystem::path& path, Mode mode) : path_(path) {
  const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (mode == Mode::kCreate ? O_CREAT | O_EXCL : 0);
  const int fd = retry_interrupted([&] { return open(path.c_str(), flags, kNewFileMode); });
  if (fd < 0) {
    throw system_error(path.native(), mode == Mode::kCreate ? "cannot create" : "cannot reopen", errno,
                       is_about_path(errno) ? Exit::kCannotCreate : Exit::kSystem);
  }
  FdGuard guard(fd);
  const struct stat st = stat_of(fd, path);
  if (!S_ISREG(st.st_mode)) {
    throw Error(Exit::kCannotCreate, where(path) + ": is " + std::string(kind_of(st.st_mode)) + ", not a regular file");
  }
  fd_ = guard.release();
}

OutputFile::OutputFile(OutputFile&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
}

void OutputFile::reserve(uint64_t bytes) {
  if (bytes == 0) return;
  if (!fits_off_t(0, bytes)) throw system_error(path_.native(), "cannot reserve " + std::to_string(bytes) + " bytes", EFBIG);
  const auto size = static_cast<off_t>(bytes);
  int result = retry_interrupted([&] { return fallocate(fd_, 0, 0, size); });
  if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
    // Never shorter: a reopened file may hold more than this.
    if (this->bytes() >= bytes) return;
    result = retry_interrupted([&] { return ftruncate(fd_, size); });
  }
  if (result != 0) throw system_error(path_.native(), "cannot reserve " + std::to_string(bytes) + " bytes", errno);
}

void OutputFile::truncate(uint64_t bytes) {
  if (retry_interrupted([&] { return ftruncate(fd_, static_cast<off_t>(bytes)); }) != 0) {
    throw system_error(path_.string(), "cannot truncate", errno);
  }
}

void OutputFile::write_exact(uint64_t file_offset, std::span<const std::byte> data) {
  if (!fits_off_t(file_offset, data.size())) throw system_error(path_.native(), "cannot write", EFBIG);
  size_t done = 0;
  while (done < data.size()) {
    const auto position = static_cast<off_t>(file_offset + done);
    const ssize_t n = retry_interrupted([&] { return pwrite(fd_, data.data() + done, data.size() - done, position); });
    if (n < 0) throw system_error(path_.native(), "cannot write", errno);
    if (n == 0) throw system_error(path_.native(), "cannot write", EIO);  // nothing written, no reason given: do not spin
    done += static_cast<size_t>(n);
  }
}

void OutputFile::read_exact(uint64_t file_offset, std::span<std::byte> out) const {
  read_exact_or_throw(fd_, path_, file_offset, out, Exit::kSystem);
}

uint64_t OutputFile::bytes() const { return static_cast<uint64_t>(stat_of(fd_, path_).st_size); }

uint64_t OutputFile::allocated_bytes() const { return static_cast<uint64_t>(stat_of(fd_, path_).st_blocks) * kStatBlockBytes; }

void OutputFile::start_writeback(Extent extent) const {
  if (!fits_off_t(extent.file_offset, extent.bytes)) return;
  sync_file_range(fd_, static_cast<off_t>(extent.file_offset), static_cast<off_t>(extent.bytes), SYNC_FILE_RANGE_WRITE);
}

void OutputFile::drop_cache(Extent extent) const { drop_pages(fd_, extent); }

void OutputFile::sync_data() {
  if (fdatasync(fd_) != 0) throw system_error(path_.native(), "cannot flush to disk", errno);
}

void OutputFile::sync() {
  if (fsync(fd_) != 0) throw system_error(path_.native(), "cannot flush to disk", errno);
}

}  // namespace ggufmill
