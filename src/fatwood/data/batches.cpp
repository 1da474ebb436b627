#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/data/batches.h>
#include <fatwood/data/shuffle.h>

namespace fatwood {
namespace {

std::int64_t batches_of(std::int64_t count, std::int64_t batch_size) {
  return count / batch_size + (count % batch_size != 0 ? 1 : 0);
}

}  // namespace

EpochBatches::EpochBatches(std::vector<std::int64_t> order, std::int64_t batch_size)
    : order_(std::move(order)), batch_size_(batch_size) {}

std::int64_t EpochBatches::size() const {
  return batches_of(static_cast<std::int64_t>(order_.size()), batch_size_);
}

std::span<const std::int64_t> EpochBatches::operator[](std::int64_t batch) const {
  const auto begin = static_cast<std::size_t>(batch * batch_size_);
  const auto size = std::min(static_cast<std::size_t>(batch_size_), order_.size() - begin);
  return std::span(order_).subspan(begin, size);
}

BatchOrder::BatchOrder(Options options) : options_(options) {
  if (options_.count < 1 || options_.batch_size < 1) {
    throw Error(ErrorKind::usage, "batches",
                "batches of " + std::to_string(options_.batch_size) + " from " +
                    std::to_string(options_.count) + " images, wanted at least 1 of each");
  }
}

std::int64_t BatchOrder::batches() const {
  return batches_of(options_.count, options_.batch_size);
}

EpochBatches BatchOrder::epoch(std::int64_t epoch) const {
  if (options_.shuffle) {
    return {epoch_permutation(options_.count, options_.seed, epoch), options_.batch_size};
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(options_.count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  return {std::move(order), options_.batch_size};
}

}  // namespace fatwood
