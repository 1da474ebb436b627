#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <fatwood/data/dataset.h>

#include "support/thrown.h"

namespace fatwood {
namespace {

// `count` images of 1 × 1 × 2 bytes: (i, i + 1), label i mod 3.
ImageDatasetParts parts_of(int count) {
  ImageDatasetParts parts{.name = "small",
                          .classes = {"a", "b", "c"},
                          .channels = 1,
                          .height = 1,
                          .width = 2,
                          .pixels = {},
                          .labels = {},
                          .images_from = "images-file",
                          .labels_from = "labels-file"};
  for (int i = 0; i < count; ++i) {
    parts.pixels.push_back(static_cast<std::uint8_t>(i));
    parts.pixels.push_back(static_cast<std::uint8_t>(i + 1));
    parts.labels.push_back(static_cast<std::uint8_t>(i % 3));
  }
  return parts;
}

Thrown error_for(ImageDatasetParts parts) {
  return thrown_by([&] { ImageDataset dataset(std::move(parts)); });
}

TEST(Dataset, holds_images_and_labels) {
  const ImageDataset dataset(parts_of(5));
  EXPECT_EQ(dataset.size(), 5);
  EXPECT_EQ(dataset.image_bytes(), 2);
  EXPECT_EQ(dataset.image(3)[1], 4);
  EXPECT_EQ(dataset.labels(), (std::vector<std::int64_t>{0, 1, 2, 0, 1}));
}

TEST(Dataset, counts_that_disagree_name_both_files) {
  ImageDatasetParts parts = parts_of(5);
  parts.labels.pop_back();
  EXPECT_THAT(error_for(parts),
              error_with(ErrorKind::data,
                         "labels-file: 4 labels, wanted 5, one for each image of images-file"));
  parts = parts_of(5);
  parts.pixels.pop_back();
  EXPECT_THAT(error_for(parts),
              error_with(ErrorKind::data, "images-file: 9 bytes is no whole number of images"));
  EXPECT_THAT(error_for(parts_of(0)), error_with(ErrorKind::data, "images-file: no images"));
}

TEST(Dataset, a_label_out_of_range_is_named_with_its_index) {
  ImageDatasetParts parts = parts_of(5);
  parts.labels[3] = 3;
  parts.labels[4] = 200;
  EXPECT_THAT(error_for(parts),
              error_with(ErrorKind::data, "labels-file: label 3 at index 3, classes are 0 to 2"));
}

TEST(Dataset, a_subset_keeps_the_order_asked_for) {
  const ImageDataset part = ImageDataset(parts_of(5)).subset({4, 1});
  EXPECT_EQ(part.size(), 2);
  EXPECT_EQ(Bytes(part.pixels().begin(), part.pixels().end()), (Bytes{4, 5, 1, 2}));
  EXPECT_EQ(part.labels(), (std::vector<std::int64_t>{1, 1}));
  EXPECT_THAT(thrown_by([&] { part.subset({2}); }),
              error_with(ErrorKind::data, "small: index 2, wanted 0 to 1"));
  EXPECT_THAT(thrown_by([&] { part.subset({-1}); }), error_with(ErrorKind::data, "index -1"));
}

TEST(Split, parts_are_disjoint_complete_and_in_the_order_of_the_whole) {
  const auto [training, held_out] = split(ImageDataset(parts_of(100)), 0.1, 42);
  EXPECT_EQ(held_out.size(), 10);
  EXPECT_EQ(training.size(), 90);
  std::set<int> seen;
  for (const ImageDataset* part : {&training, &held_out}) {
    int before = -1;
    for (std::int64_t i = 0; i < part->size(); ++i) {
      const int id = part->image(i)[0];
      EXPECT_EQ(part->labels()[static_cast<std::size_t>(i)], id % 3);
      EXPECT_GT(id, before);
      before = id;
      EXPECT_TRUE(seen.insert(id).second);
    }
  }
  EXPECT_EQ(seen.size(), 100u);
}

TEST(Split, depends_on_the_seed_alone) {
  const ImageDataset dataset(parts_of(100));
  const auto chosen = [&](std::uint64_t seed) {
    const DatasetSplit parts = split(dataset, 0.2, seed);
    const ByteView pixels = parts.held_out.pixels();
    return Bytes(pixels.begin(), pixels.end());
  };
  EXPECT_EQ(chosen(1), chosen(1));
  EXPECT_NE(chosen(1), chosen(2));
}

TEST(Split, leaves_an_image_in_each_part_and_refuses_other_fractions) {
  EXPECT_EQ(split(ImageDataset(parts_of(2)), 0.01, 0).held_out.size(), 1);
  EXPECT_EQ(split(ImageDataset(parts_of(2)), 0.99, 0).training.size(), 1);
  const ImageDataset dataset(parts_of(9));
  for (const double fraction : {0.0, 1.0, -0.1, 1.5, std::nan("")}) {
    EXPECT_THAT(thrown_by([&] { split(dataset, fraction, 0); }),
                error_with(ErrorKind::usage, "[holdout]"));
  }
  EXPECT_THAT(thrown_by([&] { split(ImageDataset(parts_of(1)), 0.5, 0); }),
              error_with(ErrorKind::usage, "at least 2 images"));
}

}  // namespace
}  // namespace fatwood
