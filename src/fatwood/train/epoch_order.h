// The order of the epoch in hand, kept until another epoch is asked for.
#pragma once

#include <optional>

#include <fatwood/data/batches.h>

namespace fatwood {

class EpochOrder {
 public:
  explicit EpochOrder(const BatchOrder::Options& options) : order_(options) {}

  const BatchOrder::Options& options() const { return order_.options(); }

  /// Indices of the samples of batch `index`; valid until the next call.
  std::span<const std::int64_t> batch(std::int64_t epoch, std::int64_t index) {
    if (!batches_ || epoch_ != epoch) {
      batches_.emplace(order_.epoch(epoch));
      epoch_ = epoch;
    }
    return (*batches_)[index];
  }

 private:
  BatchOrder order_;
  std::optional<EpochBatches> batches_;
  std::int64_t epoch_ = -1;
};

}  // namespace fatwood
