#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/train/run_folder.h>

#include "support/temporary_folder.h"

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

TEST(RunFolder, refuses_a_run_that_is_there_and_replaces_it_when_told) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "a";
  {
    RunFolder folder(path, false);
    folder.write_args({});
    folder.write_json("summary.json", {});
  }
  EXPECT_THAT(refusal(path, false),
              HasSubstr("holds a run; choose another --output, or --overwrite it"));
  EXPECT_TRUE(std::filesystem::exists(path / "summary.json"));
  const RunFolder again(path, true);
  EXPECT_FALSE(std::filesystem::exists(path / "summary.json"));
  EXPECT_FALSE(std::filesystem::exists(path / "args.json"));
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
