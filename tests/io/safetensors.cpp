#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/io/file.h>
#include <fatwood/io/safetensors.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

Bytes file_with(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  Bytes file(8 + header.size() + data_bytes);
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

Thrown error_for(const std::string& header, std::size_t data_bytes,
                 const SafetensorsLimits& limits = {}) {
  return thrown_by([&] { Safetensors::parse(file_with(header, data_bytes), "w", limits); });
}

struct Case {
  std::string header;
  std::size_t data_bytes;
  std::string words;
};

TEST(Safetensors, what_is_written_is_read) {
  const TemporaryFolder folder;
  const Bytes weight{0, 1, 2, 3, 4, 5, 6, 7};
  const Bytes flag{1};
  const Bytes count{9, 0, 0, 0, 0, 0, 0, 0};
  write_safetensors(folder / "w",
                    std::vector<TensorView>{{"layers.0.weight", DType::f32, {2, 1}, weight},
                                            {"flag", DType::boolean, {}, flag},
                                            {"none", DType::f16, {0, 3}, {}},
                                            {"count", DType::i64, {1}, count}},
                    {{"format", "pt"}, {"note", "ü\n"}});
  const Safetensors file = Safetensors::read(folder / "w");
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.tensors()[0].name, "layers.0.weight");
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(Bytes(file.tensors()[0].data.begin(), file.tensors()[0].data.end()), weight);
  EXPECT_EQ(file.tensors()[1].dtype, DType::boolean);
  EXPECT_TRUE(file.tensors()[1].shape.empty());
  EXPECT_EQ(file.tensors()[1].data[0], 1);
  EXPECT_EQ(file.tensors()[2].data.size(), 0u);
  EXPECT_EQ(file.find("count")->data[0], 9);
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}, {"note", "ü\n"}}));
}

TEST(Safetensors, the_same_input_gives_the_same_bytes_and_aligned_tensors) {
  const TemporaryFolder folder;
  const Bytes bytes(16, 3);
  const std::vector<TensorView> tensors{{"a", DType::u8, {3}, ByteView(bytes).first(3)},
                                        {"b", DType::f64, {2}, bytes},
                                        {"c", DType::f16, {1}, ByteView(bytes).first(2)}};
  write_safetensors(folder / "1", tensors);
  write_safetensors(folder / "2", tensors);
  EXPECT_EQ(read_file(folder / "1", 999), read_file(folder / "2", 999));
  const Safetensors file = Safetensors::read(folder / "1");
  const auto place = [&](const char* name) { return file.find(name)->data.data(); };
  EXPECT_EQ(place("c") - place("b"), 16);
  EXPECT_EQ(place("a") - place("b"), 18);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, read_file(folder / "1", 999).data(), 8);
  EXPECT_EQ(header_bytes % 8, 0u);
}

TEST(Safetensors, views_stay_valid_when_the_file_object_moves) {
  const Bytes bytes = file_with(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2);
  Safetensors first = Safetensors::parse(bytes, "w");
  const Safetensors second = std::move(first);
  EXPECT_EQ(second.find("a")->data.size(), 2u);
  EXPECT_EQ(second.tensors()[0].data.data(), second.find("a")->data.data());
}

TEST(Safetensors, every_dtype_has_a_name_and_a_size) {
  for (int i = 0; i <= static_cast<int>(DType::c64); ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::uint64_t size = size_of(dtype);
    const std::string header = R"({"a":{"dtype":")" + std::string(name_of(dtype)) +
                               R"(","shape":[3],"data_offsets":[0,)" + std::to_string(3 * size) +
                               "]}}";
    EXPECT_EQ(Safetensors::parse(file_with(header, 3 * size), "w").tensors()[0].dtype, dtype);
  }
  EXPECT_EQ(size_of(DType::c64), 8u);
  EXPECT_EQ(size_of(DType::bf16), 2u);
}

TEST(Safetensors, a_wrong_layout_is_refused) {
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const Case cases[] = {
      {"{" + a + "}", 7, "7 bytes of data, wanted 8"},
      {"{" + a + "}", 9, "9 bytes of data, wanted 8"},
      {"{}", 1, "1 byte of data, wanted 0"},
      {"{" + a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12,
       "\"b\": begins at 4, wanted 8"},
      {"{" + a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}})", 20,
       "\"b\": begins at 12, wanted 8"},
      {"{" + a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8,
       "begins at 0, wanted 8"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8,
       "data_offsets 0 to 8, wanted 12 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "data_offsets 8 to 0"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "more than 2^63 bytes"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0,
       "more than 2^63 bytes"},
      {R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "more than 2^63 bytes"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", 8,
       "is too large"},
  };
  for (const Case& wrong : cases) {
    EXPECT_THAT(error_for(wrong.header, wrong.data_bytes), error_with(ErrorKind::data, wrong.words))
        << wrong.header;
  }
}

TEST(Safetensors, a_wrong_header_is_refused) {
  const Case cases[] = {
      {"", 0, "does not begin with"},
      {"[]", 0, "does not begin with"},
      {" {}", 0, "does not begin with"},
      {"\xef\xbb\xbf{}", 0, "does not begin with"},
      {std::string("{}\0", 3), 0, "a zero byte"},
      {"{", 0, "not valid JSON at its byte 2"},
      {"{}{}", 0, "not valid JSON"},
      {"{\"\xff\":{}}", 0, "not valid JSON"},
      {R"({"a":1})", 0, "\"a\": is a number, wanted an object"},
      {R"({"a":null})", 0, "\"a\": is null, wanted an object"},
      {R"({"a":[]})", 0, "\"a\": is an array, wanted an object"},
      {R"({"a":{}})", 0, "\"a\": has no \"dtype\""},
      {R"({"a":{"dtype":"F32"}})", 0, "has no \"shape\""},
      {R"({"a":{"dtype":"F32","shape":[0]}})", 0, "has no \"data_offsets\""},
      {R"({"a":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}})", 0, "unknown dtype \"F33\""},
      {R"({"a":{"dtype":3}})", 0, "\"dtype\" holds a number"},
      {R"({"a":{"dtype":["F32"]}})", 0, "\"dtype\" holds an array"},
      {R"({"a":{"shape":"2"}})", 0, "\"shape\" holds a string"},
      {R"({"a":{"shape":2}})", 0, "\"shape\" holds a number"},
      {R"({"a":{"shape":[[2]]}})", 0, "\"shape\" holds an array"},
      {R"({"a":{"shape":["2"]}})", 0, "\"shape\" holds a string"},
      {R"({"a":{"shape":{}}})", 0, "\"shape\" holds an object"},
      {R"({"a":{"shape":[-1]}})", 0, "the negative number -1"},
      {R"({"a":{"shape":[1.0]}})", 0, "the number 1.0"},
      {R"({"a":{"shape":[1e3]}})", 0, "the number 1e3"},
      {R"({"a":{"shape":[true]}})", 0, "\"shape\" holds a boolean"},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})", 0, "1 number in"},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}})", 0, "3 numbers in"},
      {R"({"a":{"stride":[1]}})", 0, "unknown key \"stride\""},
      {R"({"a":{"dtype":"U8","dtype":"U8"}})", 0, "the key \"dtype\" stands twice"},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
       R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
       0, "the key \"a\" stands twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "stands twice"},
      {R"({"__metadata__":{"k":"v","k":"v"}})", 0, "the key \"k\" stands twice"},
      {R"({"__metadata__":{"k":1}})", 0, "\"k\" holds a number"},
      {R"({"__metadata__":{"k":{}}})", 0, "\"k\" holds an object"},
      {R"({"__metadata__":{"k":[]}})", 0, "\"k\" holds an array"},
      {R"({"__metadata__":"k"})", 0, "is a string, wanted an object"},
      {"{\"\\n\\u001b\":1}", 0, "\"\\x0a\\x1b\": is a number"},
  };
  for (const Case& wrong : cases) {
    EXPECT_THAT(error_for(wrong.header, wrong.data_bytes), error_with(ErrorKind::data, wrong.words))
        << wrong.header;
  }
}

TEST(Safetensors, a_header_length_beyond_the_file_or_the_limit_is_refused) {
  const TemporaryFolder folder;
  Bytes file = file_with("{}", 0);
  file[1] = 1;
  EXPECT_THAT(thrown_by([&] { Safetensors::parse(file, "w"); }),
              error_with(ErrorKind::data, "w: a header of 258 bytes in a file of 10: truncated?"));
  write_file(folder / "w", file);
  EXPECT_THAT(thrown_by([&] { Safetensors::read(folder / "w"); }),
              error_with(ErrorKind::data, "w: a header of 258 bytes in a file of 10"));
  file[7] = 0xff;
  EXPECT_THAT(thrown_by([&] { Safetensors::parse(file, "w"); }),
              error_with(ErrorKind::data, "wanted at most 100000000"));
  EXPECT_THAT(thrown_by([&] { Safetensors::parse(Bytes(7), "w"); }),
              error_with(ErrorKind::data, "7 bytes, too short"));
}

TEST(Safetensors, limits_on_entries_and_dimensions_hold) {
  const std::string header = R"({"__metadata__":{"k":"","l":""},)"
                             R"("a":{"dtype":"U8","shape":[0,1],"data_offsets":[0,0]},)"
                             R"("b":{"dtype":"U8","shape":[0,1],"data_offsets":[0,0]}})";
  EXPECT_FALSE(error_for(header, 0, {.entries = 2, .dimensions = 2}).thrown);
  EXPECT_THAT(error_for(header, 0, {.entries = 1}),
              error_with(ErrorKind::data, "more than 1 entries of metadata"));
  EXPECT_THAT(
      error_for(header.substr(0, 1) + header.substr(header.find("\"a\"")), 0, {.entries = 1}),
      error_with(ErrorKind::data, "more than 1 tensors"));
  EXPECT_THAT(error_for(header, 0, {.dimensions = 1}),
              error_with(ErrorKind::data, "\"a\": more than 1 dimension"));
  EXPECT_FALSE(error_for(header, 0, {.token_bytes = 12}).thrown);
  EXPECT_THAT(error_for(header, 0, {.token_bytes = 11}),
              error_with(ErrorKind::data, "a string, number or blank of more than 11 bytes"));
  EXPECT_THAT(error_for(header, 0, {.file_bytes = 10}),
              error_with(ErrorKind::data, "wanted at most 10"));
  EXPECT_THAT(error_for(header, 0, {.header_bytes = 10}),
              error_with(ErrorKind::data, "wanted at most 10"));
}

TEST(Safetensors, every_truncation_of_a_file_is_refused) {
  const TemporaryFolder folder;
  const Bytes bytes(24, 1);
  write_safetensors(folder / "w",
                    std::vector<TensorView>{{"a", DType::f64, {3}, bytes},
                                            {"b", DType::u8, {5}, ByteView(bytes).first(5)}});
  const Bytes whole = read_file(folder / "w", 999);
  EXPECT_FALSE(thrown_by([&] { Safetensors::parse(whole, "w"); }).thrown);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    ASSERT_THAT(thrown_by([&] { Safetensors::parse(cut, "w"); }),
                error_with(ErrorKind::data, "[read_safetensors] w: "))
        << length;
  }
}

TEST(Safetensors, a_writer_refuses_what_a_reader_would) {
  const TemporaryFolder folder;
  const Bytes four(4);
  const auto error_of = [&](std::vector<TensorView> tensors, const Metadata& metadata = {}) {
    return thrown_by([&] { write_safetensors(folder / "w", tensors, metadata); });
  };
  EXPECT_THAT(error_of({{"a", DType::f32, {2}, four}}),
              error_with(ErrorKind::internal, "\"a\": 4 bytes, wanted 8"));
  EXPECT_THAT(error_of({{"a", DType::f32, {1}, four}, {"a", DType::f32, {1}, four}}),
              error_with(ErrorKind::internal, "the name is taken"));
  EXPECT_THAT(error_of({{"__metadata__", DType::f32, {1}, four}}),
              error_with(ErrorKind::internal, "the name is taken"));
  EXPECT_THAT(error_of({{"\xff", DType::f32, {1}, four}}),
              error_with(ErrorKind::internal, "not valid UTF-8"));
  EXPECT_THAT(error_of({}, {{"k", "\xff"}}), error_with(ErrorKind::internal, "not valid UTF-8"));
  EXPECT_EQ(folder.entries(), 0);
}

}  // namespace
}  // namespace fatwood
