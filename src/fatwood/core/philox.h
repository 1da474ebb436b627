// Random numbers as a function of position: the same (key, counter) gives the same numbers on every
// machine, so a resumed run has nothing to replay. Shuffles draw from here.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include <array>
#include <cstdint>

namespace fatwood {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Philox4x32 with 10 rounds: four random words for each counter.
constexpr PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// What a sequence of random numbers is for: sequences of one seed that must not repeat each other.
enum class RandomPurpose : std::uint32_t { shuffle = 1, holdout = 2, verify_resume = 3 };

/// The words of one sequence in order. Its place is a plain number, so copies continue alike.
class PhiloxSequence {
 public:
  constexpr PhiloxSequence(std::uint64_t seed, RandomPurpose purpose, std::uint32_t part)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        purpose_(static_cast<std::uint32_t>(purpose)),
        part_(part) {}

  constexpr std::uint32_t next() {
    const auto word = static_cast<std::size_t>(position_ % 4);
    if (word == 0) {
      const std::uint64_t block = position_ / 4;
      words_ = philox4x32({static_cast<std::uint32_t>(block),
                           static_cast<std::uint32_t>(block >> 32), part_, purpose_},
                          key_);
    }
    ++position_;
    return words_[word];
  }

  /// Uniform over [0, bound), without bias.  Source: Lemire, "Fast random integer generation in an
  /// interval" (2019). bound > 0.
  constexpr std::uint32_t below(std::uint32_t bound) {
    std::uint64_t product = std::uint64_t{next()} * bound;
    if (static_cast<std::uint32_t>(product) < bound) {
      const std::uint32_t refused = (0 - bound) % bound;
      while (static_cast<std::uint32_t>(product) < refused) {
        product = std::uint64_t{next()} * bound;
      }
    }
    return static_cast<std::uint32_t>(product >> 32);
  }

 private:
  PhiloxKey key_;
  std::uint32_t purpose_;
  std::uint32_t part_;
  std::uint64_t position_ = 0;
  PhiloxCounter words_{};
};

}  // namespace fatwood
