// The one exception of the program, and the one table of exit codes.
//
// An Error says what is wrong with bytes, files or the user's choices. Its message is one line, "WHERE: WHY" or
// "WHERE: tensor "NAME": WHY", with found and expected values. It is thrown by constructors and readers, so that an object
// which exists is valid, and caught once, in cmd/main. A broken promise of the program's own is an assert, not an Error.
#pragma once

#include <exception>
#include <span>
#include <string>
#include <string_view>

namespace ggufmill {

// Exit codes of the program (sysexits where one fits). docs, man page and tests read exit_codes().
enum class Exit : int {
  kOk = 0,
  kDifference = 1,
  kUsage = 64,
  kBadInput = 65,
  kInternal = 70,
  kCannotCreate = 73,
  kSystem = 74,
  kTryAgain = 75,
};

struct ExitCodeRow {
  Exit code;
  std::string_view meaning;
};
std::span<const ExitCodeRow> exit_codes();

// `message` is one line without a trailing period; `hint`, where there is one, is the next step for the user.
class Error : public std::exception {
 public:
  Error(Exit code, std::string message, std::string hint = "");
  const char* what() const noexcept override { return message_.c_str(); }
  Exit code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& hint() const noexcept { return hint_; }

 private:
  Exit code_;
  std::string message_;
  std::string hint_;
};

// Error of a failed system call: "WHERE: DOING: strerror(errno_value)". Disk full, quota and I/O errors are kSystem.
Error system_error(std::string_view where, std::string_view doing, int errno_value, Exit code = Exit::kSystem);

// `text` with control characters and invalid UTF-8 escaped as \xNN, for names that come from files; cut after
// `max_chars` characters with "...".
std::string printable(std::string_view text, size_t max_chars = 160);

// `tensor "NAME"` with the name made printable.
std::string quoted_tensor(std::string_view name);

// "a, b, c and 12 more": the first `max_items` items, so that a message about thousands of names stays one readable line.
// The items are put in as they are.
std::string listed(std::span<const std::string> items, size_t max_items = 8, std::string_view separator = ", ");

}  // namespace ggufmill
