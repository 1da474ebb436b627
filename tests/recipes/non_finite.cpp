// Numbers that are not finite, put into the input, the loss, a gradient or a weight of a whole run,
// wherever in an epoch and beside a save: what docs/reliability.md promises of them.
#include <cmath>
#include <limits>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include <fatwood/core/error.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/file.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/report/html.h>
#include <fatwood/report/run_record.h>
#include <fatwood/train/compare_runs.h>
#include <fatwood/train/weights.h>

#include "support/temporary_folder.h"
#include "support/tiny_mnist.h"

namespace fatwood {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
namespace fs = std::filesystem;

constexpr std::int64_t kBatches = 6, kEpochs = 2, kEvery = 4;

enum class Where { nowhere, input, loss, gradient, weight };
using Files = std::map<std::string, Bytes>;

// Old checkpoints may be removed meanwhile, behind the save of a new one.
Files files_of(const fs::path& folder) {
  Files files;
  if (!fs::exists(folder)) return files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    try {
      files[entry.path().filename()] = read_file(entry.path(), 1 << 24);
    } catch (const Error&) {
      files.erase(entry.path().filename());
      if (fs::exists(entry.path())) throw;
    }
  }
  return files;
}

// Spoils one training step, the first time that it comes. Before every step it waits for the save
// that was due, so that what is on the disk does not depend on the disk's speed.
struct Spoil : Callback {
  Spoil(fs::path saves, Where place, std::int64_t at)
      : checkpoints(std::move(saves)), where(place), step(at) {}
  std::string name() const override { return "spoil"; }

  void before_fit(Run& run) override {
    run.parts.predict = [this, predict = run.parts.predict](Run& r) {
      if (now(r, Where::input)) r.batch.x[0].fill_(kNan);
      predict(r);
    };
    run.parts.get_loss = [this, get_loss = run.parts.get_loss](Run& r) {
      get_loss(r);
      if (now(r, Where::loss)) r.loss = r.loss * kNan;
    };
    run.parts.backward = [this, backward = run.parts.backward](Run& r) {
      backward(r);
      if (!now(r, Where::gradient)) return;
      r.model->parameters().back().mutable_grad().view(-1)[0] = HUGE_VAL;
    };
    run.parts.step = [this, step_made = run.parts.step](Run& r) {
      step_made(r);
      if (!now(r, Where::weight)) return;
      const torch::NoGradGuard no_grad;
      r.model->parameters().back().view(-1)[0] = HUGE_VAL;
    };
  }
  void before_batch(Run& run) override {
    if (!run.training() || run.step == 0) return;
    if (run.step % kEvery != 0 && run.step % kBatches != 0) return;
    if (done && where == Where::weight && run.step == step + 1) return;  // that is not saved
    const fs::path due = checkpoints / checkpoint_name(run.step);
    for (int i = 0; i < 20'000 && !fs::exists(due); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  bool now(const Run& run, Where place) {
    if (done || where != place || !run.training() || run.step != step) return false;
    done = true;
    before = files_of(checkpoints);
    return true;
  }

  static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  fs::path checkpoints;
  Where where;
  std::int64_t step;
  bool done = false;
  Files before;  // the checkpoints when the step was spoiled
};

struct Case {
  std::string name;
  Where where;
  std::int64_t step;
  std::string engine;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class NonFinite : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    threads = at::get_num_threads();
    shared = new TemporaryFolder;
    write_tiny_mnist(shared->path());
    for (const std::string engine : {"torch", "fused"}) {
      const auto calm =
          std::make_shared<Spoil>(*shared / engine / "checkpoints", Where::nowhere, -1);
      train_run(options_for(*shared / engine, engine, "stop"), {.callbacks = {calm}});
    }
  }
  static void TearDownTestSuite() {
    delete shared;
    shared = nullptr;
    at::set_num_threads(threads);
  }
  static TrainRunOptions options_for(const fs::path& output, const std::string& engine,
                                     const std::string& on_diverge) {
    TrainRunOptions options;
    options.model = "cnn";
    options.nfs = {8, 8, 16, 16};
    options.epochs = kEpochs;
    options.batch_size = 50;
    options.engine = engine;
    options.threads = 1;  // two would wait for each other more than they would compute
    options.stats = StatsLevel::off;
    options.data = shared->path();
    options.output = output;
    options.checkpoint_steps = kEvery;
    options.checkpoint_minutes = 0;
    options.on_diverge = on_diverge;
    return options;
  }
  fs::path calm() const { return *shared / GetParam().engine; }

  std::shared_ptr<Spoil> spoil() const {
    return std::make_shared<Spoil>(folder_ / "run" / "checkpoints", GetParam().where,
                                   GetParam().step);
  }
  // The state that a run was to go back to: of the last save before the step.
  std::int64_t last_saved() const {
    const std::int64_t step = GetParam().step;
    return std::max(step / kEvery * kEvery, step / kBatches * kBatches);
  }

  TemporaryFolder folder_;
  static TemporaryFolder* shared;
  static int threads;
};

TemporaryFolder* NonFinite::shared = nullptr;
int NonFinite::threads = 0;

TEST_P(NonFinite, stops_the_run_before_the_step_and_spoils_no_file) {
  const TrainRunOptions options = options_for(folder_ / "run", GetParam().engine, "stop");
  const auto spoiler = spoil();
  {
    const TrainRunResult result = train_run(options, {.callbacks = {spoiler}});
    ASSERT_TRUE(spoiler->done);
    EXPECT_EQ(result.fit.status, "diverged");
    EXPECT_THAT(result.fit.reason, HasSubstr("at step " + std::to_string(GetParam().step)));
  }
  const Files after = files_of(folder_ / "run" / "checkpoints");
  EXPECT_EQ(after.contains(checkpoint_name(last_saved())), last_saved() > 0);
  for (const auto& [name, bytes] : after)
    EXPECT_TRUE(spoiler->before.contains(name) && spoiler->before.at(name) == bytes) << name;
  const RunRecord run = read_run(options.output);
  EXPECT_THAT(run.remarks, SizeIs(GetParam().step > 0 ? 0 : 1));  // no batch's row yet
  ASSERT_TRUE(run.end);
  EXPECT_EQ(run.end->status, "diverged");
  EXPECT_EQ(run.end->step, GetParam().step);
  ASSERT_THAT(run.batches, SizeIs(static_cast<std::size_t>(GetParam().step)));
  for (const BatchRow& row : run.batches) EXPECT_TRUE(std::isfinite(row.loss)) << row.step;
  const fs::path weights = options.output / "model.safetensors";
  if (GetParam().step > 0 || fs::exists(weights)) {
    const Safetensors saved = Safetensors::read(weights);
    for (const TensorView& tensor : saved.tensors())
      EXPECT_TRUE(tensor_of(tensor).isfinite().all().item<bool>()) << tensor.name;
  }

  // What spoiled the step does not come again: the run goes on as if it had never come.
  TrainRunOptions again = options;
  again.resume = true;
  EXPECT_TRUE(train_run(again, {.callbacks = {spoiler}}).fit.completed());
  for (const RunDifference& difference : compare_runs(calm(), options.output))
    ADD_FAILURE() << difference.file << " " << difference.where << ": " << difference.what;
}

TEST_P(NonFinite, rewinds_to_the_last_save_at_half_the_rate_and_recovers) {
  const TrainRunOptions options = options_for(folder_ / "run", GetParam().engine, "rewind");
  const auto spoiler = spoil();
  EXPECT_TRUE(train_run(options, {.callbacks = {spoiler}}).fit.completed());
  ASSERT_TRUE(spoiler->done);
  const RunRecord run = read_run(options.output), whole = read_run(calm());
  EXPECT_THAT(run.remarks, IsEmpty());
  ASSERT_THAT(run.events, SizeIs(1));
  EXPECT_EQ(run.events[0].what, "rewind");
  EXPECT_EQ(run.events[0].step, last_saved());
  const std::string& reason = run.events[0].reason;
  EXPECT_THAT(reason, HasSubstr("at step " + std::to_string(GetParam().step)));
  EXPECT_THAT(reason, HasSubstr("back to " + checkpoint_name(last_saved())));
  EXPECT_THAT(reason, HasSubstr("learning rate halved to 0.005"));
  EXPECT_THAT(html_report(std::span(&run, 1)),
              HasSubstr("back to " + checkpoint_name(last_saved())));

  ASSERT_THAT(run.batches, SizeIs(kEpochs * kBatches));
  ASSERT_EQ(whole.batches.size(), run.batches.size());
  for (std::size_t i = 0; i < run.batches.size(); ++i) {
    const BatchRow &row = run.batches[i], &undisturbed = whole.batches[i];
    EXPECT_EQ(row.step, static_cast<std::int64_t>(i));
    EXPECT_TRUE(std::isfinite(row.loss)) << row.step;
    const bool before = row.step < last_saved();
    EXPECT_DOUBLE_EQ(row.lr, before ? undisturbed.lr : undisturbed.lr / 2) << row.step;
    if (before || row.step == last_saved()) {
      EXPECT_EQ(row.loss, undisturbed.loss) << row.step;
    }
  }
  ASSERT_TRUE(run.end);
  EXPECT_EQ(run.end->status, "completed");
  const Safetensors saved = Safetensors::read(options.output / "model.safetensors");
  for (const TensorView& tensor : saved.tensors())
    EXPECT_TRUE(tensor_of(tensor).isfinite().all().item<bool>()) << tensor.name;
}

// Ends the run behind a step, as Ctrl-C would, once.
struct StopBehind : Callback {
  explicit StopBehind(std::int64_t at) : step(at) {}
  std::string name() const override { return "stop_behind"; }
  Stage stage() const override { return Stage::control; }
  void after_batch(Run& run) override {
    if (!run.training() || run.step != step) return;
    step = -1;
    run.cancel(Scope::fit, "enough", "interrupted");
  }
  std::int64_t step;
};

// Stopped where a save was due: one more checkpoint would be one more to go back to. Twice to a
// checkpoint; the second counts on from the first, and so the eight are eight of the run.
TEST_P(NonFinite, a_run_that_was_stopped_between_two_rewinds_ends_as_one_that_was_not) {
  if (GetParam().step != 7) GTEST_SKIP() << "once for each kind and engine is enough";
  const auto trained = [&](const fs::path& path, std::int64_t stop) {
    TrainRunOptions options = options_for(path, GetParam().engine, "rewind");
    const Callbacks callbacks{std::make_shared<Spoil>(path / "checkpoints", GetParam().where, 5),
                              std::make_shared<Spoil>(path / "checkpoints", GetParam().where, 10),
                              std::make_shared<StopBehind>(stop)};
    FitResult fit = train_run(options, {.callbacks = callbacks}).fit;
    if (stop < 0) return fit;
    EXPECT_EQ(fit.status, "interrupted");
    options.resume = true;
    return train_run(options, {.callbacks = callbacks}).fit;
  };
  EXPECT_TRUE(trained(folder_ / "whole", -1).completed());
  EXPECT_TRUE(trained(folder_ / "stopped", 7).completed());
  for (const RunDifference& difference : compare_runs(folder_ / "whole", folder_ / "stopped"))
    ADD_FAILURE() << difference.file << " " << difference.where << ": " << difference.what;
  const RunRecord run = read_run(folder_ / "stopped");
  ASSERT_THAT(run.events, SizeIs(2));
  EXPECT_THAT(run.events[0].reason, HasSubstr("learning rate halved to 0.005 (rewind 1)"));
  EXPECT_THAT(run.events[1].reason, HasSubstr("learning rate halved to 0.0025 (rewind 2)"));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& [where, place] :
       {std::pair{"input", Where::input}, std::pair{"loss", Where::loss},
        std::pair{"gradient", Where::gradient}}) {
    for (const auto& [when, step] :
         {std::pair{"at_the_very_first_step", 0}, std::pair{"at_the_first_step_of_an_epoch", 6},
          std::pair{"at_a_middle_step", 9}, std::pair{"at_the_last_step_of_an_epoch", 5},
          std::pair{"at_the_step_before_a_save", 7}}) {
      for (const std::string engine : {"torch", "fused"})
        all.push_back({where + std::string("_") + when + "_" + engine, place, step, engine});
    }
  }
  return all;
}

// What a step ruined is found by the next one or at the end of the pass; a save may be due before.
class RuinedWeight : public NonFinite {
 protected:
  static void expect_finite(const fs::path& file) {
    const Safetensors saved = Safetensors::read(file);
    for (const TensorView& tensor : saved.tensors()) {
      if (tensor_of(tensor).is_floating_point()) {
        EXPECT_TRUE(tensor_of(tensor).isfinite().all().item<bool>()) << file << " " << tensor.name;
      }
    }
  }
};

TEST_P(RuinedWeight, is_in_no_file_and_ends_the_run) {
  const TrainRunOptions options = options_for(folder_ / "run", GetParam().engine, "stop");
  const TrainRunResult result = train_run(options, {.callbacks = {spoil()}});
  EXPECT_EQ(result.fit.status, "diverged");
  const std::vector<ListedCheckpoint> listed = list_checkpoints(options.output / "checkpoints");
  for (const ListedCheckpoint& checkpoint : listed) {
    EXPECT_LE(checkpoint.step, GetParam().step);
    expect_finite(checkpoint.path);
  }
  const fs::path weights = options.output / "model.safetensors";
  EXPECT_EQ(fs::exists(weights), !listed.empty());
  if (fs::exists(weights)) expect_finite(weights);
  const RunRecord run = read_run(options.output);
  for (const EventRow& event : run.events) {  // none when the save failed as the run ended
    EXPECT_EQ(event.what, "checkpoint failed");
    EXPECT_THAT(event.reason, HasSubstr("holds a number that is not finite"));
  }
}

TEST_P(RuinedWeight, is_left_behind_by_a_rewind) {
  const TrainRunOptions options = options_for(folder_ / "run", GetParam().engine, "rewind");
  EXPECT_TRUE(train_run(options, {.callbacks = {spoil()}}).fit.completed());
  const RunRecord run = read_run(options.output);
  ASSERT_THAT(run.events, SizeIs(1));
  EXPECT_EQ(run.events[0].what, kRewindEvent);
  EXPECT_EQ(run.events[0].step, last_saved());
  expect_finite(options.output / "model.safetensors");
}

std::vector<Case> ruined() {
  std::vector<Case> all;
  for (const std::string engine : {"torch", "fused"}) {
    for (const auto& [when, step] :
         {std::pair{"before_a_save_", 7}, std::pair{"at_the_last_step_", 11}})
      all.push_back({when + engine, Where::weight, step, engine});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Runs, RuinedWeight, testing::ValuesIn(ruined()),
                         [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(Runs, NonFinite, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace fatwood
