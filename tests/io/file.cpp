#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <fatwood/io/file.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

namespace fs = std::filesystem;

TEST(File, what_is_written_is_read) {
  const TemporaryFolder folder;
  const std::string text("a\0b\xff\n", 5);
  write_file(folder / "a", text);
  EXPECT_EQ(read_text_file(folder / "a", 5), text);
  EXPECT_EQ(read_file(folder / "a", 5), (Bytes{'a', 0, 'b', 0xff, '\n'}));
  write_file(folder / "a", "");
  EXPECT_EQ(read_text_file(folder / "a", 0), "");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(File, a_file_over_the_limit_is_refused) {
  const TemporaryFolder folder;
  write_file(folder / "a", "12345");
  EXPECT_THAT(thrown_by([&] { read_file(folder / "a", 4); }),
              error_with(ErrorKind::data, "a: 5 bytes, wanted at most 4"));
}

TEST(File, a_huge_sparse_file_is_refused_without_memory_for_it) {
  const TemporaryFolder folder;
  { std::ofstream(folder / "a").put('x'); }
  ASSERT_EQ(::truncate((folder / "a").c_str(), off_t{1} << 42), 0);
  EXPECT_THAT(thrown_by([&] { read_file(folder / "a", 1 << 20); }),
              error_with(ErrorKind::data, "4398046511104 bytes"));
}

TEST(File, what_cannot_be_read_is_named_with_its_reason) {
  const TemporaryFolder folder;
  EXPECT_THAT(thrown_by([&] { read_file(folder / "none", 9); }),
              error_with(ErrorKind::io, "[read_file] " + (folder / "none").string() +
                                            ": open: No such file or directory"));
  EXPECT_THAT(thrown_by([&] { read_file(folder.path(), 9); }),
              error_with(ErrorKind::io, "a folder, wanted a file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(thrown_by([&] { read_file(folder / "pipe", 9); }),
              error_with(ErrorKind::io, "not a regular file"));
}

TEST(File, a_write_replaces_a_file_whole_and_follows_no_link) {
  const TemporaryFolder folder;
  write_file(folder / "old", "old");
  fs::create_symlink(folder / "old", folder / "link");
  write_file(folder / "link", "new");
  EXPECT_EQ(read_text_file(folder / "old", 9), "old");
  EXPECT_EQ(read_text_file(folder / "link", 9), "new");
  EXPECT_FALSE(fs::is_symlink(folder / "link"));
}

TEST(File, nothing_is_visible_before_commit_and_nothing_stays_without_it) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write(as_bytes("new, but never finished"));
    EXPECT_EQ(read_text_file(folder / "a", 99), "old");
    EXPECT_EQ(folder.entries(), 2);
  }
  EXPECT_EQ(read_text_file(folder / "a", 99), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(File, new_files_get_the_permissions_of_the_umask) {
  const TemporaryFolder folder;
  const mode_t before = ::umask(027);
  write_file(folder / "a", "x");
  ::umask(before);
  EXPECT_EQ(fs::status(folder / "a").permissions(), static_cast<fs::perms>(0640));
}

TEST(File, a_failed_write_names_path_and_reason_and_leaves_the_folder_as_it_was) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  EXPECT_THAT(thrown_by([&] { write_file(folder.path() / "no" / "a", "x"); }),
              error_with(ErrorKind::io, "No such file or directory"));
  fs::create_directory(folder / "taken");
  EXPECT_THAT(thrown_by([&] { write_file(folder / "taken", "x"); }),
              error_with(ErrorKind::io, "taken: rename: Is a directory"));
  EXPECT_EQ(folder.entries(), 2);
}

TEST(File, a_full_disk_leaves_the_old_file_and_no_temporary_one) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  // A file-size limit makes write(2) come up short and then fail, as a full disk does.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 1000;
  ::setrlimit(RLIMIT_FSIZE, &small);
  const Thrown thrown = thrown_by([&] { write_file(folder / "a", std::string(5000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(thrown, error_with(ErrorKind::io, "write: File too large"));
  EXPECT_EQ(read_text_file(folder / "a", 99), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(File, names_as_long_as_a_name_can_be_are_written) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  write_file(folder / name, "x");
  EXPECT_EQ(read_text_file(folder / name, 1), "x");
}

TEST(File, temporaries_of_killed_processes_are_removed_and_nothing_else) {
  const TemporaryFolder folder;
  { std::ofstream(folder / ".fatwood-12-34.tmp").put('x'); }
  { std::ofstream(folder / ".fatwood-12-35.tmp").put('x'); }
  { std::ofstream(folder / "mine.tmp").put('x'); }
  EXPECT_EQ(remove_temporaries(folder.path()), 2);
  EXPECT_EQ(folder.entries(), 1);
  EXPECT_EQ(remove_temporaries(folder / "none"), 0);
}

}  // namespace
}  // namespace fatwood
