// Mean and deviation of a data set's pixels: what batches are normalised by.
#pragma once

#include <fatwood/data/dataset.h>

namespace fatwood {

struct PixelStatistics {
  double mean = 0;
  double std = 1;  ///< unbiased
};

/// Over all pixels of all images and channels, scaled to [0, 1]. The sums are exact integers, so
/// the result depends on no order and no thread. Throws Error{data} when all pixels are equal:
/// there is no deviation to divide by.
PixelStatistics pixel_statistics(const ImageDataset& dataset);

}  // namespace fatwood
