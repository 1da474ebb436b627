#include <fstream>
#include <semaphore>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/train/checkpointing.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/stopping.h>

#include "support/temporary_folder.h"
#include "train/tiny.h"

namespace fatwood {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::int64_t> steps_in(const std::filesystem::path& folder) {
  std::vector<std::int64_t> steps;
  for (const ListedCheckpoint& listed : list_checkpoints(folder)) steps.push_back(listed.step);
  return steps;
}

// A metric that says what it is told, an evaluation pass at a time.
struct Told : Metric {
  explicit Told(std::vector<double> v) : values(std::move(v)) {}
  MetricInfo info() const override { return {"told", "told", "", false}; }
  void reset() override { ++at; }
  void update(const Tensor&, const Tensor&, double) override {}
  double value() const override { return values[static_cast<std::size_t>(at / 2)]; }
  NamedTensors state() const override { return {}; }
  void load_state(const NamedTensors&) override {}
  std::vector<double> values;
  int at = -1;
};

// Waits for the writer between batches, so that what is saved does not depend on the disk.
struct Patient : Callback {
  explicit Patient(std::function<void(Run&)> f) : function(std::move(f)) {}
  std::string name() const override { return "patient"; }
  void before_batch(Run& run) override { function(run); }
  std::function<void(Run&)> function;
};

struct EventSink : RowSink {
  void event(const EventRow& row) override { events.push_back(row); }
  std::vector<EventRow> events;
};

TEST(Checkpointing, keeps_the_newest_and_the_best) {
  const TemporaryFolder folder;
  const auto metrics = std::make_shared<Metrics>(
      std::vector<MetricPtr>{std::make_shared<Told>(std::vector<double>{3, 1, 2, 4, 5})});
  const auto saving = std::make_shared<Checkpointing>(
      CheckpointingOptions{.folder = folder / "checkpoints", .keep = 2, .best = "told"});
  // Epochs of four batches that the disk keeps up with.
  const auto patient = std::make_shared<Patient>([&](fatwood::Run& run) {
    if (run.training() && run.batch_index == 0 && run.epoch > 0) {
      const auto newest_is = [&](std::int64_t step) {
        const auto steps = steps_in(folder / "checkpoints");
        return !steps.empty() && steps.front() == step;
      };
      for (int i = 0; i < 60'000 && !newest_is(run.step); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  tiny_learner({metrics, saving, patient}).fit(5);
  EXPECT_THAT(steps_in(folder / "checkpoints"), ElementsAre(20, 16, 8));
  EXPECT_EQ(saving->cost().saved, 5);
  EXPECT_EQ(saving->newest(), folder / "checkpoints" / checkpoint_name(20));
  EXPECT_TRUE(saving->last_saved());
  const CheckpointFile last = read_checkpoint(saving->newest());
  EXPECT_EQ(last.about["callbacks"]["checkpointing"]["best"]["step"], 8);
  EXPECT_EQ(last.about["callbacks"]["checkpointing"]["best"]["value"], 1);
}

TEST(Checkpointing, saves_by_steps_and_at_the_end_whatever_the_disk_does) {
  const TemporaryFolder folder;
  const auto saving = std::make_shared<Checkpointing>(
      CheckpointingOptions{.folder = folder / "c", .steps = 3, .minutes = 0, .epochs = false});
  tiny_learner({saving}).fit(2);
  const auto steps = steps_in(folder / "c");
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps.front(), 8);
  EXPECT_GE(saving->cost().saved, 2);
  EXPECT_EQ(read_checkpoint(folder / "c" / checkpoint_name(8)).about["position"],
            (nlohmann::json{{"epoch", 2}, {"pass", "train"}, {"batch", 0}}));
}

TEST(Checkpointing, saves_when_the_last_save_is_long_enough_ago) {
  const TemporaryFolder folder;
  const auto saved = [&](double minutes) {
    const auto saving = std::make_shared<Checkpointing>(CheckpointingOptions{
        .folder = folder / std::to_string(minutes), .minutes = minutes, .epochs = false});
    // Over two milliseconds a batch, and as long as the disk needs where a save is due at each.
    const auto slow = std::make_shared<Patient>([&](fatwood::Run& run) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      const auto due = folder / std::to_string(minutes) / checkpoint_name(run.step);
      for (int i = 0; i < 60'000 && minutes < 1 && run.training() && run.step > 0 &&
                      !std::filesystem::exists(due);
           ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    tiny_learner({saving, slow}).fit(2);
    return saving->cost().saved;
  };
  EXPECT_EQ(saved(60), 1);           // the end alone
  EXPECT_GE(saved(1e-3 / 60.0), 8);  // a millisecond is over at every batch
}

TEST(Checkpointing, keeps_as_many_as_asked) {
  const TemporaryFolder folder;
  // By steps alone: with an epoch's end to save as well the writer may have no room for the step
  // behind it.
  const auto saving = std::make_shared<Checkpointing>(CheckpointingOptions{
      .folder = folder / "c", .steps = 1, .minutes = 0, .epochs = false, .keep = 4, .best = ""});
  const auto patient = std::make_shared<Patient>([&](fatwood::Run& run) {
    for (int i = 0; i < 60'000 && run.training() && run.step > 0 &&
                    !std::filesystem::exists(folder / "c" / checkpoint_name(run.step));
         ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  tiny_learner({saving, patient}).fit(2);
  EXPECT_THAT(steps_in(folder / "c"), ElementsAre(8, 7, 6, 5));
}

TEST(CheckpointWriter, writes_in_the_order_of_handing_over_two_states_of_one_step_too) {
  const TemporaryFolder folder;
  Learner learner = tiny_learner();
  learner.fit(1);
  const Position before{.epoch = 0, .pass = Mode::evaluation, .batch = 0},
      behind{.epoch = 1, .pass = Mode::training, .batch = 0};
  ASSERT_EQ(step_at(before, 4), step_at(behind, 4));
  for (int i = 0; i < 20; ++i) {
    const auto path = folder / std::to_string(i);
    {
      CheckpointWriter writer({.folder = path});
      Snapshot* newer = writer.acquire(SaveWeight::best);
      Snapshot* older = writer.acquire(SaveWeight::regular);
      older->take(learner.run(), before, {});
      newer->take(learner.run(), behind, {});
      writer.submit(older, SaveWeight::regular);
      writer.submit(newer, SaveWeight::best);
    }
    const CheckpointFile file = read_checkpoint(path / checkpoint_name(4));
    EXPECT_EQ(file.about["position"]["pass"], "train") << "an older state took a newer one's place";
  }
}

TEST(CheckpointWriter, a_waiting_state_that_matters_more_keeps_its_place) {
  const TemporaryFolder folder;
  Learner learner = tiny_learner();
  learner.fit(1);
  std::binary_semaphore at_disk(0), disk(0);
  CheckpointWriter writer({.folder = folder / "c", .before_write = [&, first = true]() mutable {
                             if (!std::exchange(first, false)) return;
                             at_disk.release();
                             disk.acquire();
                           }});
  const auto submit = [&](std::int64_t step, SaveWeight weight) {
    Snapshot* snapshot = writer.acquire(weight);
    if (!snapshot) return false;
    snapshot->take(learner.run(), {.epoch = 0, .pass = Mode::training, .batch = step}, {});
    writer.submit(snapshot, weight);
    return true;
  };
  EXPECT_TRUE(submit(1, SaveWeight::regular));
  at_disk.acquire();  // it is being written, for as long as the test wants
  EXPECT_TRUE(submit(2, SaveWeight::best));
  EXPECT_FALSE(submit(3, SaveWeight::regular));
  EXPECT_TRUE(submit(4, SaveWeight::best));
  disk.release();
  writer.drain();
  EXPECT_THAT(steps_in(folder / "c"), ElementsAre(4, 1));
}

TEST(Checkpointing, an_interrupted_fit_is_saved_at_its_last_batch) {
  const TemporaryFolder folder;
  std::stop_source source;
  const auto saving =
      std::make_shared<Checkpointing>(CheckpointingOptions{.folder = folder / "c", .minutes = 0});
  for (const auto mode : {Mode::training, Mode::evaluation}) {
    std::stop_source stop;
    const auto stopper = std::make_shared<Patient>([&](fatwood::Run& run) {
      if (run.mode == mode && run.epoch == 1 && run.batch_index == 2) stop.request_stop();
    });
    const FitResult result =
        tiny_learner({saving, stopper, std::make_shared<StopOnRequest>(stop.get_token())}).fit(3);
    EXPECT_EQ(result.status, "interrupted");
    const nlohmann::json position = read_checkpoint(saving->newest()).about["position"];
    if (mode == Mode::training) {
      EXPECT_EQ(position, (nlohmann::json{{"epoch", 1}, {"pass", "train"}, {"batch", 3}}));
    } else {
      EXPECT_EQ(position, (nlohmann::json{{"epoch", 1}, {"pass", "eval"}, {"batch", 0}}));
    }
  }
}

TEST(Checkpointing, a_failed_save_is_told_and_the_fit_goes_on) {
  const TemporaryFolder folder;
  std::ofstream(folder / "checkpoints") << "a file where the folder should be";
  const auto events = std::make_shared<EventSink>();
  const auto recorder = std::make_shared<Recorder>(std::vector<RowSinkPtr>{events});
  const auto saving = std::make_shared<Checkpointing>(
      CheckpointingOptions{.folder = folder / "checkpoints", .recorder = recorder});
  EXPECT_TRUE(tiny_learner({recorder, saving}).fit(2).completed());
  ASSERT_FALSE(events->events.empty());
  EXPECT_EQ(events->events[0].what, "checkpoint failed");
  EXPECT_THAT(events->events.back().reason, HasSubstr((folder / "checkpoints").string()));
  EXPECT_EQ(saving->cost().saved, 0);
  EXPECT_TRUE(saving->newest().empty());
  EXPECT_FALSE(saving->last_saved());
}

TEST(Checkpointing, no_checkpoint_holds_a_number_that_is_not_finite) {
  const TemporaryFolder folder;
  const auto events = std::make_shared<EventSink>();
  const auto recorder = std::make_shared<Recorder>(std::vector<RowSinkPtr>{events});
  const auto saving = std::make_shared<Checkpointing>(
      CheckpointingOptions{.folder = folder / "c", .recorder = recorder});
  const auto spoil = std::make_shared<Patient>([](fatwood::Run& run) {
    const torch::NoGradGuard no_grad;
    if (run.epoch == 1 && !run.training()) run.model->parameters()[0].fill_(NAN);
  });
  tiny_learner({recorder, saving, spoil}).fit(2);
  EXPECT_THAT(steps_in(folder / "c"), ElementsAre(4));
  ASSERT_EQ(events->events.size(), 1u);
  EXPECT_THAT(events->events[0].reason, HasSubstr("not finite"));
}

TEST(Checkpointing, refuses_what_cannot_be) {
  EXPECT_THROW(Checkpointing({}), Error);
  EXPECT_THROW(Checkpointing({.folder = "c", .keep = 1}), Error);
  EXPECT_THROW(Checkpointing({.folder = "c", .steps = -1}), Error);
  EXPECT_THROW(Checkpointing({.folder = "c", .minutes = -1}), Error);
}

}  // namespace
}  // namespace fatwood
