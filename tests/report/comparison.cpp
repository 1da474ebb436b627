#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/report/comparison.h>

namespace fatwood {
namespace {

using ::testing::ElementsAre;

RunRecord run(const std::string& name, NamedTexts options) {
  RunRecord record;
  record.name = name;
  record.run.model = "cnn";
  record.options = std::move(options);
  return record;
}

TEST(Comparison, spread_is_the_mean_and_the_unbiased_deviation) {
  const std::vector<double> values = {0.912, 0.914, 0.919};
  const Spread spread = spread_of(values);
  EXPECT_NEAR(spread.mean, 0.915, 1e-12);
  EXPECT_NEAR(spread.deviation, 0.00360555, 1e-8);
  EXPECT_EQ(text_of(spread, 3), "0.915 ± 0.004");
  EXPECT_EQ(text_of(spread_of(std::span(values).first(1)), 3), "0.912");
  EXPECT_EQ(text_of(spread_of({}), 3), "");
}

TEST(Comparison, runs_group_by_everything_but_seed_and_place) {
  const std::vector<RunRecord> runs = {
      run("a", {{"lr", "0.01"}, {"seed", "1"}, {"output", "runs/a"}}),
      run("b", {{"lr", "0.02"}, {"seed", "1"}, {"output", "runs/b"}}),
      run("c", {{"lr", "0.01"}, {"seed", "2"}, {"output", "runs/c"}})};
  EXPECT_THAT(differing_options(runs), ElementsAre("lr"));
  const auto groups = groups_of(runs);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].label, "cnn, lr 0.01");
  EXPECT_THAT(groups[0].members, ElementsAre(0, 2));
  EXPECT_THAT(groups[1].members, ElementsAre(1));
}

TEST(Comparison, an_option_that_a_run_lacks_differs) {
  const std::vector<RunRecord> runs = {run("a", {}), run("b", {{"holdout", "0.1"}})};
  EXPECT_THAT(differing_options(runs), ElementsAre("holdout"));
  EXPECT_EQ(groups_of(runs)[0].label, "cnn, holdout unset");
}

TEST(Comparison, different_models_never_share_a_group) {
  std::vector<RunRecord> runs = {run("a", {}), run("b", {})};
  runs[1].run.model = "resnet18";
  EXPECT_EQ(groups_of(runs).size(), 2u);
}

TEST(Comparison, final_value_is_that_of_the_last_row_that_has_it) {
  RunRecord record;
  record.epochs = {{.mode = Mode::evaluation, .epoch = 0, .metrics = {{"loss", 3}}},
                   {.mode = Mode::evaluation, .epoch = 1, .metrics = {{"loss", 2}}},
                   {.mode = Mode::training, .epoch = 2, .metrics = {{"loss", 1}}}};
  EXPECT_EQ(final_value(record, Mode::evaluation, "loss"), 2);
  EXPECT_EQ(final_value(record, Mode::evaluation, "accuracy"), std::nullopt);
}

}  // namespace
}  // namespace fatwood
