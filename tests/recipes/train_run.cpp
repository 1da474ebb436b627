#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/job.h>
#include <fatwood/recipes/train_resume.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/report/run_record.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "support/tiny_mnist.h"

namespace fatwood {
namespace {

using testing::Contains;
using testing::HasSubstr;

class TrainRun : public testing::Test {
 protected:
  TrainRun() { write_tiny_mnist(folder_.path()); }
  TrainRunOptions options() const {
    TrainRunOptions options;
    options.model = "cnn";
    options.epochs = 2;
    options.batch_size = 50;
    options.data = folder_.path();
    options.output = folder_ / "run";
    return options;
  }
  TemporaryFolder folder_;
};

// Asks for a stop at one batch of one pass.
struct StopAt : RowSink {
  StopAt(Mode stop_mode, std::int64_t stop_epoch) : mode(stop_mode), epoch_(stop_epoch) {}
  void batch(const BatchRow& row) override {
    if (row.mode == mode && row.epoch == epoch_) source.request_stop();
  }
  Mode mode;
  std::int64_t epoch_;
  std::stop_source source;
};

std::int64_t sum_of(const PredictionsRecord& predictions) {
  std::int64_t sum = 0;
  for (const auto& row : predictions.confusion) sum = std::accumulate(row.begin(), row.end(), sum);
  return sum;
}

TEST_F(TrainRun, refuses_options_of_a_run_that_nobody_wrote) {
  TrainRunOptions given;
  given.output = folder_ / "run";
  std::filesystem::create_directories(given.output);
  const auto refused = [&](const std::string& args, const std::string& words) {
    std::ofstream(given.output / "args.json") << args;
    const Thrown thrown = thrown_by([&] { resume_options(given, {"resume"}, "auto"); });
    EXPECT_THAT(thrown, error_with(ErrorKind::data, words)) << args;
    EXPECT_THAT(thrown, error_with(ErrorKind::data, (given.output / "args.json").string()));
  };
  for (const std::string no_object : {"[]", "null", "1", R"("x")"})
    refused(R"({"options": )" + no_object + "}", "found " + no_object + ", wanted an object");
  for (const std::string damaged : {"", "{", "[]", "{}", R"({"options": {"epochs": 1e999}})"})
    refused(damaged, "");
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"epochs", "true"},
                                                        {"epochs", "1.5"},
                                                        {"epochs", "1e300"},
                                                        {"threads", "4294967297"},
                                                        {"seed", "-1"},
                                                        {"keep", "null"},
                                                        {"lr", R"("0.1")"},
                                                        {"lr", "true"},
                                                        {"shuffle", "1"},
                                                        {"model", "3"},
                                                        {"data", "[]"},
                                                        {"stats", "false"},
                                                        {"nfs", "8"},
                                                        {"nfs", "[8,1.5]"}}) {
    refused(R"({"options": {")" + name + R"(": )" + value + "}}", "options." + name);
  }
  std::ofstream(given.output / "args.json")
      << R"({"options": {"epochs": 3, "nfs": [4, 8], "lr": 1}})";
  const TrainRunOptions options = resume_options(given, {"resume"}, "auto");
  EXPECT_EQ(options.epochs, 3);
  EXPECT_THAT(options.nfs, testing::ElementsAre(4, 8));
  EXPECT_EQ(options.lr, 1);
}

TEST_F(TrainRun, leaves_predictions_that_the_report_reads_and_the_rows_agree_with) {
  for (const double holdout : {0.0, 0.2}) {
    TrainRunOptions wanted = options();
    wanted.holdout = holdout;
    wanted.overwrite = true;
    train_run(wanted);
    const RunRecord run = read_run(wanted.output);
    EXPECT_THAT(run.remarks, testing::IsEmpty());
    ASSERT_TRUE(run.predictions);
    const std::shared_ptr<const ImageDataset> images = load_data(wanted).value().eval;
    EXPECT_EQ(sum_of(*run.predictions), images->size());
    EXPECT_EQ(images->size(), holdout > 0 ? 60 : 70);
    EXPECT_EQ(run.predictions->classes, images->classes());
    double right = 0, classes = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      const auto& row = run.predictions->confusion[i];
      const auto count = std::accumulate(row.begin(), row.end(), std::int64_t{0});
      if (count > 0) right += static_cast<double>(row[i]) / static_cast<double>(count);
      bool occurs = count > 0;
      for (const auto& other : run.predictions->confusion) occurs |= other[i] > 0;
      classes += occurs ? 1 : 0;
    }
    EXPECT_NEAR(run.epochs.back().metrics.at(0).second, right / classes, 1e-9);
    ASSERT_EQ(run.predictions->worst.size(), 16u);
    ASSERT_EQ(run.predictions->best.size(), 16u);
    EXPECT_GE(run.predictions->worst[0].loss, run.predictions->worst[15].loss);
    EXPECT_LE(run.predictions->best[0].loss, run.predictions->best[15].loss);
    for (const PredictedSample& sample : run.predictions->worst) {
      EXPECT_TRUE(std::ranges::equal(sample.pixels, images->image(sample.index)));
      EXPECT_EQ(sample.label, images->labels()[static_cast<std::size_t>(sample.index)]);
    }
  }
}

TEST_F(TrainRun, keeps_the_last_whole_evaluation_when_it_is_interrupted) {
  const auto in_evaluation = std::make_shared<StopAt>(Mode::evaluation, 1);
  const TrainRunResult late =
      train_run(options(), {.stop = in_evaluation->source.get_token(), .sinks = {in_evaluation}});
  EXPECT_EQ(late.fit.status, "interrupted");
  const RunRecord run = read_run(late.folder);
  ASSERT_TRUE(run.predictions);
  EXPECT_EQ(sum_of(*run.predictions), 70);

  TrainRunOptions again = options();
  again.output = folder_ / "again";  // the first is locked as long as its recorder lives
  const auto in_training = std::make_shared<StopAt>(Mode::training, 0);
  const TrainRunResult early =
      train_run(again, {.stop = in_training->source.get_token(), .sinks = {in_training}});
  EXPECT_EQ(early.fit.status, "interrupted");
  EXPECT_FALSE(read_run(early.folder).predictions);
}

TEST_F(TrainRun, initialises_by_lsuv_and_says_so) {
  std::vector<std::string> said;
  TrainRunOptions wanted = options();
  wanted.model = "residual_cnn";
  wanted.epochs = 1;
  wanted.init = "lsuv";
  train_run(wanted, {.say = [&said](std::string_view line) { said.emplace_back(line); }});
  EXPECT_THAT(said, Contains(HasSubstr("of 12 layers changed")));
  const RunRecord run = read_run(wanted.output);
  // The first batch is what LSUV saw.
  for (const double std : run.stats.at(0).std) EXPECT_NEAR(std, 1, 0.011);
  EXPECT_THAT(run.options, Contains(std::pair<std::string, std::string>("init", "lsuv")));
}

TEST_F(TrainRun, refuses_an_unknown_initialisation_and_two_at_once) {
  TrainRunOptions wanted = options();
  wanted.init = "random";
  EXPECT_THAT(thrown_by([&] { train_run(wanted); }), error_with(ErrorKind::usage, "default, lsuv"));
  wanted.init = "lsuv";
  wanted.initial_checkpoint = "weights.safetensors";
  EXPECT_THAT(thrown_by([&] { train_run(wanted); }),
              error_with(ErrorKind::usage, "--initial-checkpoint"));
  EXPECT_FALSE(std::filesystem::exists(wanted.output));
}

}  // namespace
}  // namespace fatwood
