#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/io/file.h>
#include <fatwood/train/checkpointing.h>
#include <fatwood/train/compare_runs.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/resume.h>
#include <fatwood/train/stopping.h>
#include <fatwood/train/weights.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "train/tiny.h"

namespace fatwood {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
namespace fs = std::filesystem;

struct StopAt : Callback {
  explicit StopAt(std::int64_t at) : step(at) {}
  std::string name() const override { return "stop_at"; }
  Stage stage() const override { return Stage::control; }
  void after_batch(Run& run) override {
    if (run.training() && run.step == step) run.cancel(Scope::fit, "enough", "interrupted");
  }
  std::int64_t step;
};

// A run of three epochs in `path`, stopped behind `stop_at`, or resumed.
Resumed train(const fs::path& path, std::int64_t stop_at, bool again,
              const ResumeOptions& options = {}) {
  RunFolder folder = again ? RunFolder::reopen(path) : RunFolder(path, false);
  if (!again) folder.write_args({{"options", {{"lr", 0.1}}}, {"timing", {{"started", "now"}}}});
  const auto rows = folder.rows();
  const auto recorder = std::make_shared<Recorder>(std::vector<RowSinkPtr>{rows});
  const auto saving = std::make_shared<Checkpointing>(CheckpointingOptions{
      .folder = folder.file("checkpoints"),
      .about = {{"machine", {{"threads", 2}}}, {"data", {{"train_sha256", "abc"}}}},
      .rows = rows,
      .recorder = recorder});
  Learner learner =
      tiny_learner({saving, recorder, Metrics::usual(2), std::make_shared<StopAt>(stop_at)});
  Resumed resumed;
  if (again) resumed = resume(folder, *rows, *recorder, learner, options);
  learner.fit(3);
  save_weights(*learner.run().model, folder.file("model.safetensors"));
  return resumed;
}

std::vector<nlohmann::json> restarts(const fs::path& run) {
  std::vector<nlohmann::json> records;
  std::ifstream file(run / "restarts.jsonl");
  for (std::string line; std::getline(file, line);) records.push_back(nlohmann::json::parse(line));
  return records;
}

std::uint64_t counted_rows_bytes(const fs::path& checkpoint) {
  return read_checkpoint(checkpoint).about["timing"]["rows_bytes"].get<std::uint64_t>();
}

TEST(Resume, gives_the_files_of_an_uninterrupted_run) {
  const TemporaryFolder folder;
  train(folder / "whole", -1, false);
  for (const std::int64_t step : {0, 2, 3, 5, 7, 10}) {
    const fs::path run = folder / std::to_string(step);
    train(run, step, false);
    EXPECT_THAT(compare_runs(folder / "whole", run), testing::Not(IsEmpty()));
    const Resumed resumed = train(run, -1, true);
    EXPECT_EQ(resumed.step, step + 1);
    const auto differences = compare_runs(folder / "whole", run);
    EXPECT_THAT(differences, IsEmpty())
        << differences[0].file << " " << differences[0].where << " " << differences[0].what;
    ASSERT_THAT(restarts(run), SizeIs(1));
    EXPECT_EQ(restarts(run)[0]["step"], step + 1);
    EXPECT_GT(restarts(run)[0]["rows_bytes_cut"], 0);  // the end record at least
  }
}

TEST(Resume, passes_over_a_damaged_checkpoint_and_says_so) {
  const TemporaryFolder folder;
  train(folder / "whole", -1, false);
  const fs::path run = folder / "run";
  train(run, 9, false);
  const auto listed = list_checkpoints(run / "checkpoints");
  ASSERT_THAT(listed, SizeIs(testing::Ge(2u)));
  fs::resize_file(listed[0].path, fs::file_size(listed[0].path) / 2);
  const Resumed resumed = train(run, -1, true);
  EXPECT_EQ(resumed.step, listed[1].step);
  ASSERT_THAT(resumed.passed_over, SizeIs(1));
  EXPECT_THAT(resumed.passed_over[0], HasSubstr(listed[0].path.string()));
  EXPECT_THAT(describe(resumed), HasSubstr("PASSED OVER"));
  EXPECT_TRUE(fs::exists(listed[0].path.string() + ".set-aside"));
  EXPECT_THAT(compare_runs(folder / "whole", run), IsEmpty());
}

TEST(Resume, with_no_whole_checkpoint_is_refused_and_with_none_at_all_starts_anew) {
  const TemporaryFolder folder;
  train(folder / "whole", -1, false);
  const fs::path run = folder / "run";
  train(run, 9, false);
  for (const ListedCheckpoint& listed : list_checkpoints(run / "checkpoints"))
    std::ofstream(listed.path) << "junk";
  try {
    train(run, -1, true);
    ADD_FAILURE() << "resumed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.what(), HasSubstr("none of which can be used"));
  }
  fs::remove_all(run / "checkpoints");
  const Resumed resumed = train(run, -1, true);
  EXPECT_TRUE(resumed.checkpoint.empty());
  EXPECT_THAT(describe(resumed), HasSubstr("starting at the beginning"));
  EXPECT_THAT(compare_runs(folder / "whole", run), IsEmpty());
}

TEST(Resume, passes_over_a_checkpoint_that_counts_rows_that_are_not_there) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  train(run, 9, false);
  const auto listed = list_checkpoints(run / "checkpoints");
  const std::uint64_t bytes = counted_rows_bytes(listed[1].path);
  fs::resize_file(run / "rows.jsonl", bytes);
  const FoundCheckpoint found = find_checkpoint(run / "checkpoints", bytes);
  EXPECT_EQ(found.path, listed[1].path);
  ASSERT_THAT(found.passed_over, SizeIs(1));
  EXPECT_THAT(found.passed_over[0].second, HasSubstr("of rows, rows.jsonl has"));
}

TEST(Resume, from_a_named_checkpoint_that_the_rows_do_not_fit_is_refused_and_changes_nothing) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  train(run, 9, false);
  const auto listed = list_checkpoints(run / "checkpoints");
  const std::uint64_t counts = counted_rows_bytes(listed.back().path);
  const std::string rows = read_text_file(run / "rows.jsonl", 1 << 20);
  for (const std::string& wrong : {rows.substr(0, counts - 1), "x" + rows}) {
    write_file(run / "rows.jsonl", wrong);
    EXPECT_THAT(thrown_by([&] { train(run, -1, true, {.checkpoint = listed.back().path}); }),
                error_with(ErrorKind::data, "rows.jsonl"));
    EXPECT_EQ(read_text_file(run / "rows.jsonl", 1 << 20), wrong);
    EXPECT_TRUE(fs::exists(run / "model.safetensors"));
    for (const ListedCheckpoint& each : listed) EXPECT_TRUE(fs::exists(each.path));
    EXPECT_THAT(restarts(run), IsEmpty());
  }
}

TEST(Resume, from_an_older_checkpoint_sets_later_ones_aside) {
  const TemporaryFolder folder;
  train(folder / "whole", -1, false);
  const fs::path run = folder / "run";
  train(run, 9, false);
  const auto listed = list_checkpoints(run / "checkpoints");
  const Resumed resumed = train(run, -1, true, {.checkpoint = listed.back().path});
  EXPECT_EQ(resumed.step, listed.back().step);
  EXPECT_TRUE(fs::exists(listed.front().path.string() + ".set-aside"));
  EXPECT_THAT(compare_runs(folder / "whole", run), IsEmpty());
}

TEST(Resume, says_what_will_not_be_exact_and_refuses_other_data) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  train(run, 9, false);
  const auto newest = list_checkpoints(run / "checkpoints")[0].path;
  EXPECT_THROW(train(run, -1, true, {.data = {{"train_sha256", "xyz"}}}), Error);
  EXPECT_TRUE(fs::exists(run / "model.safetensors"));  // a refusal changes nothing
  EXPECT_TRUE(fs::exists(newest));
  const Resumed resumed = train(run, -1, true, {.machine = {{"threads", 1}}});
  EXPECT_THAT(describe(resumed),
              HasSubstr("NOT EXACT: the resumed run will differ from an uninterrupted one: threads "
                        "1, the checkpoint was made with 2"));
  EXPECT_THAT(restarts(run)[0]["inexact"], SizeIs(1));
}

TEST(CompareRuns, takes_the_checkpoints_of_every_step_that_both_runs_have) {
  const TemporaryFolder folder;
  train(folder / "a", -1, false);
  fs::copy(folder / "a", folder / "b", fs::copy_options::recursive);
  const std::vector<ListedCheckpoint> kept = list_checkpoints(folder / "b" / "checkpoints");
  ASSERT_GE(kept.size(), 2u);
  fs::remove(kept.front().path);
  EXPECT_TRUE(compare_runs(folder / "a", folder / "b").empty());

  // What they have in common is compared: another state under that name is seen.
  fs::copy_file(folder / "a" / "checkpoints" / kept.front().path.filename(), kept[1].path,
                fs::copy_options::overwrite_existing);
  const auto differences = compare_runs(folder / "a", folder / "b");
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].file, "checkpoints");
}

TEST(CompareRuns, says_where_two_runs_differ_first) {
  const TemporaryFolder folder;
  train(folder / "a", -1, false);
  const auto altered = [&](const std::string& file,
                           const std::function<std::string(std::string)>& change) {
    const fs::path copy = folder / "b";
    fs::remove_all(copy);
    fs::copy(folder / "a", copy, fs::copy_options::recursive);
    write_file(copy / file, change(read_text_file(copy / file, 1 << 20)));
    const auto differences = compare_runs(folder / "a", copy);
    std::string text;
    for (const RunDifference& d : differences) text += d.file + "|" + d.where + "|" + d.what + "\n";
    return text;
  };
  const auto replaced = [](const std::string& from, const std::string& to) {
    return [from, to](std::string text) {
      const std::size_t at = text.find(from);
      EXPECT_NE(at, std::string::npos) << from;
      return text.replace(at, from.size(), to);
    };
  };
  EXPECT_EQ(altered("rows.jsonl", replaced("\"elapsed_s\":", "\"elapsed_s\":1")), "");
  EXPECT_EQ(altered("args.json", replaced("now", "then")), "");
  EXPECT_EQ(
      altered("rows.jsonl",
              [](const std::string& text) {
                return text +
                       R"({"type":"event","step":4,"what":"checkpoint failed","reason":"full"})" +
                       "\n";
              }),
      "");
  EXPECT_EQ(altered("args.json", replaced("0.1", "0.2")), "args.json|options.lr|0.1 and 0.2\n");
  EXPECT_THAT(altered("rows.jsonl", replaced("\"step\":1,", "\"step\":7,")),
              HasSubstr("rows.jsonl|line 3, step|1 and 7"));
  EXPECT_THAT(altered("rows.jsonl",
                      [](const std::string& text) {
                        return text.substr(0, text.rfind('\n', text.size() - 2) + 1);
                      }),
              HasSubstr("rows.jsonl|length|"));
  EXPECT_THAT(altered("summary.csv", replaced("\n1,", "\n9,")),
              HasSubstr("summary.csv|line 3, epoch|1 and 9"));
  EXPECT_THAT(
      altered("model.safetensors",
              [](std::string text) {
                text.back() = static_cast<char>(text.back() ^ 1);
                return text;
              }),
      testing::AllOf(HasSubstr("model.safetensors|"), HasSubstr("differ first in element")));
  // Rows of any shape.
  for (const char* row : {R"({"type":5})", R"({"type":"event","what":null})", "5", "[]", "null"}) {
    EXPECT_THAT(altered("rows.jsonl", [row](const std::string& text) { return text + row + "\n"; }),
                HasSubstr("rows.jsonl|length|"))
        << row;
  }
  EXPECT_EQ(altered("args.json", replaced("{", "{\"\\u001b[2J\":0,")),
            "args.json|\\x1b[2J|nothing and 0\n");
  EXPECT_EQ(altered("summary.csv", [](const std::string& text) { return text + "\x1b[2J\n"; })
                .find('\x1b'),
            std::string::npos);
  fs::remove(folder / "b" / "summary.csv");
  EXPECT_THAT(compare_runs(folder / "a", folder / "b")[0].what, HasSubstr("there and missing"));
  EXPECT_THROW(compare_runs(folder / "a", folder / "nowhere"), Error);
}

}  // namespace
}  // namespace fatwood
