#include <array>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/core/philox.h>

namespace fatwood {
namespace {

// Random123's published known answers for Philox4x32-10.
TEST(Philox, gives_the_published_answers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxSequence, differs_by_seed_purpose_and_part) {
  const auto first = [](std::uint64_t seed, RandomPurpose purpose, std::uint32_t part) {
    return PhiloxSequence(seed, purpose, part).next();
  };
  const std::uint32_t words[] = {
      first(1, RandomPurpose::shuffle, 0), first(2, RandomPurpose::shuffle, 0),
      first(1ULL << 32 | 1, RandomPurpose::shuffle, 0), first(1, RandomPurpose::holdout, 0),
      first(1, RandomPurpose::shuffle, 1)};
  for (const std::uint32_t& a : words) {
    for (const std::uint32_t& b : words) EXPECT_EQ(&a == &b, a == b);
  }
}

TEST(PhiloxSequence, a_copy_continues_alike) {
  PhiloxSequence sequence(7, RandomPurpose::shuffle, 0);
  for (int i = 0; i < 6; ++i) sequence.next();
  PhiloxSequence copy = sequence;
  for (int i = 0; i < 6; ++i) EXPECT_EQ(sequence.next(), copy.next());
}

TEST(PhiloxSequence, bounded_numbers_are_uniform) {
  PhiloxSequence sequence(3, RandomPurpose::shuffle, 0);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts.at(sequence.below(7));
  // 10,000 expected, standard deviation 93.
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 5 * 93);
  // A third of all words are refused for this bound.
  PhiloxSequence wide(3, RandomPurpose::shuffle, 0);
  int upper = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::uint32_t value = wide.below(3'000'000'000);
    ASSERT_LT(value, 3'000'000'000);
    upper += value >= 1'500'000'000 ? 1 : 0;
  }
  EXPECT_NEAR(upper, 15'000, 5 * 87);
}

}  // namespace
}  // namespace fatwood
