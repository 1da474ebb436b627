#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/report/reproduction.h>

namespace fatwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A finished run whose every row is the page's, moved by `accuracy` and `loss`.
RunRecord like_page(std::string_view model, std::uint64_t seed, double accuracy, double loss) {
  RunRecord run;
  run.run.model = model;
  run.run.seed = seed;
  run.end = EndRow{.status = "completed"};
  for (const PageRun& page : page_runs()) {
    if (page.model != model) continue;
    for (const PageEpoch& row : page.epochs) {
      run.epochs.push_back(
          {.mode = row.mode,
           .epoch = row.epoch,
           .metrics = {{"accuracy", row.accuracy + accuracy}, {"loss", row.loss + loss}}});
    }
  }
  return run;
}

TEST(Reproduction, page_figures_are_three_epochs_of_training_and_evaluation) {
  EXPECT_EQ(page_runs().size(), 4u);
  for (const PageRun& run : page_runs()) {
    for (std::size_t i = 0; i < run.epochs.size(); ++i) {
      EXPECT_EQ(run.epochs[i].epoch, static_cast<std::int64_t>(i / 2));
      EXPECT_EQ(run.epochs[i].mode, i % 2 == 0 ? Mode::training : Mode::evaluation);
    }
  }
}

TEST(Reproduction, takes_the_mean_over_seeds_and_its_deviation) {
  const std::vector<RunRecord> runs = {like_page("residual_cnn", 0, 0.001, 0),
                                       like_page("residual_cnn", 1, 0.003, 0)};
  const auto held = held_against_page(runs);
  ASSERT_EQ(held.size(), 1u);
  EXPECT_THAT(held[0].seeds, ElementsAre(0u, 1u));
  const ReproducedRow& last = *held[0].final_row();
  EXPECT_NEAR(last.accuracy.ours.mean, 0.917, 1e-12);
  EXPECT_NEAR(last.accuracy.difference, 0.002, 1e-12);
  EXPECT_NEAR(last.accuracy.ours.deviation, 0.00141421, 1e-8);
  EXPECT_EQ(last.accuracy.verdict, Verdict::matches);
}

TEST(Reproduction, verdicts_turn_at_their_tolerances_in_the_direction_of_each_metric) {
  const auto verdicts = [](double accuracy, double loss) {
    const std::vector<RunRecord> runs = {like_page("deeper_cnn", 0, accuracy, loss)};
    const auto held = held_against_page(runs);
    const ReproducedRow& last = *held[0].final_row();
    return std::string(name_of(last.accuracy.verdict)) + " " +
           std::string(name_of(last.loss.verdict));
  };
  EXPECT_EQ(verdicts(0, 0), "matches matches");
  EXPECT_EQ(verdicts(-0.003, 0.010), "matches matches");
  EXPECT_EQ(verdicts(-0.0031, 0.0101), "worse worse");
  EXPECT_EQ(verdicts(0.0031, -0.0101), "better better");
  EXPECT_EQ(verdicts(std::nan(""), std::nan("")), "worse worse");
}

TEST(Reproduction, counts_completed_runs_of_the_page_alone) {
  std::vector<RunRecord> runs = {like_page("deeper_cnn", 0, 0, 0), like_page("deeper_cnn", 1, 0, 0),
                                 like_page("cnn", 0, 0, 0)};
  runs[1].end->status = "interrupted";
  const auto held = held_against_page(runs);
  ASSERT_EQ(held.size(), 1u);
  EXPECT_THAT(held[0].seeds, ElementsAre(0u));
}

TEST(Reproduction, one_epoch_has_no_final_row_and_no_say_in_the_conclusion) {
  std::vector<RunRecord> runs = {like_page("deeper_cnn", 0, 0, 0)};
  runs[0].epochs.resize(2);
  const auto held = held_against_page(runs);
  EXPECT_EQ(held[0].rows.size(), 2u);
  EXPECT_EQ(held[0].final_row(), nullptr);
  EXPECT_THAT(conclusion(held), HasSubstr("0 of 0 networks"));
}

TEST(Reproduction, conclusion_names_the_networks_that_stay_below) {
  const std::vector<RunRecord> runs = {like_page("deeper_cnn", 0, 0.01, 0),
                                       like_page("resnet18", 0, -0.004, 0)};
  EXPECT_EQ(conclusion(held_against_page(runs)),
            "final accuracy: 1 of 2 networks at the page's or no more than 0.003 below it; not "
            "timm's resnet18 (−0.004)");
}

TEST(Reproduction, tables_show_ours_the_page_and_the_difference) {
  const std::vector<RunRecord> runs = {like_page("double_conv_cnn", 0, 0.005, -0.02)};
  const auto held = held_against_page(runs);
  const std::string table = epoch_table(held[0]).plain();
  EXPECT_THAT(
      table,
      HasSubstr("             0.915  0.910      +0.005  0.255  0.275      −0.020      2  eval\n"));
  EXPECT_THAT(
      verdict_table(held).plain(),
      HasSubstr("DeeperCNN, DoubleConvBlock      2  eval   better by 0.005  better by 0.020\n"));
}

}  // namespace
}  // namespace fatwood
