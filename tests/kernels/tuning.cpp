#include <set>

#include <gmock/gmock.h>

#include <fatwood/core/error.h>
#include <fatwood/kernels/tuning.h>

#include "support/thrown.h"

namespace fatwood::kernels {
namespace {

using testing::HasSubstr;

ConvSpec plain_conv() {
  ConvSpec spec;
  spec.c_in = 8;
  spec.c_out = 16;
  spec.stride = 2;
  return spec;
}

LayerSpec small_conv() {
  ConvSpec spec = plain_conv();
  spec.activation = {0.1F, 0.4F};
  spec.norm.emplace();
  return spec;
}

TuningKey key_of(const LayerSpec& layer, std::int64_t batch = 64) {
  return tuning_key(layer, {8, 28, 28}, batch, Isa::avx2, 2, Precision::f32);
}

TuningTable two_entries() {
  TuningTable table;
  table.put({.key = key_of(small_conv()),
             .kernels = true,
             .kernels_ms = 1.25,
             .torch_ms = 3.5,
             .cpu = "a \"processor\""});
  table.put({.key = key_of(ResidualSpec{}),
             .kernels = false,
             .kernels_ms = 2,
             .torch_ms = 1,
             .cpu = "another"});
  return table;
}

TEST(Tuning, a_table_comes_back_from_its_text) {
  const TuningTable table = two_entries();
  const std::string text = table.text();
  const TuningTable again = TuningTable::parse(text, "t.json");
  EXPECT_EQ(again.text(), text);
  ASSERT_EQ(again.entries().size(), 2u);
  const TuningEntry* entry = again.find(key_of(small_conv()));
  ASSERT_NE(entry, nullptr);
  EXPECT_TRUE(entry->kernels);
  EXPECT_EQ(entry->kernels_ms, 1.25);
  EXPECT_EQ(entry->torch_ms, 3.5);
  EXPECT_EQ(entry->cpu, "a \"processor\"");
  EXPECT_FALSE(again.find(key_of(ResidualSpec{}))->kernels);
  EXPECT_EQ(TuningTable::parse(TuningTable().text(), "empty").entries().size(), 0u);
}

TEST(Tuning, the_least_and_the_most_time_come_back_from_their_text) {
  for (const double ms : {1e-4, 1e7}) {
    TuningTable table;
    table.put({.key = key_of(small_conv()), .kernels_ms = ms, .torch_ms = ms, .cpu = "one"});
    const TuningTable again = TuningTable::parse(table.text(), "t.json");
    EXPECT_EQ(again.find(key_of(small_conv()))->torch_ms, ms);
    EXPECT_EQ(again.text(), table.text());
  }
}

TEST(Tuning, the_order_of_measuring_does_not_show) {
  TuningTable reversed;
  const TuningTable table = two_entries();
  for (auto entry = table.entries().rbegin(); entry != table.entries().rend(); ++entry)
    reversed.put(entry->second);
  EXPECT_EQ(reversed.text(), table.text());
}

TEST(Tuning, a_later_entry_takes_the_place_of_that_of_its_key) {
  TuningTable table = two_entries();
  TuningEntry entry = *table.find(key_of(small_conv()));
  entry.kernels = false;
  table.put(entry);
  EXPECT_EQ(table.entries().size(), 2u);
  EXPECT_FALSE(table.find(entry.key)->kernels);
}

TEST(Tuning, every_part_of_a_key_counts) {
  const TuningTable table = two_entries();
  const TuningKey key = key_of(small_conv());
  ASSERT_NE(table.find(key), nullptr);
  const auto lacks = [&](auto change) {
    TuningKey other = key;
    change(other);
    return table.find(other) == nullptr;
  };
  EXPECT_TRUE(lacks([](TuningKey& k) { k.layer += ' '; }));
  EXPECT_TRUE(lacks([](TuningKey& k) { ++k.channels; }));
  EXPECT_TRUE(lacks([](TuningKey& k) { ++k.height; }));
  EXPECT_TRUE(lacks([](TuningKey& k) { ++k.width; }));
  EXPECT_TRUE(lacks([](TuningKey& k) { ++k.batch; }));
  EXPECT_TRUE(lacks([](TuningKey& k) { k.isa = Isa::avx512; }));
  EXPECT_TRUE(lacks([](TuningKey& k) { ++k.threads; }));
  EXPECT_TRUE(lacks([](TuningKey& k) { k.precision = Precision::bf16; }));
}

TEST(Tuning, a_layers_text_tells_kinds_shapes_norms_and_activations_apart) {
  std::set<std::string> texts;
  ConvSpec conv = plain_conv();
  const auto add = [&](const LayerSpec& layer) { texts.insert(key_of(layer).layer); };
  add(conv);
  for (int* value : {&conv.c_in, &conv.c_out, &conv.ks, &conv.stride}) {
    ++*value;
    add(conv);
  }
  conv.norm.emplace();
  add(conv);
  conv.bias.emplace();
  add(conv);
  conv.activation = {0, 0};
  add(conv);
  conv.activation = {0.1F, 0.4F};
  add(conv);
  add(DoubleSpec{conv, conv});
  ResidualSpec residual;
  residual.a = residual.b = conv;
  add(residual);
  residual.id_weight.emplace();
  add(residual);
  BasicSpec basic;
  basic.a = basic.b = conv;
  add(basic);
  basic.down = conv;
  add(basic);
  StemSpec stem;
  stem.conv = conv;
  add(stem);
  add(HeadSpec{});
  EXPECT_EQ(texts.size(), 16u);
  EXPECT_EQ(key_of(small_conv()).layer, "Conv: conv 3x3/2 8->16, leaky relu, norm");
}

TEST(Tuning, avx512_and_avx512_bf16_share_their_f32_entries) {
  const auto key = [](Isa isa, Precision precision) {
    return tuning_key(small_conv(), {8, 28, 28}, 64, isa, 2, precision);
  };
  EXPECT_EQ(key(Isa::avx512_bf16, Precision::f32), key(Isa::avx512, Precision::f32));
  EXPECT_NE(key(Isa::avx512_bf16, Precision::bf16), key(Isa::avx512, Precision::bf16));
}

/// The table's text with `from` replaced by `to`.
std::string with(const std::string& from, const std::string& to) {
  std::string text = two_entries().text();
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Tuning, what_is_no_table_is_one_error_with_the_file_the_found_and_the_wanted) {
  struct Case {
    std::string text;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases{
      {"", {"found no valid JSON at byte"}},
      {"<!DOCTYPE html>", {"found no valid JSON at byte 1 of 15"}},
      {std::string("\x00\xff\xfe", 3), {"found no valid JSON"}},
      {std::string(100'000, '['), {"found no valid JSON"}},
      {"[]", {"found an array, wanted an object"}},
      {"3", {"found 3, wanted an object"}},
      {"{}", {"found no \"kind\", wanted fatwood tuning"}},
      {with("fatwood tuning", "other"), {"\"kind\": found \"other\", wanted fatwood tuning"}},
      {with("\"format\": 1", "\"format\": 2"), {"\"format\": found 2, wanted 1"}},
      {with("\"format\": 1", "\"format\": \"1\""), {"\"format\": found \"1\", wanted 1"}},
      {with("\"format\": 1", "\"format\": 1, \"format\": 1"), {"\"format\" stands twice"}},
      {with("\"format\": 1", "\"format\": 1, \"more\": {}"), {"the key \"more\""}},
      {R"({"kind": "fatwood tuning", "format": 1, "entries": {}})",
       {"found an object, wanted an array"}},
      {R"({"kind": "fatwood tuning", "format": 1, "entries": [7]})",
       {"entry 1: found 7, wanted an object"}},
      {with("\"batch\":64", "\"batch\":0"),
       {"entry 1: \"batch\": found 0, wanted a whole number from 1"}},
      {with("\"batch\":64", "\"batch\":-1"), {"found -1"}},
      {with("\"batch\":64", "\"batch\":1.5"), {"found 1.5"}},
      {with("\"batch\":64", "\"batch\":99999999999999999999"), {"\"batch\": found 1"}},
      {with("\"batch\":64", "\"batch\":1e999"), {"out of range"}},
      {with("\"batch\":64,", ""), {"found no \"batch\""}},
      {with("\"threads\":2", "\"threads\":\"two\""), {"\"threads\": found \"two\""}},
      {with("\"threads\":2", "\"threads\":2000"), {"to 1024"}},
      {with("[8,28,28]", "[8,28]"),
       {"\"input\": found an array, wanted [channels, height, width]"}},
      {with("[8,28,28]", "[8,28,0]"), {"\"input\": found 0"}},
      {with("\"avx2\"", "\"sse9\""), {"\"isa\": found \"sse9\", wanted portable or"}},
      {with("\"f32\"", "\"f16\""), {"found \"f16\", wanted f32 or bf16"}},
      {with("\"runs\":\"kernels\"", "\"runs\":\"magic\""),
       {"found \"magic\", wanted torch or kernels"}},
      {with("\"kernels_ms\":1.25", "\"kernels_ms\":0"), {"\"kernels_ms\": found 0"}},
      {with("\"kernels_ms\":1.25", "\"kernels_ms\":0.00009"),
       {"\"kernels_ms\": found 9e-05, wanted milliseconds from 0.0001"}},
      {with("\"kernels_ms\":1.25", "\"kernels_ms\":null"), {"found null"}},
      {with("\"torch_ms\":3.5", "\"torch_ms\":1e300"), {"\"torch_ms\": found 1e+300"}},
      {with("\"cpu\":\"another\"", "\"cpu\":\"" + std::string(501, 'x') + "\""),
       {"\"cpu\"", "500 bytes"}},
      {with("\"cpu\":\"another\"", "\"cpu\":\"another\",\"gpu\":1"),
       {"entry 2: found the key \"gpu\""}},
  };
  for (const Case& each : cases) {
    const Thrown thrown = thrown_by([&] { TuningTable::parse(each.text, "folder/t.json"); });
    EXPECT_THAT(thrown, error_with(ErrorKind::data, "[read_tuning] folder/t.json: "))
        << each.text.substr(0, 300);
    EXPECT_LT(thrown.message.size(), 400u);
    for (const std::string& word : each.words) EXPECT_THAT(thrown.message, HasSubstr(word));
  }
  TuningTable one;
  one.put(two_entries().entries().begin()->second);
  std::string twice = one.text();
  const std::size_t begin = twice.find("{\"layer\""), end = twice.rfind("\n ]");
  twice.insert(end, "," + twice.substr(begin, end - begin));
  EXPECT_THAT(thrown_by([&] { TuningTable::parse(twice, "t.json"); }),
              error_with(ErrorKind::data, "t.json: entry 2: found the layer, input and machine"));
}

TEST(Tuning, every_truncation_is_refused_and_no_flipped_byte_is_worse_than_an_error) {
  const std::string sound = two_entries().text();
  for (std::size_t length = 0; length + 2 < sound.size(); ++length) {
    EXPECT_THAT(thrown_by([&] { TuningTable::parse(sound.substr(0, length), "t.json"); }),
                error_with(ErrorKind::data, "t.json: "))
        << length;
  }
  int refused = 0;
  for (std::size_t at = 0; at < sound.size(); ++at) {
    for (const int bits : {0x01, 0x20, 0x80, 0xff}) {
      std::string damaged = sound;
      damaged[at] = static_cast<char>(damaged[at] ^ bits);
      const Thrown thrown = thrown_by([&] { TuningTable::parse(damaged, "t.json"); });
      if (!thrown.thrown) continue;  // another number, or another word in a text
      ++refused;
      EXPECT_EQ(thrown.kind, ErrorKind::data);
      EXPECT_LT(thrown.message.size(), 400u);
    }
  }
  EXPECT_GT(refused, static_cast<int>(sound.size()));
}

}  // namespace
}  // namespace fatwood::kernels
