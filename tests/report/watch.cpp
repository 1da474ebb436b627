#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/io/file_lock.h>
#include <fatwood/report/watch.h>

#include "sample_run.h"
#include "support/temporary_folder.h"

namespace fatwood {
namespace {

using ::testing::HasSubstr;

struct Counter : RowSink {
  void begin(const RunRow&) override { ++begins; }
  void batch(const BatchRow& row) override { steps.push_back(row.step); }
  void end(const EndRow& row) override { status = row.status; }
  int begins = 0;
  std::vector<std::int64_t> steps;
  std::string status;
};

class Watch : public ::testing::Test {
 protected:
  Watch() {
    test::write_sample_run(scratch / "run", {.epochs = 1, .batches = 3, .artefacts = false});
    rows = test::text_of(file());
  }
  std::filesystem::path file() const { return scratch / "run" / "rows.jsonl"; }
  static std::string refusal(RowFollower& follower) {
    Counter counter;
    try {
      follower.poll_while_running(counter);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      return error.what();
    }
    return "none";
  }
  TemporaryFolder scratch;
  std::string rows;
};

TEST_F(Watch, rows_arrive_once_however_the_file_grows) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}, rows.size()}) {
    test::put_text(file(), "");
    RowFollower follower(scratch / "run");
    Counter counter;
    for (std::size_t length = 0; length <= rows.size() + step; length += step) {
      EXPECT_FALSE(follower.ended());
      test::put_text(file(), rows.substr(0, length));
      follower.poll(counter);
      if (length >= rows.size()) break;
    }
    EXPECT_EQ(counter.begins, 1);
    EXPECT_THAT(counter.steps, ::testing::ElementsAre(0, 1, 2));
    EXPECT_EQ(counter.status, "completed");
    EXPECT_TRUE(follower.ended());
  }
}

TEST_F(Watch, a_file_that_became_shorter_is_read_again) {
  RowFollower follower(scratch / "run");
  Counter counter;
  follower.poll(counter);
  test::put_text(file(), rows.substr(0, rows.find('\n') + 1));
  EXPECT_EQ(follower.poll(counter), 1u);
  EXPECT_EQ(counter.begins, 2);
  EXPECT_FALSE(follower.ended());
}

TEST_F(Watch, a_damaged_line_is_passed_over_and_counted) {
  test::put_text(file(), "rubbish\n" + rows);
  RowFollower follower(scratch / "run");
  Counter counter;
  follower.poll(counter);
  EXPECT_EQ(follower.damaged(), 1u);
  EXPECT_EQ(counter.steps.size(), 3u);
}

TEST_F(Watch, a_run_is_running_while_its_lock_is_held) {
  const RowFollower follower(scratch / "run");
  EXPECT_FALSE(follower.is_running());
  {
    const FileLock lock(scratch / "run" / "run.lock");
    EXPECT_TRUE(follower.is_running());
  }
  EXPECT_FALSE(follower.is_running());
}

TEST_F(Watch, a_run_without_end_that_nobody_writes_was_killed_before_its_first_row_too) {
  // With its first row, with half of it, with none; then without the file.
  for (const std::size_t length : {rows.find('\n') + 1, rows.find('\n') / 2, std::size_t{0}}) {
    test::put_text(file(), rows.substr(0, length));
    RowFollower follower(scratch / "run");
    Counter counter;
    follower.poll(counter);
    EXPECT_THAT(refusal(follower), HasSubstr("the run was killed")) << length;
  }
  std::filesystem::remove(file());
  RowFollower follower(scratch / "run");
  EXPECT_THAT(refusal(follower), HasSubstr("the run was killed"));
  const FileLock lock(scratch / "run" / "run.lock");
  EXPECT_EQ(refusal(follower), "none");
}

TEST_F(Watch, a_pipe_in_the_place_of_the_lock_is_held_by_nobody) {
  test::put_text(file(), rows.substr(0, rows.find('\n') + 1));
  RowFollower follower(scratch / "run");
  Counter counter;
  EXPECT_EQ(follower.poll(counter), 1u);
  ASSERT_EQ(mkfifo((scratch / "run" / "run.lock").c_str(), 0600), 0);
  EXPECT_THAT(refusal(follower), HasSubstr("the run was killed"));
}

TEST_F(Watch, rows_come_as_a_display_takes_them) {
  std::string text = rows.substr(0, rows.find('\n') + 1);
  text += R"({"type":"end","status":"\u001b[2J","reason":"","step":0})";
  text +=
      "\n"
      R"({"type":"stats","step":0,"mean":[1],"std":[1],"hist":[[1],[2]]})"
      "\n";
  test::put_text(file(), text);
  RowFollower follower(scratch / "run");
  Counter counter;
  EXPECT_EQ(follower.poll(counter), 2u);
  EXPECT_EQ(counter.status, "\\x1b[2J");
  EXPECT_EQ(follower.damaged(), 1u);
}

TEST_F(Watch, a_file_of_nothing_is_read_in_parts) {
  std::filesystem::resize_file(file(), std::uintmax_t{200} << 20);
  RowFollower follower(scratch / "run");
  Counter counter;
  const std::size_t first = follower.poll(counter);
  EXPECT_GT(first, 0u);
  const std::size_t damaged = follower.damaged();
  EXPECT_GT(damaged, 10u);
  EXPECT_LT(damaged, 20u);  // 64 MiB, a line's most at a time
  follower.poll(counter);
  EXPECT_GT(follower.damaged(), damaged + 10);
}

TEST_F(Watch, a_folder_without_a_run_is_no_run_once_nobody_begins_one) {
  std::filesystem::create_directory(scratch / "other");
  test::put_text(scratch / "other" / "notes.txt", "x");
  RowFollower follower(scratch / "other");
  EXPECT_THAT(refusal(follower), HasSubstr("not a run"));
  const FileLock lock(scratch / "other" / "run.lock");  // about to write its first file
  EXPECT_EQ(refusal(follower), "none");
}

TEST_F(Watch, the_last_rows_of_a_run_come_before_the_judgement) {
  RowFollower follower(scratch / "run");
  Counter counter;
  EXPECT_GT(follower.poll_while_running(counter), 0u);
  EXPECT_EQ(counter.status, "completed");
  EXPECT_EQ(refusal(follower), "none");
}

TEST_F(Watch, a_missing_folder_is_an_error_and_a_missing_file_only_a_wait) {
  EXPECT_THROW(RowFollower(scratch / "nowhere"), Error);
  std::filesystem::remove(file());
  RowFollower follower(scratch / "run");
  Counter counter;
  EXPECT_EQ(follower.poll(counter), 0u);
}

}  // namespace
}  // namespace fatwood
