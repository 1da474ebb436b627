#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/data/idx.h>
#include <fatwood/io/file.h>

#include "support/gzip.h"
#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

Bytes idx_file(std::uint32_t magic, const std::vector<std::uint32_t>& sizes, std::size_t values) {
  Bytes file;
  const auto put = [&](std::uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      file.push_back(static_cast<std::uint8_t>(word >> shift));
    }
  };
  put(magic);
  for (const std::uint32_t size : sizes) put(size);
  for (std::size_t i = 0; i < values; ++i) file.push_back(static_cast<std::uint8_t>(i));
  return file;
}

Thrown error_for(Bytes file, int dimensions = 3) {
  return thrown_by([&] { parse_idx(std::move(file), "f", dimensions); });
}

TEST(Idx, shape_and_values_are_read_plain_and_packed) {
  const TemporaryFolder folder;
  const Bytes file = idx_file(0x00000803, {2, 3, 4}, 24);
  write_file(folder / "plain", file);
  write_file(folder / "packed.gz", gzipped(file));
  for (const char* name : {"plain", "packed.gz"}) {
    const IdxArray array = read_idx(folder / name, 3);
    EXPECT_EQ(array.shape, (std::vector<std::uint32_t>{2, 3, 4}));
    ASSERT_EQ(array.values.size(), 24u);
    EXPECT_EQ(array.values[23], 23);
  }
}

TEST(Idx, a_wrong_magic_says_what_it_means) {
  EXPECT_THAT(error_for(idx_file(0x00000801, {2, 3, 4}, 24)),
              error_with(ErrorKind::data,
                         "[read_idx] f: magic 0x00000801, wanted 0x00000803 "
                         "(1 dimension, wanted 3)"));
  EXPECT_THAT(error_for(idx_file(0x00000d03, {2, 3, 4}, 24)),
              error_with(ErrorKind::data, "(elements of type float32, wanted bytes)"));
  for (const std::uint32_t magic : {0x01000803U, 0x00010803U, 0x00000703U, 0x3c68746dU}) {
    EXPECT_THAT(error_for(idx_file(magic, {2, 3, 4}, 24)),
                error_with(ErrorKind::data, "(not an IDX file of bytes)"));
  }
}

TEST(Idx, counts_must_match_the_length_exactly) {
  EXPECT_THAT(error_for(idx_file(0x00000803, {2, 3, 4}, 23)),
              error_with(ErrorKind::data, "the header says 2 × 3 × 4 bytes, the file holds 23"));
  EXPECT_THAT(error_for(idx_file(0x00000803, {2, 3, 4}, 25)),
              error_with(ErrorKind::data, "the file holds 25"));
}

TEST(Idx, products_that_overflow_do_not_wrap_round_to_the_length) {
  // 2^31 · 2^31 · 4 is 0 in 64 bits.
  EXPECT_THAT(error_for(idx_file(0x00000803, {0x80000000, 0x80000000, 4}, 0)),
              error_with(ErrorKind::data, "the file holds 0"));
  EXPECT_THAT(error_for(idx_file(0x00000803, {0xffffffff, 0xffffffff, 0xffffffff}, 1)),
              error_with(ErrorKind::data, "4294967295 × 4294967295 × 4294967295"));
}

TEST(Idx, a_dimension_of_size_zero_is_refused) {
  EXPECT_THAT(error_for(idx_file(0x00000803, {2, 0, 4}, 0)),
              error_with(ErrorKind::data, "dimension 1 has size 0"));
}

TEST(Idx, every_truncation_is_refused) {
  const Bytes whole = idx_file(0x00000803, {2, 3, 4}, 24);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THAT(error_for({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}),
                error_with(ErrorKind::data, "[read_idx] f: "));
  }
}

TEST(Idx, limits_hold_for_the_stored_and_the_unpacked_file) {
  const TemporaryFolder folder;
  const Bytes packed = gzipped(idx_file(0x00000803, {10, 100, 100}, 100'000));
  write_file(folder / "a.gz", packed);
  EXPECT_THAT(thrown_by([&] { read_idx(folder / "a.gz", 3, {.file_bytes = packed.size() - 1}); }),
              error_with(ErrorKind::data, "a.gz: "));
  EXPECT_THAT(thrown_by([&] { read_idx(folder / "a.gz", 3, {.unpacked_bytes = 100'015}); }),
              error_with(ErrorKind::data, "a.gz: unpacks to more than 100015 bytes"));
  EXPECT_EQ(read_idx(folder / "a.gz", 3, {.unpacked_bytes = 100'016}).values.size(), 100'000u);
}

TEST(Idx, a_gz_file_that_is_no_gzip_is_called_so) {
  const TemporaryFolder folder;
  write_file(folder / "a.gz", "<html>not found</html>");
  EXPECT_THAT(thrown_by([&] { read_idx(folder / "a.gz", 3); }),
              error_with(ErrorKind::data, "a.gz: an HTML page, wanted a gzip stream"));
}

}  // namespace
}  // namespace fatwood
