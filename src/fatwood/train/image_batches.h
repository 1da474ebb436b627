// Batches of an ImageDataset: bytes to normalised floats in one pass, into buffers that are reused.
#pragma once

#include <memory>

#include <fatwood/data/dataset.h>
#include <fatwood/data/statistics.h>
#include <fatwood/train/batch.h>

namespace fatwood {

struct ImageBatchesOptions {
  std::int64_t batch_size = 512;
  bool shuffle = true;  ///< another order every epoch, a function of (seed, epoch)
  std::uint64_t seed = 0;
  PixelStatistics normalize = {};  ///< x = (byte / 255 − mean) / std
};

/// x (N, C, H, W) in channels-last order, y (N). A batch's tensors are overwritten by the next
/// call. Throws Error{usage} for a batch size below 1.
BatchSourcePtr image_batches(std::shared_ptr<const ImageDataset> dataset,
                             const ImageBatchesOptions& options = {});

}  // namespace fatwood
