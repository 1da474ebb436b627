#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/report/run_record.h>

#include "sample_run.h"
#include "support/temporary_folder.h"

namespace fatwood {
namespace {

using test::put_text;
using test::text_of;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RunRecordTest : public ::testing::Test {
 protected:
  std::string error_of(const std::filesystem::path& path) {
    try {
      read_run(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      return error.what();
    }
    return "no error";
  }
  TemporaryFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
};

TEST_F(RunRecordTest, a_completed_run_is_read_whole_and_without_remarks) {
  test::write_sample_run(folder);
  const RunRecord record = read_run(folder);
  EXPECT_THAT(record.remarks, IsEmpty());
  EXPECT_EQ(record.name, "run");
  EXPECT_EQ(record.status(), "completed");
  EXPECT_EQ(record.batches.size(), 354u);
  EXPECT_EQ(record.stats.size(), 354u);
  EXPECT_EQ(record.epochs.size(), 6u);
  EXPECT_EQ(record.run.layers.size(), 6u);
  EXPECT_EQ(record.classes.size(), 10u);
  EXPECT_THAT(record.options, Contains(std::pair<std::string, std::string>("lr", "0.01")));
  ASSERT_TRUE(record.summary);
  EXPECT_EQ(record.summary->params_total, 321438);
  ASSERT_TRUE(record.predictions);
  EXPECT_EQ(record.predictions->confusion.size(), 10u);
  EXPECT_EQ(record.predictions->worst.at(0).pixels.size(), 784u);
  ASSERT_TRUE(record.lr_find);
  EXPECT_EQ(record.lr_find->lr.size(), 40u);
}

TEST_F(RunRecordTest, what_is_no_run_is_an_error_that_says_so) {
  EXPECT_THAT(error_of(scratch.path() / "nowhere"), HasSubstr("no such folder"));
  put_text(scratch.path() / "file", "x");
  EXPECT_THAT(error_of(scratch.path() / "file"), HasSubstr("a file, wanted the folder of a run"));
  EXPECT_THAT(error_of(scratch.path()), HasSubstr("not a run"));
  put_text(scratch.path() / "rows.jsonl", "<html>\nnot found\n</html>\n");
  EXPECT_THAT(error_of(scratch.path()), HasSubstr("no line is a row of a run"));
}

TEST_F(RunRecordTest, another_format_is_an_error_that_names_both) {
  test::write_sample_run(folder);
  std::string rows = text_of(folder / "rows.jsonl");
  rows.replace(rows.find("\"format\":1"), 10, "\"format\":2");
  put_text(folder / "rows.jsonl", rows);
  EXPECT_THAT(error_of(folder), HasSubstr("run format 2, wanted 1"));

  test::write_sample_run(folder);
  put_text(folder / "args.json", R"({"format": "next"})");
  EXPECT_THAT(error_of(folder), HasSubstr("run format next, wanted 1"));
}

TEST_F(RunRecordTest, more_rows_than_are_read_are_an_error_that_names_both_sizes) {
  test::write_sample_run(folder, {.epochs = 1, .batches = 2, .artefacts = false});
  std::filesystem::resize_file(folder / "rows.jsonl", (std::uintmax_t{512} << 20) + 1);
  EXPECT_THAT(error_of(folder), HasSubstr("rows.jsonl: 536870913 bytes, wanted at most 536870912"));
}

TEST_F(RunRecordTest, every_truncation_of_the_rows_gives_a_record_and_a_remark) {
  test::write_sample_run(folder, {.epochs = 1, .batches = 4, .artefacts = false});
  const std::string rows = text_of(folder / "rows.jsonl");
  for (std::size_t length = 0; length < rows.size(); ++length) {
    RunRecord record;
    gather_rows(rows.substr(0, length), record);
    EXPECT_LE(record.batches.size(), 4u);
    EXPECT_EQ(record.status(), length + 1 < rows.size() ? "unfinished" : "completed") << length;
    const bool whole_lines = length == 0 || rows[length - 1] == '\n';
    // A line that lacks only its newline is whole.
    if (!whole_lines && rows[length] != '\n') {
      EXPECT_THAT(record.remarks, Contains(HasSubstr("cut off"))) << length;
    }
  }
}

TEST_F(RunRecordTest, every_overwritten_byte_gives_a_record_or_a_data_error) {
  test::write_sample_run(folder, {.epochs = 1, .batches = 2, .artefacts = false});
  const std::string rows = text_of(folder / "rows.jsonl");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const char c : {'\0', '9', '"', '\n', '\xff', '{'}) {
      std::string damaged = rows;
      damaged[i] = c;
      RunRecord record;
      try {
        gather_rows(damaged, record);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
      }
    }
  }
}

TEST_F(RunRecordTest, damaged_lines_are_passed_over_and_counted) {
  test::write_sample_run(folder, {.epochs = 1, .batches = 10, .artefacts = false});
  std::string rows = text_of(folder / "rows.jsonl");
  const std::size_t second = rows.find('\n') + 1;
  rows.insert(second,
              "{\"type\":\"batch\",\"step\":0}\n[1,2]\n{\"type\":\"batch\",\"step\":-1,"
              "\"epoch\":0,\"batch\":0,\"loss\":1}\n");
  put_text(folder / "rows.jsonl", rows);
  const RunRecord record = read_run(folder);
  EXPECT_EQ(record.batches.size(), 10u);
  EXPECT_THAT(record.remarks, ::testing::ElementsAre(HasSubstr("line 2,"), HasSubstr("line 3,"),
                                                     HasSubstr("line 4,")));
}

TEST_F(RunRecordTest, damaged_artefacts_are_remarks_and_leave_the_rest) {
  test::write_sample_run(folder);
  put_text(folder / "summary.json", "{\"layers\": 7}");
  put_text(folder / "predictions.json", "{\"confusion\": [[1, 2], [3]]}");
  put_text(folder / "lr_find.json", "{\"lr\": [1, 2], \"loss\": [1]}");
  const RunRecord record = read_run(folder);
  EXPECT_EQ(record.batches.size(), 354u);
  EXPECT_FALSE(record.summary);
  EXPECT_FALSE(record.predictions);
  EXPECT_FALSE(record.lr_find);
  EXPECT_EQ(record.remarks.size(), 3u);
}

TEST_F(RunRecordTest, counts_that_cannot_be_are_remarks) {
  test::write_sample_run(folder);
  for (const char* count :
       {"9223372036854775807", "-1", "1.5", "1e+300", "true", "18446744073709551615"}) {
    put_text(folder / "summary.json",
             R"({"layers": [{"params": )" + std::string(count) + R"(}, {"params": 1}]})");
    put_text(folder / "predictions.json",
             R"({"worst": [{"label": )" + std::string(count) + R"(, "predicted": 1}]})");
    const RunRecord record = read_run(folder);
    EXPECT_FALSE(record.summary) << count;
    EXPECT_FALSE(record.predictions) << count;
    EXPECT_THAT(record.remarks, Contains(HasSubstr("summary.json was passed over")));
    EXPECT_THAT(record.remarks, Contains(HasSubstr(count)));
  }
}

TEST_F(RunRecordTest, totals_that_cannot_be_are_remarks) {
  test::write_sample_run(folder);
  const std::string layer = R"({"macs": 1125899906842624})";
  put_text(folder / "summary.json", R"({"layers": [)" + layer + "," + layer + "]}");
  const RunRecord record = read_run(folder);
  EXPECT_FALSE(record.summary);
  EXPECT_THAT(record.remarks, Contains(HasSubstr("wanted a count from 0 to 2^50")));
}

TEST_F(RunRecordTest, steps_run_again_after_a_rewind_replace_the_first_ones) {
  test::write_sample_run(folder,
                         {.epochs = 1, .batches = 10, .end_record = false, .artefacts = false});
  std::string rows = text_of(folder / "rows.jsonl");
  rows += R"({"type":"batch","step":4,"epoch":0,"batch":4,"loss":7.5})"
          "\n";
  put_text(folder / "rows.jsonl", rows);
  const RunRecord record = read_run(folder);
  ASSERT_EQ(record.batches.size(), 5u);
  EXPECT_EQ(record.batches.back().loss, 7.5);
  EXPECT_THAT(record.remarks, Contains(HasSubstr("6 batches were run again")));
}

TEST_F(RunRecordTest, a_sample_with_pixels_that_do_not_fit_has_no_picture) {
  test::write_sample_run(folder);
  put_text(folder / "predictions.json",
           R"({"worst":[{"label":1,"predicted":2,"shape":[1,2,2],"pixels":"AAA="},)"
           R"({"label":1,"predicted":2,"shape":[1,1,2],"pixels":"AAE="}]})");
  const RunRecord record = read_run(folder);
  ASSERT_TRUE(record.predictions);
  EXPECT_THAT(record.predictions->worst.at(0).pixels, IsEmpty());
  EXPECT_THAT(record.predictions->worst.at(1).pixels, ::testing::ElementsAre(0, 1));
}

TEST_F(RunRecordTest, numbers_of_a_sample_that_are_not_finite_are_not_zero) {
  test::write_sample_run(folder);
  put_text(folder / "predictions.json",
           R"({"worst":[{"label":1,"predicted":2,"probability":null,"loss":null},)"
           R"({"label":1,"predicted":2,"probability":0.5,"loss":0}]})");
  const RunRecord record = read_run(folder);
  ASSERT_TRUE(record.predictions);
  EXPECT_TRUE(std::isnan(record.predictions->worst.at(0).probability));
  EXPECT_TRUE(std::isnan(record.predictions->worst.at(0).loss));
  EXPECT_EQ(record.predictions->worst.at(1).loss, 0);
}

}  // namespace
}  // namespace fatwood
