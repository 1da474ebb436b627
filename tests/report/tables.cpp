
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/report/tables.h>

namespace fatwood {
namespace {

using ::testing::StrEq;

const std::vector<MetricInfo> kMetrics = {{"accuracy", "MulticlassAccuracy", "fraction", true},
                                          {"loss", "loss", "nats", false}};

EpochRow row(Mode mode, std::int64_t epoch, MetricValues metrics) {
  return {.mode = mode, .epoch = epoch, .metrics = std::move(metrics)};
}

TEST(EpochTable, has_the_columns_of_the_page) {
  EpochTable table(kMetrics);
  table.add(row(Mode::training, 0, {{"accuracy", 0.8071}, {"loss", 0.5829}}));
  table.add(row(Mode::evaluation, 0, {{"loss", 0.3844}, {"accuracy", 0.8692}}));
  EXPECT_THAT(table.table().markdown(), StrEq("| MulticlassAccuracy | loss | epoch | train |\n"
                                              "| -- | -- | -- | -- |\n"
                                              "| 0.807 | 0.583 | 0 | train |\n"
                                              "| 0.869 | 0.384 | 0 | eval |\n"));
  EXPECT_THAT(table.table().plain(), StrEq("MulticlassAccuracy    loss  epoch  train\n"
                                           "             0.807   0.583      0  train\n"
                                           "             0.869   0.384      0  eval\n"));
}

TEST(EpochTable, lines_printed_as_they_come_equal_the_whole) {
  EpochTable table(kMetrics);
  std::string text = table.heading();
  for (int epoch = 0; epoch < 3; ++epoch) {
    table.add(row(Mode::evaluation, epoch, {{"accuracy", 0.8}, {"loss", 12.5}}));
    text += table.last_row();
  }
  EXPECT_EQ(text, table.table().plain());
}

TEST(EpochTable, a_wide_value_widens_the_lines_behind_it_as_in_the_whole) {
  EpochTable table(kMetrics);
  for (const double loss : {0.5, 1234567.8, 0.25}) {
    table.add(row(Mode::evaluation, 0, {{"loss", loss}}));
    EXPECT_EQ(table.last_row(), table.table().plain_row(table.table().rows() - 1));
  }
}

TEST(EpochTable, passes_over_what_a_row_or_the_table_lacks) {
  EpochTable table(kMetrics);
  table.add(row(Mode::training, 0, {{"loss", 0.5}, {"top5", 0.99}}));
  EXPECT_THAT(table.last_row(), StrEq("                     0.500      0  train\n"));
}

}  // namespace
}  // namespace fatwood
