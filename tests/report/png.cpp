#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fatwood/core/error.h>
#include <fatwood/report/png.h>

namespace fatwood {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint32_t u32(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint32_t>(bytes[at]) << 24 |
         static_cast<std::uint32_t>(bytes[at + 1]) << 16 |
         static_cast<std::uint32_t>(bytes[at + 2]) << 8 | bytes[at + 3];
}

/// Walks the chunks, checks each CRC, and inflates the picture's lines.
Bytes lines_of(const Bytes& file) {
  EXPECT_THAT(Bytes(file.begin(), file.begin() + 8),
              ::testing::ElementsAre(0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'));
  Bytes packed;
  std::size_t at = 8;
  while (at < file.size()) {
    const std::uint32_t length = u32(file, at);
    const std::string type(file.begin() + static_cast<long>(at) + 4,
                           file.begin() + static_cast<long>(at) + 8);
    EXPECT_EQ(u32(file, at + 8 + length), crc32(0, file.data() + at + 4, length + 4)) << type;
    if (type == "IDAT")
      packed.assign(file.begin() + static_cast<long>(at) + 8,
                    file.begin() + static_cast<long>(at + 8 + length));
    at += 12 + length;
  }
  EXPECT_EQ(at, file.size());
  Bytes lines(100000);
  uLongf size = lines.size();
  EXPECT_EQ(uncompress(lines.data(), &size, packed.data(), packed.size()), Z_OK);
  lines.resize(size);
  return lines;
}

TEST(Png, grey_pixels_come_back_line_by_line) {
  EXPECT_THAT(lines_of(png(1, 2, 3, {1, 2, 3, 4, 5, 6})),
              ::testing::ElementsAre(0, 1, 2, 3, 0, 4, 5, 6));
}

TEST(Png, planes_become_interleaved_rgb) {
  EXPECT_THAT(lines_of(png(3, 1, 2, {1, 2, 3, 4, 5, 6})),
              ::testing::ElementsAre(0, 1, 3, 5, 2, 4, 6));
}

TEST(Png, header_says_size_and_kind) {
  const Bytes file = png(3, 2, 1, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(u32(file, 16), 1u);
  EXPECT_EQ(u32(file, 20), 2u);
  EXPECT_EQ(file[24], 8);
  EXPECT_EQ(file[25], 2);
}

TEST(Png, refuses_pixels_that_do_not_fit) {
  EXPECT_THROW(png(1, 2, 2, {1, 2, 3}), Error);
  EXPECT_THROW(png(2, 1, 1, {1, 2}), Error);
  EXPECT_THROW(png(1, 0, 1, {}), Error);
}

}  // namespace
}  // namespace fatwood
