#include "convert/work_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string boot_id() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

std::string start_time(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line, field;
  std::getline(file, line);
  std::istringstream rest(line.substr(line.rfind(')') + 1));
  for (int i = 3; i <= 22; ++i) rest >> field;
  return field;
}

// A process that is gone.
pid_t dead_pid() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  waitpid(pid, nullptr, 0);
  return pid;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(WorkFolder, HoldsTheLockWhileItLives) {
  const TempFolder folder;
  const fs::path path = folder / "out.ggufmill";
  {
    const WorkFolder work(path, false);
    EXPECT_EQ(folder.read("out.ggufmill/lock"),
              host_name() + " " + boot_id() + " " + std::to_string(getpid()) + " " + start_time(getpid()) + "\n");
    EXPECT_EQ(names_in(path), std::vector<std::string>{"lock"});
    EXPECT_EQ(work.part("a.gguf"), path / "a.gguf.part");
    EXPECT_EQ(work.journal(), path / "journal");
    EXPECT_EQ(work.old_folder(), path / "old");
  }
  EXPECT_TRUE(names_in(path).empty()) << "given back; the folder stays";
}

TEST(WorkFolder, SecondTakerIsRefusedWithTheHolder) {
  const TempFolder folder;
  const WorkFolder work(folder / "w", false);
  for (const bool break_lock : {false, true}) {
    expect_error(
        Exit::kTryAgain,
        (folder / "w").string() + ": process " + std::to_string(getpid()) + " on host " + host_name() + " holds this output",
        [&] { WorkFolder(folder / "w", break_lock); });
  }
  EXPECT_EQ(names_in(folder / "w"), std::vector<std::string>{"lock"}) << "the refused leave nothing";
}

TEST(WorkFolder, LockOfADeadProcessIsTakenOver) {
  const TempFolder folder;
  const std::string stale[] = {host_name() + " " + boot_id() + " " + std::to_string(dead_pid()) + " 12345\n",
                               host_name() + " " + boot_id() + " " + std::to_string(getpid()) + " 1\n",  // the pid came again
                               host_name() + " 00000000-0000-0000-0000-000000000000 " + std::to_string(getpid()) + " " +
                                   start_time(getpid()) + "\n",  // before the boot
                               "", "nonsense\n"};
  for (const std::string& text : stale) {
    folder.write("w/lock", text);
    const WorkFolder work(folder / "w", false);
    EXPECT_EQ(names_in(folder / "w"), std::vector<std::string>{"lock"}) << text;
    EXPECT_NE(folder.read("w/lock"), text);
  }
}

TEST(WorkFolder, LockOfAProcessThatNobodyWaitedForIsTakenOver) {
  const TempFolder folder;
  const pid_t zombie = fork();
  if (zombie == 0) _exit(0);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(zombie), &info, WEXITED | WNOWAIT);
  folder.write("w/lock", host_name() + " " + boot_id() + " " + std::to_string(zombie) + " " + start_time(zombie) + "\n");
  EXPECT_NO_THROW(WorkFolder(folder / "w", false));
  waitpid(zombie, nullptr, 0);
}

TEST(WorkFolder, OtherHostIsRespectedUntilTheLockIsBroken) {
  const TempFolder folder;
  folder.write("w/lock", "elsewhere " + boot_id() + " 1 1\n");
  const Error error = error_of([&] { WorkFolder(folder / "w", false); });
  EXPECT_EQ(error.code(), Exit::kTryAgain);
  EXPECT_EQ(error.message(), (folder / "w").string() + ": process 1 on host elsewhere holds this output");
  EXPECT_EQ(error.hint(), "if that process is gone, add --break-lock");
  EXPECT_NO_THROW(WorkFolder(folder / "w", true));
}

TEST(WorkFolder, FlockedLockIsHeldWhateverItsTextSays) {
  // The holder lives where this process cannot see its pid: another container, say.
  const TempFolder folder;
  folder.write("w/lock", host_name() + " " + boot_id() + " " + std::to_string(dead_pid()) + " 12345\n");
  const int fd = open((folder / "w/lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  EXPECT_EQ(error_of([&] { WorkFolder(folder / "w", true); }).code(), Exit::kTryAgain);
  close(fd);
  EXPECT_NO_THROW(WorkFolder(folder / "w", false));
}

TEST(WorkFolder, LinksAreNotFollowed) {
  const TempFolder folder;
  fs::create_directory(folder / "elsewhere");
  folder.link("w", folder / "elsewhere");
  expect_error(Exit::kCannotCreate, (folder / "w").string() + ": exists and is not a folder",
               [&] { WorkFolder(folder / "w", true); });
  folder.write("file", "");
  expect_error(Exit::kCannotCreate, (folder / "file").string() + ": exists and is not a folder",
               [&] { WorkFolder(folder / "file", true); });
  fs::create_directory(folder / "v");
  folder.link("v/lock", folder / "elsewhere/lock");
  EXPECT_NE(error_of([&] { WorkFolder(folder / "v", true); }).code(), Exit::kOk);
  EXPECT_TRUE(names_in(folder / "elsewhere").empty());
}

TEST(WorkFolder, FolderThatCannotBeMade) {
  const TempFolder folder;
  expect_error(Exit::kCannotCreate, (folder / "no/w").string() + ": cannot create: No such file or directory",
               [&] { WorkFolder(folder / "no/w", false); });
}

TEST(WorkFolder, DiscardsAndRemoves) {
  const TempFolder folder;
  folder.write("elsewhere/precious", "x");
  WorkFolder work(folder / "w", false);
  folder.write("w/journal", "x");
  folder.write("w/a.gguf.part", "x");
  folder.write("w/old/a.gguf", "x");
  folder.link("w/link", folder / "elsewhere");
  work.discard_work();
  EXPECT_EQ(names_in(folder / "w"), std::vector<std::string>{"lock"});
  EXPECT_TRUE(fs::exists(folder / "elsewhere/precious")) << "a link is removed, not what it points to";
  folder.write("w/journal", "x");
  work.remove();
  EXPECT_FALSE(fs::exists(folder / "w"));
}

// ---- races between processes

// What became of a taker, as its exit code.
enum : int { kWon = 0, kRefused = 1, kOther = 2 };

// Takes the lock and keeps it until the pipe's other end is closed.
int take_and_hold(const fs::path& path, int until_closed) {
  try {
    const WorkFolder work(path, false);
    char byte;
    [[maybe_unused]] const ssize_t end = read(until_closed, &byte, 1);
    return kWon;
  } catch (const Error& error) {
    return error.code() == Exit::kTryAgain ? kRefused : kOther;
  }
}

TEST(WorkFolder, Of200RacingTakersOneWins) {
  constexpr int kTakers = 200;
  const TempFolder folder;
  folder.write("w/lock",
               host_name() + " " + boot_id() + " " + std::to_string(dead_pid()) + " 12345\n");  // all of them see a stale lock
  int start[2], end[2];
  ASSERT_EQ(pipe(start), 0);
  ASSERT_EQ(pipe(end), 0);
  std::vector<pid_t> takers;
  for (int i = 0; i < kTakers; ++i) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      close(start[1]), close(end[1]);
      char byte;
      [[maybe_unused]] const ssize_t go = read(start[0], &byte, 1);  // until all are there
      _exit(take_and_hold(folder / "w", end[0]));
    }
    takers.push_back(pid);
  }
  close(start[0]), close(end[0]);
  close(start[1]);
  int count[4] = {};
  // The winner ends last: when all others have.
  for (int left = kTakers; left > 0; --left) {
    if (left == 1) close(end[1]);
    int status = 0;
    ASSERT_GT(waitpid(-1, &status, 0), 0);
    ++count[WIFEXITED(status) ? std::min(3, WEXITSTATUS(status)) : 3];
  }
  EXPECT_EQ(count[kWon], 1);
  EXPECT_EQ(count[kRefused], kTakers - 1);
  EXPECT_TRUE(names_in(folder / "w").empty());
}

TEST(WorkFolder, TakersMeetAHolderThatRemovesTheFolder) {
  // Finishing holders remove the folder under takers: each of these gets the lock or a clean refusal, and never two at a time.
  constexpr int kTakers = 16, kTurns = 40;
  const TempFolder folder;
  std::vector<pid_t> takers;
  for (int i = 0; i < kTakers; ++i) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      for (int turn = 0; turn < kTurns; ++turn) {
        try {
          WorkFolder work(folder / "w", false);
          const int alone = open((folder / "alone").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
          if (alone < 0) _exit(kOther);
          close(alone);
          unlink((folder / "alone").c_str());
          work.remove();
        } catch (const Error& error) {
          if (error.code() != Exit::kTryAgain) _exit(kOther);
        } catch (...) {
          _exit(kOther);
        }
      }
      _exit(kWon);
    }
    takers.push_back(pid);
  }
  for (const pid_t pid : takers) {
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kWon) << status;
  }
}

}  // namespace
}  // namespace ggufmill
