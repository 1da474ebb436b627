#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/core/philox.h>
#include <fatwood/data/dataset.h>
#include <fatwood/data/shuffle.h>

namespace fatwood {
namespace {

[[noreturn]] void fail_dataset(const std::string& what) {
  throw Error(ErrorKind::data, "dataset", what);
}

}  // namespace

ImageDataset::ImageDataset(ImageDatasetParts parts)
    : name_(std::move(parts.name)),
      classes_(std::move(parts.classes)),
      channels_(parts.channels),
      height_(parts.height),
      width_(parts.width),
      pixels_(std::move(parts.pixels)) {
  if (channels_ <= 0 || height_ <= 0 || width_ <= 0) {
    fail_dataset(parts.images_from + ": images of " + std::to_string(channels_) + " × " +
                 std::to_string(height_) + " × " + std::to_string(width_) +
                 ", wanted sizes above 0");
  }
  const auto image_size = static_cast<std::size_t>(image_bytes());
  if (pixels_.empty()) fail_dataset(parts.images_from + ": no images");
  if (pixels_.size() % image_size != 0) {
    fail_dataset(parts.images_from + ": " + counted(pixels_.size(), "byte") +
                 " is no whole number of images of " + std::to_string(image_size));
  }
  const std::size_t count = pixels_.size() / image_size;
  if (count != parts.labels.size()) {
    fail_dataset(parts.labels_from + ": " + counted(parts.labels.size(), "label") + ", wanted " +
                 std::to_string(count) + ", one for each image of " + parts.images_from);
  }
  const auto wrong = std::find_if(parts.labels.begin(), parts.labels.end(),
                                  [&](std::uint8_t label) { return label >= classes_.size(); });
  if (wrong != parts.labels.end()) {
    fail_dataset(parts.labels_from + ": label " + std::to_string(*wrong) + " at index " +
                 std::to_string(wrong - parts.labels.begin()) + ", classes are 0 to " +
                 std::to_string(static_cast<std::int64_t>(classes_.size()) - 1));
  }
  labels_.assign(parts.labels.begin(), parts.labels.end());
}

ByteView ImageDataset::image(std::int64_t index) const {
  return pixels().subspan(static_cast<std::size_t>(index * image_bytes()),
                          static_cast<std::size_t>(image_bytes()));
}

ImageDataset ImageDataset::subset(const std::vector<std::int64_t>& indices) const {
  ImageDatasetParts parts{.name = name_,
                          .classes = classes_,
                          .channels = channels_,
                          .height = height_,
                          .width = width_,
                          .pixels = {},
                          .labels = {}};
  parts.pixels.reserve(indices.size() * static_cast<std::size_t>(image_bytes()));
  parts.labels.reserve(indices.size());
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= size()) {
      fail_dataset(name_ + ": index " + std::to_string(index) + ", wanted 0 to " +
                   std::to_string(size() - 1));
    }
    const ByteView bytes = image(index);
    parts.pixels.insert(parts.pixels.end(), bytes.begin(), bytes.end());
    parts.labels.push_back(static_cast<std::uint8_t>(labels_[static_cast<std::size_t>(index)]));
  }
  return ImageDataset(std::move(parts));
}

DatasetSplit split(const ImageDataset& dataset, double fraction, std::uint64_t seed) {
  const std::int64_t count = dataset.size();
  if (!(fraction > 0 && fraction < 1) || count < 2) {
    throw Error(ErrorKind::usage, "holdout",
                "a fraction of " + std::to_string(fraction) + " of " +
                    counted(static_cast<std::uint64_t>(count), "image") +
                    ", wanted more than 0 and less than 1, of at least 2 images");
  }
  const auto wanted =
      static_cast<std::int64_t>(std::llround(fraction * static_cast<double>(count)));
  const std::int64_t held = std::clamp<std::int64_t>(wanted, 1, count - 1);
  std::vector<std::int64_t> order =
      permutation(count, PhiloxSequence(seed, RandomPurpose::holdout, 0));
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>(held);
  std::sort(order.begin(), middle);
  std::sort(middle, order.end());
  return {.training = dataset.subset({middle, order.end()}),
          .held_out = dataset.subset({order.begin(), middle})};
}

}  // namespace fatwood
