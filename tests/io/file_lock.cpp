#include <csignal>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <fatwood/io/file.h>
#include <fatwood/io/file_lock.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

TEST(FileLock, a_second_holder_is_refused_and_told_who_has_it) {
  const TemporaryFolder folder;
  std::optional<FileLock> lock(folder / "lock");
  EXPECT_THAT(thrown_by([&] { FileLock second(folder / "lock"); }),
              error_with(ErrorKind::io, "lock: in use by process " + std::to_string(::getpid())));
  lock.reset();
  EXPECT_FALSE(thrown_by([&] { FileLock second(folder / "lock"); }).thrown);
}

TEST(FileLock, a_killed_holder_leaves_no_lock_behind) {
  const TemporaryFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const FileLock lock(folder / "lock");
    [[maybe_unused]] const ssize_t written = ::write(ready[1], "x", 1);
    while (true) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THAT(thrown_by([&] { FileLock lock(folder / "lock"); }),
              error_with(ErrorKind::io, "process " + std::to_string(child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(thrown_by([&] { FileLock lock(folder / "lock"); }).thrown);
  EXPECT_EQ(read_text_file(folder / "lock", 99), std::to_string(::getpid()) + "\n");
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace fatwood
