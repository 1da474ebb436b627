#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/report/tensorboard.h>

#include "sample_run.h"
#include "support/temporary_folder.h"

namespace fatwood {
namespace {

TEST(TensorBoard, crc32c_agrees_with_rfc_3720) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST(TensorBoard, a_record_is_length_checksum_data_checksum) {
  const std::string record = tf_record("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
}

TEST(TensorBoard, files_consist_of_whole_records) {
  const TemporaryFolder scratch;
  test::write_sample_run(scratch / "run", {.epochs = 1, .artefacts = false});
  const auto file = write_tensorboard(read_run(scratch / "run"), scratch / "events", 1.7e9);
  const std::string bytes = test::text_of(file);
  std::size_t records = 0;
  for (std::size_t at = 0; at < bytes.size(); ++records) {
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data() + at, sizeof length);
    ASSERT_LE(at + 16 + length, bytes.size());
    EXPECT_EQ(tf_record(bytes.substr(at + 12, length)), bytes.substr(at, 16 + length));
    at += 16 + length;
  }
  // The version, a batch and its statistics at every step, two rows of the epoch.
  EXPECT_EQ(records, 1u + 2 * 118 + 2);
}

TEST(TensorBoard, a_folder_that_cannot_be_made_is_an_error) {
  const TemporaryFolder scratch;
  test::put_text(scratch / "file", "x");
  EXPECT_THROW(TensorBoardSink(scratch / "file" / "events"), Error);
}

}  // namespace
}  // namespace fatwood
