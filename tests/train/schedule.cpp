#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/train/schedule.h>

namespace fatwood {
namespace {

// Equality with PyTorch, value for value, is tested against PyTorch itself in tests/oracle.

TEST(OneCycle, rises_to_the_base_rate_and_falls_to_almost_nothing) {
  const SchedulePtr schedule = one_cycle({.total_steps = 354});
  EXPECT_NEAR(schedule->lr(0, 0.01), 0.01 / 25, 1e-17);
  EXPECT_NEAR(schedule->lr(105, 0.01), 0.01, 1e-6);
  EXPECT_NEAR(schedule->lr(353, 0.01), 0.01 / 25 / 1e4, 1e-15);
  EXPECT_DOUBLE_EQ(*schedule->momentum(0), 0.95);
  EXPECT_NEAR(*schedule->momentum(105), 0.85, 1e-5);
  EXPECT_DOUBLE_EQ(*schedule->momentum(353), 0.95);
}

TEST(OneCycle, keeps_its_last_value_beyond_the_end) {
  const SchedulePtr schedule = one_cycle({.total_steps = 10});
  EXPECT_EQ(schedule->lr(500, 1), schedule->lr(9, 1));
}

TEST(OneCycle, stays_finite_for_the_shortest_runs) {
  for (const std::int64_t total : {1, 2, 3, 4}) {
    const SchedulePtr schedule = one_cycle({.total_steps = total});
    for (std::int64_t step = 0; step < total; ++step) {
      EXPECT_GT(schedule->lr(step, 1), 0);
      EXPECT_LE(schedule->lr(step, 1), 1);
    }
  }
}

TEST(Sequence, counts_each_schedules_steps_from_its_milestone) {
  const SchedulePtr schedule = sequence({linear(4, 0.25), step_decay(2, 0.1)}, {4});
  EXPECT_DOUBLE_EQ(schedule->lr(0, 1), 0.25);
  EXPECT_DOUBLE_EQ(schedule->lr(3, 1), 0.25 + 0.75 * 3 / 4);
  EXPECT_DOUBLE_EQ(schedule->lr(4, 1), 1);
  EXPECT_DOUBLE_EQ(schedule->lr(6, 1), 0.1);
  EXPECT_FALSE(schedule->momentum(5));
}

TEST(Schedules, refuse_what_cannot_be) {
  EXPECT_THROW(one_cycle({}), Error);
  EXPECT_THROW(one_cycle({.total_steps = 5, .pct_start = 1.5}), Error);
  EXPECT_THROW(cosine(0), Error);
  EXPECT_THROW(linear(0), Error);
  EXPECT_THROW(exponential(0), Error);
  EXPECT_THROW(step_decay(0), Error);
  EXPECT_THROW(sequence({constant()}, {1}), Error);
  EXPECT_THROW(sequence({constant(), constant(), constant()}, {3, 2}), Error);
}

}  // namespace
}  // namespace fatwood
