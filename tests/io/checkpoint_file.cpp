#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <sys/resource.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/file.h>
#include <fatwood/io/sha256.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kLimit = 1 << 20;

struct Sample {
  std::vector<float> weight{1, 2, 3, 4};
  std::vector<std::uint8_t> generator{7, 8, 9};

  std::vector<TensorView> views() const {
    return {{"model.weight",
             DType::f32,
             {2, 2},
             ByteView(reinterpret_cast<const std::uint8_t*>(weight.data()), 16)},
            {"generator.cpu", DType::u8, {3}, generator}};
  }
  nlohmann::json about{{"format", kCheckpointFormat}, {"step", 12}};

  Bytes written(const std::filesystem::path& path) const {
    write_checkpoint(path, views(), about);
    return read_file(path, kLimit);
  }
};

// What is wrong with the bytes, or "" when they are read.
std::string refusal(Bytes bytes) {
  try {
    parse_checkpoint(std::move(bytes), "some.safetensors");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("some.safetensors"));
    return error.what();
  }
  return "";
}

TEST(CheckpointFile, gives_back_what_was_written) {
  const TemporaryFolder folder;
  const Sample sample;
  const auto path = folder.path() / checkpoint_name(12);
  sample.written(path);
  const CheckpointFile file = read_checkpoint(path);
  EXPECT_EQ(file.about, sample.about);
  ASSERT_NE(file.tensors.find("model.weight"), nullptr);
  EXPECT_EQ(as_text(file.tensors.find("model.weight")->data), as_text(sample.views()[0].data));
  EXPECT_EQ(as_text(file.tensors.find("generator.cpu")->data), "\7\10\11");
}

TEST(CheckpointFile, the_same_state_gives_the_same_bytes) {
  const TemporaryFolder folder;
  const Sample sample;
  EXPECT_EQ(sample.written(folder.path() / "a"), sample.written(folder.path() / "b"));
}

TEST(CheckpointFile, every_changed_byte_is_noticed) {
  const TemporaryFolder folder;
  const Bytes good = Sample().written(folder.path() / "a");
  ASSERT_EQ(refusal(good), "");
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int change : {0x01, 0x80, 0xff}) {
      Bytes bad = good;
      bad[i] = static_cast<std::uint8_t>(bad[i] ^ change);
      EXPECT_NE(refusal(std::move(bad)), "") << "byte " << i << " ^ " << change;
    }
  }
}

TEST(CheckpointFile, every_truncation_and_every_longer_file_is_noticed) {
  const TemporaryFolder folder;
  const Bytes good = Sample().written(folder.path() / "a");
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_NE(refusal(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length))), "")
        << length;
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_NE(refusal(std::move(longer)), "");
}

// Gives the bytes the digest that a writer of them would have given.
Bytes sealed(Bytes bytes) {
  const std::size_t body = bytes.size() - Sha256::Digest{}.size();
  Sha256 sha;
  sha.update(ByteView(bytes).first(body));
  const Sha256::Digest digest = sha.finish();
  std::copy(digest.begin(), digest.end(), bytes.begin() + static_cast<std::ptrdiff_t>(body));
  return bytes;
}

TEST(CheckpointFile, behind_a_right_digest_every_change_of_the_header_is_read_or_refused) {
  const TemporaryFolder folder;
  const Bytes good = Sample().written(folder.path() / "a");
  ASSERT_EQ(refusal(sealed(good)), "");
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, good.data(), sizeof header_bytes);
  int refused = 0, tried = 0;
  for (std::size_t i = 0; i < 8 + header_bytes; ++i) {
    for (const int change : {0x01, 0x10, 0x80, 0xff}) {
      Bytes bad = good;
      bad[i] = static_cast<std::uint8_t>(bad[i] ^ change);
      ++tried;
      refused +=
          refusal(sealed(std::move(bad))).empty() ? 0 : 1;  // refusal() wants the right error
    }
  }
  for (std::size_t length = 32; length < good.size(); ++length) {
    EXPECT_NE(
        refusal(sealed(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)))),
        "")
        << length;
  }
  EXPECT_GT(refused, tried / 2);  // the others changed a name or a number of `about`
  EXPECT_LT(refused, tried);
}

TEST(CheckpointFile, what_it_says_of_itself_must_be_json_with_its_format) {
  const TemporaryFolder folder;
  const Sample sample;
  for (const nlohmann::json& about :
       {nlohmann::json(), nlohmann::json(7), nlohmann::json::array({1}), nlohmann::json::object(),
        nlohmann::json{{"format", "1"}}, nlohmann::json{{"format", nullptr}},
        nlohmann::json{{"format", true}}, nlohmann::json{{"format", 1.0}}}) {
    write_checkpoint(folder.path() / "a", sample.views(), about);
    EXPECT_THAT(refusal(read_file(folder.path() / "a", kLimit)),
                HasSubstr("what it says of itself cannot be read"))
        << about;
  }
  const std::string deep =
      R"({"format":1,"x":)" + std::string(20'000, '[') + std::string(20'000, ']') + "}";
  for (const std::string& text : {std::string(), std::string("{"), std::string("{\"format\":1"),
                                  std::string("[[[["), std::string("{\"format\":1}\0", 13), deep}) {
    std::vector<TensorView> views = sample.views();
    Sha256::Digest digest{};
    views.push_back({"digest", DType::u8, {32}, digest});
    Bytes bytes;
    encode_safetensors("a", views, {{"fatwood.checkpoint", text}}, [&bytes](ByteView piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
    });
    EXPECT_NE(refusal(sealed(std::move(bytes))), "") << text;
  }
}

TEST(CheckpointFile, other_safetensors_files_are_no_checkpoints) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder.path() / "model.safetensors", sample.views());
  EXPECT_THAT(refusal(read_file(folder.path() / "model.safetensors", kLimit)),
              HasSubstr("no checkpoint"));
}

TEST(CheckpointFile, a_later_format_is_named) {
  const TemporaryFolder folder;
  Sample sample;
  sample.about["format"] = kCheckpointFormat + 1;
  write_checkpoint(folder.path() / "a", sample.views(), sample.about);
  EXPECT_THAT(refusal(read_file(folder.path() / "a", kLimit)), HasSubstr("format 2, wanted 1"));
}

TEST(CheckpointFile, no_number_that_is_not_finite_is_written) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a";
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    Sample sample;
    sample.weight[3] = bad;
    try {
      write_checkpoint(path, sample.views(), sample.about);
      ADD_FAILURE() << "written";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::diverged);
      EXPECT_THAT(error.what(), HasSubstr("model.weight holds a number that is not finite"));
    }
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

TEST(CheckpointFile, no_8_bit_number_that_is_not_finite_is_written_either) {
  const TemporaryFolder folder;
  const auto written = [&](DType dtype, std::uint8_t bits) {
    const std::vector<TensorView> views{{"model.weight", dtype, {1}, ByteView(&bits, 1)}};
    return thrown_by([&] {
      write_checkpoint(folder.path() / "a", views, {{"format", kCheckpointFormat}});
    });
  };
  for (const std::uint8_t bits : {0x7c, 0xfc, 0x7e})  // ±∞ and a NaN
    EXPECT_THAT(written(DType::f8_e5m2, bits), error_with(ErrorKind::diverged, "not finite"));
  EXPECT_FALSE(written(DType::f8_e5m2, 0x7b).thrown);
  EXPECT_THAT(written(DType::f8_e4m3, 0xff), error_with(ErrorKind::diverged, "not finite"));
  EXPECT_FALSE(written(DType::f8_e4m3, 0x7e).thrown);  // 448, its largest
  for (const DType dtype : {DType::f8_e4m3fnuz, DType::f8_e5m2fnuz}) {
    EXPECT_THAT(written(dtype, 0x80), error_with(ErrorKind::diverged, "not finite"));
    EXPECT_FALSE(written(dtype, 0xff).thrown);
  }
  EXPECT_THAT(written(DType::f8_e8m0, 0xff), error_with(ErrorKind::diverged, "not finite"));
  EXPECT_FALSE(written(DType::f8_e8m0, 0x80).thrown);
}

TEST(CheckpointFile, a_huge_file_that_is_none_is_refused_before_it_takes_memory) {
  const TemporaryFolder folder;
  const auto path = folder.path() / checkpoint_name(1);
  std::ofstream(path).close();
  std::filesystem::resize_file(path, std::uint64_t{12} << 30);  // of zeros, on no disk
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  EXPECT_THAT(thrown_by([&] { read_checkpoint(path); }),
              error_with(ErrorKind::data, path.string()));
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10);  // KiB
}

TEST(CheckpointFile, what_no_reader_would_take_is_refused_and_the_older_file_stays) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a";
  Sample sample;
  const Bytes before = sample.written(path);
  const auto refused = [&](const nlohmann::json& state, const std::string& words) {
    Sample other;
    other.about["callbacks"] = state;
    EXPECT_THAT(thrown_by([&] { write_checkpoint(path, other.views(), other.about); }),
                error_with(ErrorKind::data, words));
    EXPECT_EQ(read_file(path, kLimit), before);
  };
  refused(std::string(4 << 20, 'x'), "bytes, wanted at most");
  nlohmann::json deep = 1;
  for (int i = 0; i < 70; ++i) deep = nlohmann::json::array({deep});
  refused(deep, "nested too deeply");
  sample.about["callbacks"] = std::string(1'000'000, '"');  // four bytes each in the file
  write_checkpoint(path, sample.views(), sample.about);
  EXPECT_EQ(read_checkpoint(path).about, sample.about);
}

TEST(CheckpointFile, a_folder_lists_its_checkpoints_newest_first) {
  const TemporaryFolder folder;
  for (const std::int64_t step : {3, 100, 20}) std::ofstream(folder.path() / checkpoint_name(step));
  for (const char* other : {"step-.safetensors", "step-12x.safetensors", "step--5.safetensors",
                            "step-00000500.safetensors.set-aside", ".fatwood-1-2.tmp"})
    std::ofstream(folder.path() / other);
  std::vector<std::int64_t> steps;
  for (const ListedCheckpoint& listed : list_checkpoints(folder.path()))
    steps.push_back(listed.step);
  EXPECT_THAT(steps, testing::ElementsAre(100, 20, 3));
  EXPECT_EQ(checkpoint_name(118), "step-00000118.safetensors");
  EXPECT_TRUE(list_checkpoints(folder.path() / "nowhere").empty());
}

}  // namespace
}  // namespace fatwood
