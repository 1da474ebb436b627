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

TEST(ClassName, is_a_number_where_there_is_no_name) {
  const std::vector<std::string> classes{"Bag", "Sandal"};
  EXPECT_EQ(class_name(classes, 1), "Sandal");
  EXPECT_EQ(class_name(classes, 2), "class 2");
  EXPECT_EQ(class_name(classes, -1), "class -1");
  EXPECT_EQ(class_name({}, 0), "class 0");
}

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

TEST_F(RunRecordTest, every_count_of_a_file_is_looked_at) {
  test::write_sample_run(folder);
  for (const char* layer :
       {R"("params": -1)", R"("macs": -1)", R"("activation_bytes": -1)", R"("input": [1, -1])",
        R"("output": [-1])", R"("input": null)", R"("output": 5)", R"("input": {"n": 1})"}) {
    put_text(folder / "summary.json", R"({"layers": [{)" + std::string(layer) + "}]}");
    EXPECT_FALSE(read_run(folder).summary) << layer;
  }
  for (const char* totals : {R"("params_total": -1)", R"("macs_total": -1)"}) {
    put_text(folder / "summary.json", R"({"layers": [], )" + std::string(totals) + "}");
    EXPECT_FALSE(read_run(folder).summary) << totals;
  }
  for (const char* predictions :
       {R"("confusion": [[-1]])", R"("confusion": null)", R"("confusion": {"x": [3]})",
        R"("classes": 3)", R"("worst": {"a": {"label": 1, "predicted": 1}})",
        R"("best": [{"label": -1, "predicted": 1}])", R"("best": [{"label": 1, "predicted": -1}])",
        R"("best": [{"label": 1, "predicted": 1, "index": -1}])",
        R"("best": [{"label": 1, "predicted": 1, "shape": {"c": 1, "h": 1, "w": 1}}])"}) {
    put_text(folder / "predictions.json", "{" + std::string(predictions) + "}");
    const RunRecord record = read_run(folder);
    EXPECT_FALSE(record.predictions) << predictions;
    EXPECT_THAT(record.remarks, Contains(HasSubstr("predictions.json was passed over")));
  }
  put_text(folder / "lr_find.json", R"({"lr": [1], "loss": {"a": 2}})");
  EXPECT_FALSE(read_run(folder).lr_find);
}

TEST_F(RunRecordTest, a_confusion_matrix_of_many_classes_is_left_out_and_the_samples_stay) {
  test::write_sample_run(folder);
  std::string row = "[0";
  for (int i = 1; i < 257; ++i) row += ",0";
  row += ']';
  std::string matrix = row;
  for (int i = 1; i < 257; ++i) matrix += "," + row;
  put_text(folder / "predictions.json",
           R"({"confusion": [)" + matrix + R"(], "worst": [{"label": 256, "predicted": 2}]})");
  const RunRecord record = read_run(folder);
  ASSERT_TRUE(record.predictions);
  EXPECT_TRUE(record.predictions->confusion.empty());
  EXPECT_EQ(record.predictions->worst.size(), 1u);
  EXPECT_THAT(record.remarks, Contains(HasSubstr("257 classes is left out")));
}

TEST_F(RunRecordTest, names_are_as_displays_take_them) {
  test::write_sample_run(folder);
  const std::string escape = R"("\u001b]0;x\u0007")";
  const std::string cleaned = "\\x1b]0;x\\x07";
  put_text(folder / "args.json", R"({"format":1,"fatwood":)" + escape + R"(,"options":{)" + escape +
                                     ":" + escape + R"(},"data":{"classes":[)" + escape + "]}}");
  put_text(folder / "summary.json", R"({"layers":[{"name":)" + escape + "}]}");
  put_text(folder / "predictions.json", R"({"classes":[)" + escape + R"(],"best":)" + escape + "}");
  put_text(folder / "lr_find.json", "{" + escape);
  const RunRecord record = read_run(folder);
  EXPECT_EQ(record.fatwood_version, cleaned);
  EXPECT_EQ(record.options.at(0), std::pair(cleaned, cleaned));
  EXPECT_EQ(record.classes.at(0), cleaned);
  EXPECT_EQ(record.summary->layers.at(0).name, cleaned);
  ASSERT_GE(record.remarks.size(), 2u);
  for (const std::string& remark : record.remarks)
    EXPECT_EQ(remark.find_first_of("\x1b\x07"), std::string::npos) << remark;
}

TEST_F(RunRecordTest, lists_that_no_page_can_hold_are_remarks) {
  test::write_sample_run(folder);
  const auto list = [](std::size_t count, const std::string& element) {
    std::string text = "[";
    for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + element;
    return text + "]";
  };
  put_text(folder / "summary.json", R"({"layers":)" + list(10'001, "{}") + "}");
  const std::string sample = R"({"label":0,"predicted":1})";
  for (const std::string& predictions :
       {R"("worst":)" + list(1001, sample), R"("best":)" + list(1001, sample),
        R"("classes":)" + list(10'001, "\"\"")}) {
    put_text(folder / "predictions.json", "{" + predictions + "}");
    const RunRecord record = read_run(folder);
    EXPECT_FALSE(record.summary);
    EXPECT_FALSE(record.predictions);
    EXPECT_THAT(record.remarks, Contains(HasSubstr("summary.json was passed over")));
    EXPECT_THAT(record.remarks, Contains(HasSubstr("predictions.json was passed over")));
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
