#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/data/shuffle.h>

namespace fatwood {

std::vector<std::int64_t> permutation(std::int64_t count, PhiloxSequence random) {
  if (count < 0 || count > std::numeric_limits<std::uint32_t>::max()) {
    throw Error(ErrorKind::internal, "permutation",
                std::to_string(count) + " items, wanted 0 to 2^32 - 1");
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[random.below(static_cast<std::uint32_t>(left))]);
  }
  return order;
}

std::vector<std::int64_t> epoch_permutation(std::int64_t count, std::uint64_t seed,
                                            std::int64_t epoch) {
  return permutation(
      count, PhiloxSequence(seed, RandomPurpose::shuffle, static_cast<std::uint32_t>(epoch)));
}

}  // namespace fatwood
