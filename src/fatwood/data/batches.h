// Which images a batch holds: a function of (epoch, batch), so that a resumed run can ask for any
// batch without having drawn the ones before it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fatwood {

/// The batches of one epoch.
class EpochBatches {
 public:
  EpochBatches(std::vector<std::int64_t> order, std::int64_t batch_size);

  std::int64_t size() const;
  /// Indices of the images of batch `batch` in [0, size()); valid as long as this object.
  std::span<const std::int64_t> operator[](std::int64_t batch) const;

 private:
  std::vector<std::int64_t> order_;
  std::int64_t batch_size_;
};

/// How a data set is cut into batches, the last one short when the sizes do not divide.
class BatchOrder {
 public:
  struct Options {
    std::int64_t count = 0;  ///< images
    std::int64_t batch_size = 512;
    std::uint64_t seed = 0;
    bool shuffle = true;  ///< else every epoch visits the images as they are stored
  };

  /// Throws Error{usage} unless count and batch_size are positive.
  explicit BatchOrder(Options options);

  /// Batches an epoch: ⌈count / batch_size⌉.
  std::int64_t batches() const;
  /// The batches of epoch `epoch`, from 0.
  EpochBatches epoch(std::int64_t epoch) const;
  const Options& options() const noexcept { return options_; }

 private:
  Options options_;
};

}  // namespace fatwood
