#include <array>
#include <cmath>
#include <cstdint>

#include <fatwood/core/error.h>
#include <fatwood/data/statistics.h>

namespace fatwood {

PixelStatistics pixel_statistics(const ImageDataset& dataset) {
  // Several counters side by side, so that equal neighbours do not wait for each other's store.
  std::array<std::array<std::uint64_t, 256>, 4> counts{};
  const ByteView pixels = dataset.pixels();
  for (std::size_t i = 0; i < pixels.size(); ++i) ++counts[i % 4][pixels[i]];

  __extension__ using Wide = unsigned __int128;
  std::uint64_t sum = 0;
  std::uint64_t squares = 0;
  for (std::uint64_t value = 0; value < 256; ++value) {
    const std::uint64_t count =
        counts[0][value] + counts[1][value] + counts[2][value] + counts[3][value];
    sum += count * value;
    squares += count * value * value;
  }
  const std::uint64_t n = pixels.size();
  // n·Σx² − (Σx)² is n² times the variance, without cancellation in floating point.
  const Wide spread = Wide{n} * squares - Wide{sum} * sum;
  if (spread == 0) {
    throw Error(ErrorKind::data, "pixel_statistics",
                dataset.name() + ": all " + counted(n, "pixel") + " are equal, nothing to learn");
  }
  const auto count = static_cast<double>(n);
  const double variance = static_cast<double>(spread) / (count * (count - 1));
  return {.mean = static_cast<double>(sum) / count / 255, .std = std::sqrt(variance) / 255};
}

}  // namespace fatwood
