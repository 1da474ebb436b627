#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/run_folder.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "train/tiny.h"

namespace fatwood {
namespace {

using testing::HasSubstr;

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string refusal(const std::filesystem::path& path, bool overwrite) {
  try {
    const RunFolder folder(path, overwrite);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

RunRow small_run() {
  return {.model = "cnn",
          .epochs = 1,
          .batches = 2,
          .eval_batches = 1,
          .batch_size = 4,
          .seed = 0,
          .layers = {},
          .metrics = {{"accuracy", "MulticlassAccuracy", "fraction", true},
                      {"loss", "loss", "nats", false}}};
}

TEST(RunFolder, gathers_the_rows_of_a_run) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "runs" / "a";
  RunFolder folder(path, false);
  folder.write_args({{"seed", 1}});
  const auto rows = folder.rows();
  rows->begin(small_run());
  rows->batch({.step = 0, .loss = 0.5});
  rows->batch({.mode = Mode::evaluation, .loss = 0.25});
  EpochRow epoch{.metrics = {{"accuracy", 0.5}, {"loss", 0.75}},
                 .lr = 0.125,
                 .duration_s = 1.5,
                 .elapsed_s = 2};
  rows->epoch(epoch);
  epoch.mode = Mode::evaluation;
  epoch.metrics = {{"accuracy", 0.25}, {"loss", 2.0}};
  rows->epoch(epoch);
  rows->end({.status = "completed"});

  EXPECT_EQ(read(path / "summary.csv"),
            "epoch,train_loss,train_accuracy,eval_loss,eval_accuracy,lr,train_s,eval_s,elapsed_s\n"
            "0,0.75,0.5,2.0,0.25,0.125,1.500,1.500,2.000\n");
  const std::string lines = read(path / "rows.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 5);  // evaluation batches leave no row
  EXPECT_EQ(nlohmann::json::parse(read(path / "args.json"))["seed"], 1);
}

// More metrics than a row may have, known before the fit or only at the end of a pass.
class ManyMetrics : public Callback {
 public:
  explicit ManyMetrics(bool known) : known_(known) {}
  std::string name() const override { return "many_metrics"; }
  Stage stage() const override { return Stage::measure; }
  void before_fit(Run& run) override {
    run.metrics.assign(known_ ? kMostOrderedKeys + 1 : 1, MetricInfo{"m", "m", "", true});
  }
  void before_epoch(Run&) override { ++passes; }
  void after_epoch(Run& run) override {
    for (std::size_t i = 0; i <= kMostOrderedKeys; ++i)
      run.epoch_metrics.emplace_back(std::to_string(i), 1);
  }
  int passes = 0;

 private:
  bool known_;
};

TEST(RunRows, refuse_a_run_of_more_metrics_than_they_can_hold) {
  for (const bool known : {true, false}) {
    const TemporaryFolder temporary;
    RunFolder folder(temporary / "run", false);
    const auto rows = folder.rows();
    const auto many = std::make_shared<ManyMetrics>(known);
    Learner learner =
        tiny_learner({many, std::make_shared<Recorder>(std::vector<RowSinkPtr>{rows})});
    EXPECT_THAT(thrown_by([&] { learner.fit(2); }),
                error_with(ErrorKind::usage, "found 1025 metrics, wanted 1024 at most"));
    EXPECT_EQ(many->passes, known ? 0 : 1);
    struct Last : RowSink {
      void epoch(const EpochRow&) override { ++epochs; }
      void end(const EndRow& row) override { status = row.status; }
      int epochs = 0;
      std::string status;
    } last;
    rows->replay(last);
    EXPECT_EQ(last.epochs, 0);
    EXPECT_EQ(last.status, known ? "" : "failed");
  }
}

TEST(RunRows, are_cut_back_to_a_row_and_the_table_with_them) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "a";
  RunFolder folder(path, false);
  folder.write_args({});
  const auto rows = folder.rows();
  rows->begin(small_run());
  const auto add_epoch = [&rows](std::int64_t epoch) {
    EpochRow row{.epoch = epoch, .metrics = {{"accuracy", 0.5}, {"loss", 0.75}}};
    rows->epoch(row);
    row.mode = Mode::evaluation;
    rows->epoch(row);
  };
  add_epoch(0);
  const std::uint64_t kept = rows->bytes();
  const std::string table = read(path / "summary.csv");
  add_epoch(1);
  EXPECT_THROW(rows->cut_to(kept - 1), Error);  // in the middle of a row
  EXPECT_THROW(rows->cut_to(rows->bytes() + 1), Error);
  rows->cut_to(kept);
  EXPECT_EQ(read(path / "rows.jsonl").size(), kept);
  EXPECT_EQ(read(path / "summary.csv"), table);
  add_epoch(1);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n') + 1, [&] {
    const std::string longer = read(path / "summary.csv");
    return std::count(longer.begin(), longer.end(), '\n');
  }());
  rows->cut_to(0);
  EXPECT_EQ(read(path / "rows.jsonl"), "");
}

TEST(RunFolder, is_reopened_when_it_holds_a_run) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "a";
  EXPECT_THROW(RunFolder::reopen(path), Error);
  {
    RunFolder folder(path, false);
    folder.write_args({});
    EXPECT_THROW(RunFolder::reopen(path), Error);  // locked
  }
  std::ofstream(path / ".fatwood-1-2.tmp") << "half a file";
  const RunFolder again = RunFolder::reopen(path);
  EXPECT_FALSE(std::filesystem::exists(path / ".fatwood-1-2.tmp"));
  EXPECT_TRUE(std::filesystem::exists(path / "args.json"));
}

TEST(RunFolder, refuses_a_run_that_is_there_and_replaces_it_when_told) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "a";
  {
    RunFolder folder(path, false);
    folder.write_args({});
    folder.write_json("summary.json", {});
    folder.write_json("lr_find.json", {});
    std::filesystem::create_directories(path / "tensorboard");
    std::ofstream(path / "notes.txt") << "the user's own";
  }
  EXPECT_THAT(refusal(path, false),
              HasSubstr("holds a run; choose another --output, or --overwrite it"));
  EXPECT_TRUE(std::filesystem::exists(path / "summary.json"));
  const RunFolder again(path, true);
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::UnorderedElementsAre("notes.txt", "run.lock"));
}

TEST(RunFolder, never_touches_a_folder_of_other_things) {
  const TemporaryFolder temporary;
  std::ofstream(temporary.path() / "thesis.tex") << "words";
  for (const bool overwrite : {false, true}) {
    EXPECT_THAT(refusal(temporary.path(), overwrite), HasSubstr("holds other files"));
  }
  EXPECT_EQ(read(temporary.path() / "thesis.tex"), "words");
  EXPECT_THAT(refusal(temporary.path() / "thesis.tex", true), HasSubstr("is not a folder"));
}

TEST(RunFolder, takes_what_a_process_left_that_was_killed_as_it_began) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "a";
  std::filesystem::create_directories(path);
  std::ofstream(path / "run.lock") << "1\n";
  std::ofstream(path / ".fatwood-1-2.tmp") << "half of args.json";
  {
    const RunFolder folder(path, false);
    EXPECT_FALSE(std::filesystem::exists(path / ".fatwood-1-2.tmp"));
  }
  std::ofstream(path / "thesis.tex") << "words";
  EXPECT_THAT(refusal(path, true), HasSubstr("holds other files"));
}

TEST(RunFolder, adds_restarts_behind_one_that_was_cut_off) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "a";
  RunFolder folder(path, false);
  folder.write_args({});
  folder.add_restart({{"step", 1}});
  for (const std::string& half : {std::string(R"({"ste)"), std::string(9, '\0')}) {
    const std::string whole = read(path / "restarts.jsonl");
    std::ofstream(path / "restarts.jsonl", std::ios::app) << half;
    folder.add_restart({{"step", 2}});
    EXPECT_EQ(read(path / "restarts.jsonl"), whole + "{\"step\":2}\n");
  }
}

TEST(RunFolder, is_locked_while_its_rows_are_written) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "a";
  std::shared_ptr<RowSink> rows;
  {
    RunFolder folder(path, false);
    folder.write_args({});
    rows = folder.rows();
  }
  EXPECT_THAT(refusal(path, true), HasSubstr("in use by process"));
  rows.reset();
  EXPECT_NO_THROW(RunFolder(path, true));
}

}  // namespace
}  // namespace fatwood
