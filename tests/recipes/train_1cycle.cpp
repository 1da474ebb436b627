#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/train_1cycle.h>
#include <fatwood/train/schedule.h>

#include "support/bright_thirds.h"

namespace fatwood {
namespace {

std::shared_ptr<CNN> small_network() {
  return CNN::kaiming({.nfs = {8, 16, 16}, .n_outputs = 3, .block = make<ResidualConvBlock>});
}

TEST(Train1Cycle, learns_and_returns_rows_and_statistics) {
  const Loaders loaders = bright_thirds(192);
  const Train1CycleResult result =
      train_1cycle(small_network(), {.loaders = loaders, .lr = 1e-2, .n_epochs = 3, .classes = 3});
  EXPECT_TRUE(result.fit.completed());
  ASSERT_EQ(result.recorder->batches().size(), 18u);
  ASSERT_EQ(result.recorder->epochs().size(), 6u);
  EXPECT_EQ(result.stats->rows().size(), 18u);
  EXPECT_GT(result.recorder->epochs().back().metrics.at(0).second, 0.9);
}

TEST(Train1Cycle, cycles_rate_and_beta1_as_the_schedule_says) {
  const Loaders loaders = bright_thirds(96);
  const Train1CycleResult result =
      train_1cycle(small_network(), {.loaders = loaders, .lr = 0.02, .n_epochs = 2, .classes = 3});
  const SchedulePtr schedule = one_cycle({.total_steps = 6});
  for (const BatchRow& row : result.recorder->batches()) {
    EXPECT_EQ(row.lr, schedule->lr(row.step, 0.02));
    EXPECT_EQ(row.momentum, *schedule->momentum(row.step));
  }
}

TEST(Train1Cycle, keeps_what_it_gathered_when_interrupted) {
  std::stop_source source;
  struct Stopper : RowSink {
    explicit Stopper(std::stop_source& s) : source(s) {}
    void batch(const BatchRow& row) override {
      if (row.step == 4) source.request_stop();
    }
    std::stop_source& source;
  };
  const Loaders loaders = bright_thirds(192);
  const Train1CycleResult result =
      train_1cycle(small_network(), {.loaders = loaders,
                                     .classes = 3,
                                     .stop = source.get_token(),
                                     .sinks = {std::make_shared<Stopper>(source)}});
  EXPECT_EQ(result.fit.status, "interrupted");
  EXPECT_EQ(result.recorder->batches().size(), 5u);
  EXPECT_EQ(result.stats->rows().size(), 5u);
}

TEST(Train1Cycle, refuses_what_cannot_be) {
  const Loaders loaders = bright_thirds(32);
  EXPECT_THROW(train_1cycle(small_network(), {}), Error);
  EXPECT_THROW(train_1cycle(small_network(), {.loaders = loaders, .lr = -1, .classes = 3}), Error);
  EXPECT_THROW(train_1cycle(small_network(), {.loaders = loaders, .n_epochs = 0, .classes = 3}),
               Error);
}

}  // namespace
}  // namespace fatwood
