#include <cmath>
#include <limits>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/rows_io.h>

#include "support/thrown.h"

namespace fatwood {
namespace {

struct Collected : RowSink {
  void begin(const RunRow& row) override { run = row; }
  void batch(const BatchRow& row) override { batches.push_back(row); }
  void stats(const StatsRow& row) override { statistics.push_back(row); }
  void epoch(const EpochRow& row) override { epochs.push_back(row); }
  void event(const EventRow& row) override { events.push_back(row); }
  void end(const EndRow& row) override { last = row; }

  std::optional<RunRow> run;
  std::vector<BatchRow> batches;
  std::vector<StatsRow> statistics;
  std::vector<EpochRow> epochs;
  std::vector<EventRow> events;
  std::optional<EndRow> last;
};

TEST(RowsIo, every_row_survives_the_way_to_json_and_back) {
  Collected seen;
  read_json_line(to_json_line(RunRow{"residual_cnn",
                                     3,
                                     118,
                                     20,
                                     512,
                                     42,
                                     {{"layers.0", "Conv"}},
                                     {{"loss", "loss", "nats", false}}}),
                 seen);
  read_json_line(to_json_line(BatchRow{Mode::training, 119, 1, 1, 512, 0.1 + 0.2, 1e-2, 0.85, 3.5}),
                 seen);
  read_json_line(to_json_line(StatsRow{Mode::evaluation, 7, 0, {0.1}, {0.9}, {{1, 2, 3}}}), seen);
  read_json_line(
      to_json_line(EpochRow{Mode::evaluation, 2, 354, 10000, {{"loss", 0.228}}, 1e-6, 1, 2}), seen);
  read_json_line(to_json_line(EventRow{3, "note", "why"}), seen);
  read_json_line(to_json_line(EndRow{"completed", "", 354, 31.5}), seen);

  ASSERT_TRUE(seen.run);
  EXPECT_EQ(seen.run->model, "residual_cnn");
  EXPECT_EQ(seen.run->layers.at(0).kind, "Conv");
  EXPECT_FALSE(seen.run->metrics.at(0).higher_is_better);
  ASSERT_EQ(seen.batches.size(), 1u);
  EXPECT_EQ(seen.batches[0].loss, 0.1 + 0.2);
  EXPECT_EQ(seen.batches[0].step, 119);
  EXPECT_EQ(seen.batches[0].elapsed_s, 3.5);
  ASSERT_EQ(seen.statistics.size(), 1u);
  EXPECT_EQ(seen.statistics[0].mode, Mode::evaluation);
  EXPECT_THAT(seen.statistics[0].hist.at(0), testing::ElementsAre(1, 2, 3));
  ASSERT_EQ(seen.epochs.size(), 1u);
  EXPECT_EQ(seen.epochs[0].metrics.at(0).second, 0.228);
  EXPECT_EQ(seen.epochs[0].duration_s, 1);
  EXPECT_EQ(seen.events.at(0).reason, "why");
  ASSERT_TRUE(seen.last);
  EXPECT_EQ(seen.last->status, "completed");
}

TEST(RowsIo, numbers_that_are_not_finite_survive) {
  Collected seen;
  BatchRow row;
  row.loss = std::numeric_limits<double>::quiet_NaN();
  row.lr = -std::numeric_limits<double>::infinity();
  read_json_line(to_json_line(row), seen);
  EXPECT_TRUE(std::isnan(seen.batches.at(0).loss));
  EXPECT_EQ(seen.batches.at(0).lr, -std::numeric_limits<double>::infinity());
}

TEST(RowsIo, a_row_of_more_metrics_than_can_be_read_is_not_written) {
  RunRow run{.model = "cnn", .layers = {}, .metrics = {}};
  EpochRow epoch{.epoch = 2};
  for (std::size_t i = 0; i < kMostOrderedKeys; ++i) {
    run.metrics.push_back({std::to_string(i), "", "", true});
    epoch.metrics.emplace_back(std::to_string(i), 0.5);
  }
  Collected seen;
  read_json_line(to_json_line(run), seen);
  read_json_line(to_json_line(epoch), seen);
  EXPECT_EQ(seen.run->metrics.size(), kMostOrderedKeys);
  EXPECT_EQ(seen.epochs.at(0).metrics, epoch.metrics);

  run.metrics.push_back({"one more", "", "", true});
  epoch.metrics.emplace_back("one more", 0.5);
  EXPECT_THAT(thrown_by([&] { to_json_line(run); }),
              error_with(ErrorKind::usage,
                         "[write_row] the run of cnn: found 1025 metrics, wanted 1024 at most"));
  EXPECT_THAT(
      thrown_by([&] { to_json_line(epoch); }),
      error_with(ErrorKind::usage, "epoch 2, mode train: found 1025 metrics, wanted 1024 at most"));
}

TEST(RowsIo, times_stand_apart_from_what_a_rerun_repeats) {
  BatchRow row;
  const std::string first = to_json_line(row);
  row.elapsed_s = 1;
  const std::string second = to_json_line(row);
  EXPECT_EQ(first.substr(0, first.find("\"timing\"")), second.substr(0, second.find("\"timing\"")));
}

TEST(RowsIo, unknown_types_are_passed_over_and_broken_lines_are_data_errors) {
  Collected seen;
  read_json_line(R"({"type":"invention","x":1})", seen);
  for (const char* line :
       {"", "{", "[1]", R"({"type":"batch"})", R"({"type":"run","format":99})",
        R"({"type":"batch","step":0,"epoch":0,"batch":0,"loss":"high"})",
        R"({"type":"batch","step":true,"epoch":0,"batch":0,"loss":1})",
        R"({"type":"batch","step":0,"epoch":1e300,"batch":0,"loss":1})",
        R"({"type":"batch","step":9223372036854775807,"epoch":0,"batch":0,"loss":1})",
        R"({"type":"batch","step":0,"epoch":0,"batch":-1,"loss":1})",
        R"({"type":"epoch","epoch":1125899906842625,"metrics":{}})",
        R"({"type":"run","format":1,"model":"m","epochs":-1,"batches":1})",
        R"({"type":"run","format":1,"model":"m","epochs":33554433,"batches":33554432})",
        R"({"type":"event","step":-1,"what":"note"})", R"({"type":"end","step":0.5})",
        R"({"type":"stats","step":0,"mean":[],"std":[],"hist":[[-1]]})",
        R"({"type":"stats","step":0,"mean":[],"std":[],"hist":[[1.5]]})"}) {
    try {
      read_json_line(line, seen);
      ADD_FAILURE() << "accepted: " << line;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data) << line;
    }
  }
  EXPECT_TRUE(seen.batches.empty());
}

TEST(RowsIo, counts_to_two_to_the_fifty_are_read) {
  Collected seen;
  read_json_line(R"({"type":"run","format":1,"model":"m","epochs":33554432,"batches":33554432})",
                 seen);
  read_json_line(R"({"type":"batch","step":1125899906842624,"epoch":33554431,"batch":0,"loss":1})",
                 seen);
  ASSERT_EQ(seen.batches.size(), 1u);
  EXPECT_EQ(seen.batches[0].step, kMaxCount);
}

TEST(RowsIo, a_line_of_a_million_levels_is_a_data_error) {
  Collected seen;
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  EXPECT_THROW(
      read_json_line(
          R"({"type":"run","format":1,"model":"m","epochs":1,"batches":1,"layers":)" + deep + "}",
          seen),
      Error);
}

}  // namespace
}  // namespace fatwood
