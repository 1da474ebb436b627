#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/data/batches.h>
#include <fatwood/data/shuffle.h>

#include "support/thrown.h"

namespace fatwood {
namespace {

using testing::ElementsAre;

TEST(Batches, the_last_one_is_short) {
  const BatchOrder order({.count = 60'000, .batch_size = 512});
  EXPECT_EQ(order.batches(), 118);
  const EpochBatches batches = order.epoch(0);
  EXPECT_EQ(batches.size(), 118);
  EXPECT_EQ(batches[0].size(), 512u);
  EXPECT_EQ(batches[117].size(), 96u);
}

TEST(Batches, sizes_that_divide_leave_no_empty_batch) {
  const EpochBatches batches = BatchOrder({.count = 8, .batch_size = 4}).epoch(0);
  EXPECT_EQ(batches.size(), 2);
  EXPECT_EQ(batches[1].size(), 4u);
  EXPECT_EQ(BatchOrder({.count = 3, .batch_size = 512}).epoch(0)[0].size(), 3u);
}

TEST(Batches, without_shuffling_they_follow_the_data_set) {
  const BatchOrder order({.count = 5, .batch_size = 2, .shuffle = false});
  for (const std::int64_t epoch : {0, 7}) {
    const EpochBatches batches = order.epoch(epoch);
    EXPECT_THAT(batches[0], ElementsAre(0, 1));
    EXPECT_THAT(batches[1], ElementsAre(2, 3));
    EXPECT_THAT(batches[2], ElementsAre(4));
  }
}

TEST(Batches, shuffled_ones_are_the_epochs_permutation_in_pieces) {
  const BatchOrder order({.count = 1000, .batch_size = 64, .seed = 9});
  for (const std::int64_t epoch : {3, 0}) {
    const EpochBatches batches = order.epoch(epoch);
    std::vector<std::int64_t> joined;
    for (std::int64_t batch = 0; batch < batches.size(); ++batch) {
      joined.insert(joined.end(), batches[batch].begin(), batches[batch].end());
    }
    EXPECT_EQ(joined, epoch_permutation(1000, 9, epoch));
  }
}

TEST(Batches, zero_images_or_a_zero_batch_is_refused) {
  EXPECT_THAT(thrown_by([] { BatchOrder order({.count = 10, .batch_size = 0}); }),
              error_with(ErrorKind::usage, "batches of 0 from 10 images"));
  EXPECT_THAT(thrown_by([] { BatchOrder order({.count = 0, .batch_size = 4}); }),
              error_with(ErrorKind::usage, "batches of 4 from 0 images"));
}

}  // namespace
}  // namespace fatwood
