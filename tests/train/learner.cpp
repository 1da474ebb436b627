#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/train/learner.h>

#include "train/tiny.h"

namespace fatwood {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Writes down every event, and acts at one of them.
class Scribe : public Callback {
 public:
  using Act = std::function<void(const std::string& event, Run&)>;
  explicit Scribe(std::vector<std::string>& log, Act act = {}, std::string tag = "",
                  Stage stage = Stage::train)
      : log_(log), act_(std::move(act)), tag_(std::move(tag)), stage_(stage) {}
  std::string name() const override { return "scribe"; }
  Stage stage() const override { return stage_; }
  void before_fit(Run& run) override { at("before_fit", run); }
  void after_fit(Run& run) override { at("after_fit", run); }
  void cleanup_fit(Run& run) override { at("cleanup_fit", run); }
  void before_epoch(Run& run) override { at("before_epoch", run); }
  void after_epoch(Run& run) override { at("after_epoch", run); }
  void cleanup_epoch(Run& run) override { at("cleanup_epoch", run); }
  void before_batch(Run& run) override { at("before_batch", run); }
  void after_batch(Run& run) override { at("after_batch", run); }
  void cleanup_batch(Run& run) override { at("cleanup_batch", run); }
  void after_predict(Run& run) override { at("after_predict", run); }
  void after_loss(Run& run) override { at("after_loss", run); }
  void after_backward(Run& run) override { at("after_backward", run); }
  void after_step(Run& run) override { at("after_step", run); }

 private:
  void at(const std::string& event, Run& run) {
    log_.push_back(tag_ + event);
    if (act_) act_(event, run);
  }
  std::vector<std::string>& log_;
  Act act_;
  std::string tag_;
  Stage stage_;
};

Learner one_batch_learner(Callbacks callbacks) {
  Learner learner = tiny_learner(std::move(callbacks), /*samples=*/10);
  return learner;
}

TEST(Learner, calls_the_events_in_the_documented_order) {
  std::vector<std::string> log;
  Learner learner = one_batch_learner({std::make_shared<Scribe>(log)});
  EXPECT_TRUE(learner.fit(1).completed());
  EXPECT_THAT(log, ElementsAre("before_fit",                                                    //
                               "before_epoch", "before_batch", "after_predict", "after_loss",   //
                               "after_backward", "after_step", "after_batch", "cleanup_batch",  //
                               "after_epoch", "cleanup_epoch",                                  //
                               "before_epoch", "before_batch", "after_predict", "after_loss",   //
                               "after_batch", "cleanup_batch", "after_epoch", "cleanup_epoch",  //
                               "after_fit", "cleanup_fit"));
}

TEST(Learner, orders_callbacks_by_stage_and_then_as_added_and_cleans_up_in_reverse) {
  std::vector<std::string> log;
  const auto scribe = [&](std::string tag, Stage stage) {
    return std::make_shared<Scribe>(log, nullptr, tag, stage);
  };
  Learner learner =
      one_batch_learner({scribe("display.", Stage::display), scribe("first.", Stage::train)});
  learner.fit(1, {scribe("second.", Stage::train), scribe("data.", Stage::data)});
  std::vector<std::string> fit;
  for (const std::string& event : log) {
    if (event.ends_with("before_fit") || event.ends_with("cleanup_fit")) fit.push_back(event);
  }
  EXPECT_THAT(fit, ElementsAre("data.before_fit", "first.before_fit", "second.before_fit",
                               "display.before_fit", "display.cleanup_fit", "second.cleanup_fit",
                               "first.cleanup_fit", "data.cleanup_fit"));
}

TEST(Learner, extra_callbacks_take_part_in_one_fit_only) {
  std::vector<std::string> log;
  Learner learner = one_batch_learner({});
  learner.fit(1, {std::make_shared<Scribe>(log)});
  const std::size_t events = log.size();
  EXPECT_GT(events, 0u);
  learner.fit(1);
  EXPECT_EQ(log.size(), events);
}

// What every combination of event and scope must keep: cleanup reaches those whose before returned,
// no other part of the cancelled bracket runs, wider brackets go on.
class Cancelling : public testing::TestWithParam<std::tuple<std::string, Scope>> {};

INSTANTIATE_TEST_SUITE_P(EventsAndScopes, Cancelling,
                         testing::Combine(testing::Values("before_batch", "after_predict",
                                                          "after_loss", "after_backward",
                                                          "after_step", "after_batch"),
                                          testing::Values(Scope::batch, Scope::epoch, Scope::fit)));

TEST_P(Cancelling, in_a_batch_ends_its_scope_and_no_more) {
  const auto& [event, scope] = GetParam();
  std::vector<std::string> log;
  const auto cancel = [&, event = event, scope = scope](const std::string& now, auto& run) {
    if (now == event && run.training() && run.batch_index == 1) run.cancel(scope, "enough");
  };
  Learner learner = tiny_learner(
      {std::make_shared<Scribe>(log, cancel), std::make_shared<Scribe>(log, nullptr, "b.")});
  const FitResult result = learner.fit(2);
  const auto times = [&log](const std::string& name) {
    return std::count(log.begin(), log.end(), name);
  };

  // Four training and four evaluation batches an epoch, two epochs.
  const std::int64_t batches = scope == Scope::batch ? 16 : scope == Scope::epoch ? 2 * (2 + 4) : 2;
  const std::int64_t epochs = scope == Scope::fit ? 1 : 4;
  const std::int64_t cancels = scope == Scope::fit ? 1 : 2;
  EXPECT_EQ(times("before_batch"), batches);
  EXPECT_EQ(times("cleanup_batch"), batches);
  EXPECT_EQ(times("after_batch"), event == "after_batch" ? batches : batches - cancels);
  EXPECT_EQ(times("b." + event), times(event) - cancels);
  EXPECT_EQ(times("b.cleanup_batch"), times("b.before_batch"));
  EXPECT_EQ(times("before_epoch"), epochs);
  EXPECT_EQ(times("cleanup_epoch"), epochs);
  EXPECT_EQ(times("after_epoch"), scope == Scope::batch ? 4 : scope == Scope::epoch ? 2 : 0);
  EXPECT_EQ(times("after_fit"), scope == Scope::fit ? 0 : 1);
  EXPECT_EQ(times("cleanup_fit"), 1);
  EXPECT_EQ(result.status, scope == Scope::fit ? "cancelled" : "completed");
  EXPECT_EQ(result.reason, scope == Scope::fit ? "enough" : "");
}

TEST(Learner, cancelling_a_bracket_that_is_not_open_is_an_error) {
  std::vector<std::string> log;
  const auto cancel = [](const std::string& event, auto& run) {
    if (event == "before_epoch") run.cancel(Scope::batch, "too early");
  };
  Learner learner = tiny_learner({std::make_shared<Scribe>(log, cancel)});
  try {
    learner.fit(1);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("no batch is running (reason given: too early)"));
  }
  EXPECT_EQ(log.back(), "cleanup_fit");
}

TEST(Learner, an_error_passes_through_after_every_cleanup) {
  for (const std::string where :
       {"before_fit", "before_epoch", "before_batch", "after_loss", "cleanup_batch"}) {
    std::vector<std::string> log;
    const auto fail = [&where](const std::string& event, auto&) {
      if (event == where) throw std::runtime_error("broken");
    };
    Learner learner = tiny_learner(
        {std::make_shared<Scribe>(log, nullptr, "a."), std::make_shared<Scribe>(log, fail)});
    EXPECT_THROW(learner.fit(1), std::runtime_error) << where;
    const auto times = [&log](const std::string& name) {
      return std::count(log.begin(), log.end(), name);
    };
    for (const std::string scope : {"fit", "epoch", "batch"}) {
      EXPECT_EQ(times("a.before_" + scope), times("a.cleanup_" + scope)) << where << ", " << scope;
      const std::int64_t returned = times("before_" + scope) - (where == "before_" + scope ? 1 : 0);
      EXPECT_EQ(times("cleanup_" + scope), returned) << where << ", " << scope;
    }
  }
}

TEST(Learner, can_fit_again_after_an_error) {
  std::vector<std::string> log;
  bool broken = true;
  const auto fail = [&broken](const std::string& event, auto&) {
    if (broken && event == "after_loss") throw std::runtime_error("broken");
  };
  Learner learner = tiny_learner({std::make_shared<Scribe>(log, fail)});
  EXPECT_THROW(learner.fit(1), std::runtime_error);
  broken = false;
  EXPECT_TRUE(learner.fit(1).completed());
}

TEST(Learner, parts_that_a_callback_replaces_come_back_after_the_fit) {
  int zeroed = 0;
  std::vector<std::string> log;
  const auto replace = [&zeroed](const std::string& event, auto& run) {
    if (event != "before_fit") return;
    run.parts.zero_grad = [&zeroed, usual = run.parts.zero_grad](auto& r) {
      ++zeroed;
      usual(r);
    };
  };
  Learner learner = tiny_learner();
  learner.fit(1, {std::make_shared<Scribe>(log, replace)});
  EXPECT_EQ(zeroed, 4);
  learner.fit(1);
  EXPECT_EQ(zeroed, 4);
}

TEST(Learner, trains) {
  Learner learner = tiny_learner();
  const auto loss = [&] {
    learner.evaluate();
    const torch::NoGradGuard no_grad;
    const Batch batch = learner.run().loaders.eval->get(0, 0);
    return torch::cross_entropy_loss(learner.run().model->forward(batch.x), batch.y).item<double>();
  };
  const double before = loss();
  learner.fit(20);
  EXPECT_LT(loss(), before * 0.5);
}

TEST(Learner, evaluation_takes_no_step_and_no_gradient) {
  Learner learner = tiny_learner();
  const Tensor weight = learner.run().model->parameters()[0];
  const Tensor before = weight.detach().clone();
  std::vector<std::string> log;
  const auto look = [](const std::string& event, auto& run) {
    if (event == "after_predict") {
      EXPECT_FALSE(run.predictions.requires_grad());
      EXPECT_FALSE(run.model->is_training());
    }
  };
  EXPECT_TRUE(learner.evaluate({std::make_shared<Scribe>(log, look)}).completed());
  EXPECT_TRUE(torch::equal(weight, before));
  EXPECT_TRUE(learner.run().model->is_training());
  EXPECT_THAT(log, testing::Not(testing::Contains("after_backward")));
}

TEST(Learner, starts_in_the_middle_where_told_and_there_the_step_is_its_position) {
  std::vector<std::tuple<std::int64_t, std::int64_t, std::int64_t>> seen;
  std::vector<std::string> log;
  const auto look = [&seen](const std::string& event, auto& run) {
    if (event == "after_batch" && run.training())
      seen.emplace_back(run.epoch, run.batch_index, run.step);
  };
  Learner learner = tiny_learner({std::make_shared<Scribe>(log, look)});
  learner.start_at(1, 2);
  learner.fit(3);
  ASSERT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen.front(), std::make_tuple(1, 2, 6));
  EXPECT_EQ(seen.back(), std::make_tuple(2, 3, 11));
}

// As GraphedSteps does it on a GPU.
TEST(Learner, reads_what_an_engine_measured_of_this_batch_and_no_other) {
  std::vector<std::string> log;
  std::vector<double> losses;
  int readings = 0;
  const auto look = [&](const std::string& event, auto& run) {
    if (event == "after_predict" && run.batch_index == 1) {
      run.measured = [&readings] {
        ++readings;
        return Run::Measured{.loss = 7, .gradient_norms = 1};
      };
    }
    if (event == "after_batch" && run.training()) losses.push_back(run.loss_value());
    if (event == "after_batch") {
      EXPECT_EQ(static_cast<bool>(run.measured), run.batch_index == 1);
    }
  };
  Learner learner = tiny_learner({std::make_shared<Scribe>(log, look)});
  learner.fit(1);
  ASSERT_EQ(losses.size(), 4U);
  EXPECT_EQ(losses[1], 7);
  EXPECT_NE(losses[0], 7);
  EXPECT_NE(losses[2], 7);
  EXPECT_EQ(readings, 1);
}

TEST(Learner, refuses_to_start_without_what_it_needs) {
  EXPECT_THROW(Learner({}), Error);
  Learner learner = tiny_learner();
  EXPECT_THROW(learner.fit(0), Error);
  EXPECT_THROW(learner.fit(-1), Error);
  EXPECT_THROW(learner.fit(std::numeric_limits<std::int64_t>::max()), Error);
}

}  // namespace
}  // namespace fatwood
