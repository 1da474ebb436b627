#include <algorithm>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/data/shuffle.h>

namespace fatwood {
namespace {

using testing::ElementsAre;

TEST(Shuffle, is_a_permutation) {
  for (const std::int64_t count : {0, 1, 2, 3, 1000, 60'000}) {
    std::vector<std::int64_t> order = epoch_permutation(count, 42, 0);
    std::sort(order.begin(), order.end());
    std::vector<std::int64_t> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(order, all);
  }
}

// From an implementation of Philox, Lemire's bound and Fisher-Yates in Python's integers. A change
// of these values breaks the resume of older checkpoints.
TEST(Shuffle, known_values_hold_on_every_machine) {
  EXPECT_THAT(epoch_permutation(10, 42, 0), ElementsAre(7, 3, 4, 6, 9, 0, 8, 2, 5, 1));
  EXPECT_THAT(epoch_permutation(10, 42, 1), ElementsAre(5, 4, 9, 2, 0, 1, 7, 8, 6, 3));
  EXPECT_THAT(epoch_permutation(10, (1ULL << 40) + 42, 0),
              ElementsAre(9, 0, 4, 2, 1, 7, 3, 8, 6, 5));
  const std::vector<std::int64_t> order = epoch_permutation(60'000, 42, 2);
  EXPECT_EQ(order[0], 47801);
  EXPECT_EQ(order[59'999], 45552);
}

TEST(Shuffle, leaves_no_more_in_place_than_chance_does) {
  // One fixed point is expected, whatever the count; ten or more have a chance of 1 in 10 million.
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    const std::vector<std::int64_t> order = epoch_permutation(60'000, 1, epoch);
    int fixed = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      fixed += order[i] == static_cast<std::int64_t>(i) ? 1 : 0;
    }
    EXPECT_LT(fixed, 10);
  }
}

TEST(Shuffle, every_order_of_four_is_as_likely) {
  std::vector<int> counts(256);
  for (std::int64_t epoch = 0; epoch < 24'000; ++epoch) {
    const std::vector<std::int64_t> order = epoch_permutation(4, 5, epoch);
    ++counts[static_cast<std::size_t>(order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3])];
  }
  // Chi-squared with 23 degrees of freedom stays below 58 with a chance of 9,999 in 10,000.
  double chi_squared = 0;
  int orders = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++orders;
    chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  }
  EXPECT_EQ(orders, 24);
  EXPECT_LT(chi_squared, 58);
}

}  // namespace
}  // namespace fatwood
