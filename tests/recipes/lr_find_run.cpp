#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/lr_find_run.h>
#include <fatwood/report/run_record.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "support/tiny_mnist.h"

namespace fatwood {
namespace {

class LrFindRun : public testing::Test {
 protected:
  LrFindRun() { write_tiny_mnist(folder_.path()); }
  LrFindRunOptions options() const {
    LrFindRunOptions options;
    options.train.model = "cnn";
    options.train.batch_size = 50;
    options.train.data = folder_.path();
    options.output = folder_ / "lr_find.json";
    return options;
  }
  TemporaryFolder folder_;
};

TEST_F(LrFindRun, writes_what_the_report_reads) {
  const LrFindResult found = lr_find_run(options());
  const LrFindRecord record = read_lr_find(options().output);
  EXPECT_EQ(record.lr, found.lr);
  EXPECT_EQ(record.loss, found.loss);
  ASSERT_TRUE(found.steepest && found.valley);
  EXPECT_THAT(record.suggestions, testing::UnorderedElementsAre(
                                      std::pair<std::string, double>("steepest", *found.steepest),
                                      std::pair<std::string, double>("valley", *found.valley)));
}

TEST_F(LrFindRun, gives_the_same_sweep_again) {
  const LrFindResult first = lr_find_run(options());
  LrFindRunOptions again = options();
  again.overwrite = true;
  EXPECT_EQ(lr_find_run(again).loss, first.loss);
}

TEST_F(LrFindRun, refuses_bad_places_before_it_sweeps) {
  LrFindRunOptions wanted = options();
  wanted.output = folder_.path();
  EXPECT_THAT(thrown_by([&] { lr_find_run(wanted); }), error_with(ErrorKind::usage, "is a folder"));
  wanted.output = folder_ / "nowhere/lr_find.json";
  EXPECT_THAT(thrown_by([&] { lr_find_run(wanted); }), error_with(ErrorKind::io, "no folder"));
  wanted = options();
  lr_find_run(wanted);
  EXPECT_THAT(thrown_by([&] { lr_find_run(wanted); }),
              error_with(ErrorKind::usage, "is there already"));
}

TEST_F(LrFindRun, refuses_what_training_would_refuse) {
  LrFindRunOptions wanted = options();
  wanted.train.nfs = {4, 4};
  EXPECT_THAT(thrown_by([&] { lr_find_run(wanted); }), error_with(ErrorKind::model, "wanted"));
  wanted = options();
  wanted.train.batch_size = 0;
  EXPECT_THAT(thrown_by([&] { lr_find_run(wanted); }), error_with(ErrorKind::usage, "batch-size"));
  EXPECT_FALSE(std::filesystem::exists(options().output));
}

}  // namespace
}  // namespace fatwood
