// Labelled images in memory, as the bytes they were stored in. A batch becomes floats only when it
// is gathered (kernels/gather.h); everything before that works on these bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// What an ImageDataset is made of; `images_from` and `labels_from` name the sources in messages.
struct ImageDatasetParts {
  std::string name;                  ///< "FashionMNIST"
  std::vector<std::string> classes;  ///< a name for each label
  std::int64_t channels = 1;
  std::int64_t height = 0;
  std::int64_t width = 0;
  Bytes pixels;  ///< (N, channels, height, width)
  Bytes labels;  ///< (N)
  std::string images_from = "images";
  std::string labels_from = "labels";
};

class ImageDataset {
 public:
  /// Throws Error{data} when there is no image, pixels and labels disagree about N, or a label has
  /// no class; the message names the source and the first wrong index.
  explicit ImageDataset(ImageDatasetParts parts);

  const std::string& name() const noexcept { return name_; }
  const std::vector<std::string>& classes() const noexcept { return classes_; }
  /// Images, N.
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t channels() const noexcept { return channels_; }
  std::int64_t height() const noexcept { return height_; }
  std::int64_t width() const noexcept { return width_; }
  /// Bytes of one image: channels × height × width.
  std::int64_t image_bytes() const noexcept { return channels_ * height_ * width_; }

  /// (N, C, H, W)
  ByteView pixels() const noexcept { return pixels_; }
  /// (C, H, W) of image `index`, which must lie in [0, N).
  ByteView image(std::int64_t index) const;
  /// (N), each in [0, classes), of the type that LibTorch's losses want.
  const std::vector<std::int64_t>& labels() const noexcept { return labels_; }

  /// The images of `indices`, in that order. Throws Error{data} for an index outside [0, N).
  ImageDataset subset(const std::vector<std::int64_t>& indices) const;

 private:
  std::string name_;
  std::vector<std::string> classes_;
  std::int64_t channels_;
  std::int64_t height_;
  std::int64_t width_;
  Bytes pixels_;
  std::vector<std::int64_t> labels_;
};

struct DatasetSplit {
  ImageDataset training;
  ImageDataset held_out;
};

/// Holds out `fraction` of the images, chosen by `seed` alone: round(fraction·N) of them, but at
/// least one in each part. Both parts keep the order of `dataset`. Throws Error{usage} unless
/// 0 < fraction < 1 and N ≥ 2.
DatasetSplit split(const ImageDataset& dataset, double fraction, std::uint64_t seed);

}  // namespace fatwood
