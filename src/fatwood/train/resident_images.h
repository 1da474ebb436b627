// Batches of an ImageDataset that lies on a GPU, with the epoch's order beside it: a batch is one
// kernel, and nothing of it comes from the host.
#pragma once

#include <fatwood/train/image_batches.h>

namespace fatwood {

/// As image_batches(), with the same values, on `device`. Throws Error{usage} for a device that is
/// no GPU, without CUDA in the build (cuda::built()), and for a batch size below 1.
BatchSourcePtr resident_images(const ImageDataset& dataset, const ImageBatchesOptions& options,
                               torch::Device device);

}  // namespace fatwood
