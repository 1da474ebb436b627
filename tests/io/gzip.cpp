#include "support/gzip.h"

#include <gtest/gtest.h>

#include <fatwood/io/gzip.h>

#include "support/thrown.h"

namespace fatwood {
namespace {

constexpr std::uint64_t kPlenty = 1 << 24;

Bytes text_of(std::size_t size) {
  Bytes text(size);
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<std::uint8_t>(i * i >> 7);
  return text;
}

Thrown gunzip_error(const Bytes& bytes, std::uint64_t limit = kPlenty) {
  return thrown_by([&] { gunzip(bytes, "a.gz", limit); });
}

TEST(Gzip, unpacks_what_zlib_packed) {
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 300'000}) {
    for (const int level : {0, 1, 9}) {
      EXPECT_EQ(gunzip(gzipped(text_of(size), level), "a.gz", kPlenty), text_of(size)) << size;
    }
  }
}

TEST(Gzip, members_one_after_another_are_one_stream) {
  Bytes two = gzipped(text_of(5000));
  const Bytes second = gzipped(text_of(70));
  two.insert(two.end(), second.begin(), second.end());
  Bytes expected = text_of(5000);
  const Bytes tail = text_of(70);
  expected.insert(expected.end(), tail.begin(), tail.end());
  EXPECT_EQ(gunzip(two, "a.gz", kPlenty), expected);
}

TEST(Gzip, every_truncation_is_an_error) {
  const Bytes whole = gzipped(text_of(3000));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    ASSERT_THAT(gunzip_error(cut), error_with(ErrorKind::data, "[gunzip] a.gz: ")) << length;
  }
  EXPECT_THAT(gunzip_error(Bytes(whole.begin(), whole.end() - 1)),
              error_with(ErrorKind::data, "a truncated gzip stream: ends after 3000 unpacked"));
}

TEST(Gzip, a_wrong_checksum_is_an_error) {
  Bytes bytes = gzipped(text_of(3000));
  bytes[bytes.size() - 8] ^= 1;
  EXPECT_THAT(gunzip_error(bytes), error_with(ErrorKind::data, "incorrect data check"));
  bytes = gzipped(text_of(3000));
  bytes[bytes.size() - 4] ^= 1;
  EXPECT_THAT(gunzip_error(bytes), error_with(ErrorKind::data, "incorrect length check"));
}

TEST(Gzip, garbage_behind_the_stream_is_an_error) {
  Bytes bytes = gzipped(text_of(3000));
  bytes.push_back(0);
  bytes.push_back(0);
  EXPECT_THAT(gunzip_error(bytes), error_with(ErrorKind::data, "2 bytes of garbage after the end"));
}

TEST(Gzip, an_html_page_an_empty_file_and_plain_bytes_are_called_what_they_are) {
  const ByteView page = as_bytes("\n <!DOCTYPE html><title>404</title>");
  EXPECT_THAT(gunzip_error({page.begin(), page.end()}),
              error_with(ErrorKind::data, "an HTML page, wanted a gzip stream"));
  EXPECT_THAT(gunzip_error({}), error_with(ErrorKind::data, "an empty file"));
  EXPECT_THAT(gunzip_error(Bytes(100, 7)), error_with(ErrorKind::data, "no gzip magic"));
}

TEST(Gzip, the_limit_holds_exactly) {
  const Bytes packed = gzipped(Bytes(1'000'000, 0));
  EXPECT_EQ(gunzip(packed, "a.gz", 1'000'000).size(), 1'000'000u);
  EXPECT_THAT(gunzip_error(packed, 999'999),
              error_with(ErrorKind::data, "unpacks to more than 999999 bytes"));
  EXPECT_THAT(gunzip_error(packed, 0), error_with(ErrorKind::data, "more than 0 bytes"));
}

TEST(Gzip, a_bomb_that_lies_about_its_length_stays_within_the_limit) {
  Bytes packed = gzipped(Bytes(50'000'000, 0));
  for (std::size_t i = 1; i <= 4; ++i) packed[packed.size() - i] = 0;
  EXPECT_THAT(gunzip_error(packed, 100'000), error_with(ErrorKind::data, "more than 100000 bytes"));
}

}  // namespace
}  // namespace fatwood
