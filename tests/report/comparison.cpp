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

TEST(Comparison, runs_of_other_machines_versions_or_data_never_share_a_group) {
  RunRecord plain = run("a", {{"lr", "0.01"}});
  plain.fatwood_version = "0.1.0";
  plain.libtorch_version = "2.13.0";
  plain.machine = {{"isa", "avx512"}, {"cores", "8"}};
  plain.data = {{"name", "digits"}, {"mean", "0.286"}};
  std::vector<RunRecord> runs(6, plain);
  runs[1].machine = {{"isa", "avx512"}, {"cores", "2"}};  // but of other cores and splits
  runs[1].data = {{"name", "digits"}, {"mean", "0.287"}};
  runs[2].machine = {{"isa", "avx2"}, {"cores", "8"}};
  runs[3].fatwood_version = "0.2.0";
  runs[4].data = {{"name", "letters"}, {"mean", "0.286"}};
  runs[5].machine.emplace_back("tuning", "6f2a");
  EXPECT_THAT(differing_options(runs), ::testing::IsEmpty());
  EXPECT_THAT(differing_facts(runs),
              ElementsAre("fatwood", "machine isa", "data name", "machine tuning"));
  const auto groups = groups_of(runs);
  ASSERT_EQ(groups.size(), 5u);
  EXPECT_THAT(groups[0].members, ElementsAre(0, 1));
  EXPECT_EQ(groups[1].label,
            "cnn, fatwood 0.1.0, machine isa avx2, data name digits, machine tuning unset");
  EXPECT_EQ(fact_of(runs[4], "data name"), "letters");
}

TEST(Comparison, a_folder_given_twice_counts_once) {
  std::vector<RunRecord> runs(4, run("a", {}));
  runs[0].folder = "runs/a";
  runs[1].folder = "runs/b";
  runs[2].folder = "runs/./b/../a";
  runs[3].folder = "runs/b";
  const auto groups = groups_of(runs);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_THAT(groups[0].members, ElementsAre(0, 1));
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
