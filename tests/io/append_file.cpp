#include <csignal>
#include <sys/resource.h>
#include <thread>

#include <gtest/gtest.h>

#include <fatwood/io/append_file.h>
#include <fatwood/io/file.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

TEST(AppendFile, each_line_is_in_the_file_as_soon_as_it_is_appended) {
  const TemporaryFolder folder;
  AppendFile file(folder / "rows");
  file.append_line("one");
  EXPECT_EQ(read_text_file(folder / "rows", 99), "one\n");
  file.append_line("");
  file.sync();
  EXPECT_EQ(read_text_file(folder / "rows", 99), "one\n\n");
  EXPECT_EQ(file.length(), 5u);
}

TEST(AppendFile, an_existing_file_is_continued) {
  const TemporaryFolder folder;
  AppendFile(folder / "rows").append_line("one");
  AppendFile file(folder / "rows");
  EXPECT_EQ(file.length(), 4u);
  file.append_line("two");
  EXPECT_EQ(read_text_file(folder / "rows", 99), "one\ntwo\n");
}

TEST(AppendFile, is_cut_back_to_a_recorded_length_and_goes_on_there) {
  const TemporaryFolder folder;
  AppendFile file(folder / "rows");
  file.append_line("one");
  const std::uint64_t length = file.length();
  file.append_line("two");
  file.truncate_to(length);
  file.append_line("three");
  EXPECT_EQ(read_text_file(folder / "rows", 99), "one\nthree\n");
  EXPECT_THAT(thrown_by([&] { file.truncate_to(11); }),
              error_with(ErrorKind::data, "rows: 10 bytes, wanted at least 11"));
  EXPECT_EQ(file.length(), 10u);
}

TEST(AppendFile, lines_come_while_another_thread_makes_them_durable) {
  const TemporaryFolder folder;
  AppendFile file(folder / "rows");
  std::jthread writer([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) file.sync();
  });
  std::string wanted;
  for (int i = 0; i < 3000; ++i) {
    const std::string line = "line " + std::to_string(i);
    wanted += line + "\n";
    file.append_line(line);
  }
  writer.request_stop();
  writer.join();
  file.sync();
  EXPECT_EQ(file.length(), wanted.size());
  EXPECT_EQ(read_text_file(folder / "rows", 1 << 20), wanted);
  file.truncate_to(7);
  file.append_line("more");
  EXPECT_EQ(read_text_file(folder / "rows", 1 << 20), "line 0\nmore\n");
}

TEST(AppendFile, a_line_cut_short_by_a_full_disk_is_taken_back) {
  const TemporaryFolder folder;
  AppendFile file(folder / "rows");
  file.append_line("one");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 10;
  ::setrlimit(RLIMIT_FSIZE, &small);
  const Thrown thrown = thrown_by([&] { file.append_line("longer than what is left"); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(thrown, error_with(ErrorKind::io, "rows: write: File too large"));
  EXPECT_EQ(read_text_file(folder / "rows", 99), "one\n");
  file.append_line("two");
  EXPECT_EQ(read_text_file(folder / "rows", 99), "one\ntwo\n");
}

TEST(AppendFile, a_line_with_a_newline_in_it_is_a_defect_of_the_caller) {
  const TemporaryFolder folder;
  AppendFile file(folder / "rows");
  EXPECT_THAT(thrown_by([&] { file.append_line("a\nb"); }),
              error_with(ErrorKind::internal, "a\\x0ab"));
}

TEST(AppendFile, a_folder_that_is_not_there_is_named) {
  const TemporaryFolder folder;
  EXPECT_THAT(thrown_by([&] { AppendFile file(folder.path() / "no" / "rows"); }),
              error_with(ErrorKind::io, "no/rows: open: No such file or directory"));
}

}  // namespace
}  // namespace fatwood
