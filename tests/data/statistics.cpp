#include <cmath>

#include <gtest/gtest.h>

#include <fatwood/data/statistics.h>

#include "support/thrown.h"

namespace fatwood {
namespace {

ImageDataset dataset_of(Bytes pixels) {
  Bytes labels(pixels.size() / 4);
  return ImageDataset({.name = "small",
                       .classes = {"a"},
                       .channels = 1,
                       .height = 2,
                       .width = 2,
                       .pixels = std::move(pixels),
                       .labels = std::move(labels)});
}

TEST(Statistics, are_the_mean_and_the_unbiased_deviation) {
  const PixelStatistics statistics = pixel_statistics(dataset_of({0, 255, 51, 102}));
  EXPECT_DOUBLE_EQ(statistics.mean, 0.4);
  // Deviations from 0.4: -0.4, 0.6, -0.2, 0.
  EXPECT_DOUBLE_EQ(statistics.std, std::sqrt((0.16 + 0.36 + 0.04) / 3));
}

TEST(Statistics, are_exact_for_many_pixels) {
  // Values 254 and 255 in turn: a spread that float sums would lose.
  Bytes pixels(4'000'000);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = i % 2 == 0 ? 254 : 255;
  const PixelStatistics statistics = pixel_statistics(dataset_of(std::move(pixels)));
  EXPECT_DOUBLE_EQ(statistics.mean, 254.5 / 255);
  EXPECT_DOUBLE_EQ(statistics.std, std::sqrt(0.25 * 4e6 / (4e6 - 1)) / 255);
}

TEST(Statistics, equal_pixels_have_no_deviation_to_divide_by) {
  EXPECT_THAT(thrown_by([] { pixel_statistics(dataset_of(Bytes(8, 7))); }),
              error_with(ErrorKind::data, "small: all 8 pixels are equal"));
}

}  // namespace
}  // namespace fatwood
