#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inspect/diagnosed_rows.h"

namespace fatwood {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// Rows by hand: `steps` of two layers, deviation 1 in both, the loss falling from 2 to 1.
Rows healthy_rows(std::int64_t steps) {
  Rows rows;
  rows.layers = {{"layers.0", "Conv"}, {"layers.1", "Conv"}};
  for (std::int64_t i = 0; i < steps; ++i) {
    const double done = static_cast<double>(i) / static_cast<double>(steps);
    rows.batches.push_back({.step = i, .loss = 2 - done, .lr = 0.03});
    rows.statistics.push_back({.step = i, .mean = {0, 0}, .std = {1, 1}, .hist = {}});
  }
  return rows;
}

TEST(Diagnose, wants_a_few_rows_in_a_row) {
  Rows rows = healthy_rows(40);
  for (const std::size_t i : {3, 4, 5, 6, 8, 9, 10, 11}) rows.statistics[i].std[0] = 50;
  EXPECT_THAT(rules(rows), IsEmpty());
  rows.statistics[7].std[0] = 70;
  const std::vector<Finding> findings = rows.findings();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].rule, "exploding-deviation");
  EXPECT_EQ(findings[0].layer, "layers.0");
  EXPECT_EQ(findings[0].first_step, 3);
  EXPECT_EQ(findings[0].last_step, 11);
  EXPECT_THAT(findings[0].what, HasSubstr("70"));
  EXPECT_THAT(findings[0].advice, HasSubstr("grew in training"));
}

TEST(Diagnose, tells_a_dead_layer_from_a_small_one) {
  Rows small = healthy_rows(40), dead = healthy_rows(40);
  for (std::size_t i = 0; i < 40; ++i) {
    std::vector<std::int64_t> tail(40);
    tail[0] = 960;
    tail[1] = 40;  // normal, deviation 0.12: a few values reach the second bin
    small.statistics[i].std[0] = 0.12;
    small.statistics[i].hist = {tail, tail};
    tail[1] = 0;
    tail[4] = 40;  // one value of 25 is about 1.1, the others are 0
    dead.statistics[i].std[0] = 0.22;
    dead.statistics[i].mean[0] = 0.045;
    dead.statistics[i].hist = {tail, tail};
  }
  EXPECT_THAT(rules(small), IsEmpty());
  EXPECT_EQ(layer_named(dead, "dead-units"), "layers.0");
}

TEST(Diagnose, tells_a_comeback_of_the_loss_from_a_single_bad_batch) {
  Rows rows = healthy_rows(60);
  for (const std::size_t i : {20, 21, 40}) rows.batches[i].loss = 30;
  EXPECT_THAT(rules(rows), IsEmpty());
  for (std::size_t i = 30; i < 40; ++i) rows.batches[i].loss = 5;
  const std::vector<Finding> findings = rows.findings();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].rule, "learning-rate-too-high");
  EXPECT_EQ(findings[0].first_step, 34);
  EXPECT_THAT(findings[0].advice, HasSubstr("--lr 0.01 "));
}

TEST(Diagnose, leaves_saturated_logits_that_are_right_alone) {
  Rows rows = healthy_rows(40);
  for (StatsRow& row : rows.statistics) row.std[1] = 15;
  EXPECT_EQ(layer_named(rows, "saturating-head"), "layers.1");
  for (BatchRow& row : rows.batches) row.loss *= 0.01;
  EXPECT_THAT(rules(rows), IsEmpty());
}

TEST(Diagnose, passes_over_evaluation_rows_and_partial_statistics) {
  Rows rows = healthy_rows(40);
  for (std::int64_t i = 0; i < 10; ++i) {
    rows.statistics.push_back(
        {.mode = Mode::evaluation, .step = 40, .mean = {0, 0}, .std = {99, 99}, .hist = {}});
    rows.batches.push_back({.mode = Mode::evaluation, .step = 40, .loss = std::nan("")});
    rows.statistics.push_back({.step = 40, .mean = {0}, .std = {99}, .hist = {}});
  }
  EXPECT_THAT(rules(rows), IsEmpty());
  EXPECT_THAT(rules(Rows{}), IsEmpty());
}

TEST(Diagnose, names_layers_by_position_where_only_some_were_watched) {
  Rows rows = healthy_rows(40);
  for (StatsRow& row : rows.statistics) {
    row.mean = {0};
    row.std = {99};
  }
  EXPECT_EQ(layer_named(rows, "exploding-deviation"), "layer 0");
}

TEST(Diagnose, repeats_why_a_run_diverged) {
  Rows rows = healthy_rows(12);
  rows.last = EndRow{"diverged", "loss is nan at step 12", 12, 1};
  const std::vector<Finding> findings = rows.findings();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].first_step, 12);
  EXPECT_THAT(findings[0].what, HasSubstr("loss is nan at step 12"));
}

}  // namespace
}  // namespace fatwood
