#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>

namespace fatwood {
namespace {

using namespace std::string_view_literals;

TEST(Json, a_text_is_read_as_the_parser_reads_it) {
  EXPECT_EQ(parse_json(R"({"a": [1, 2.5, "\u0000x"]})"),
            (nlohmann::json{{"a", {1, 2.5, std::string("\0x", 2)}}}));
  EXPECT_EQ(parse_json<nlohmann::ordered_json>(R"({"b": 1, "a": 2})").begin().key(), "b");
}

TEST(Json, a_zero_byte_is_refused_wherever_it_stands) {
  for (const std::string_view text : {"{}\0"sv, "{}\0{"sv, "{}\0 "sv, "\0{}"sv, "{\0}"sv,
                                      "{\"a\0\": 1}"sv, "1\0"sv, "\0"sv, "{}\n\0"sv})
    EXPECT_THROW(parse_json(text), nlohmann::json::parse_error) << std::string(text);
}

std::string nested(int levels, const std::string& open, const std::string& close) {
  std::string text;
  for (int i = 0; i < levels; ++i) text += open;
  text += '1';
  for (int i = 0; i < levels; ++i) text += close;
  return text;
}

TEST(Json, levels_are_limited) {
  EXPECT_NO_THROW(parse_json(nested(kDeepestJson, "[", "]")));
  EXPECT_NO_THROW(parse_json(nested(kDeepestJson, R"({"a":)", "}")));
  EXPECT_THROW(parse_json(nested(kDeepestJson + 1, "[", "]")), nlohmann::json::parse_error);
  EXPECT_THROW(parse_json(nested(1'000'000, R"({"a":)", "}")), nlohmann::json::parse_error);
  EXPECT_THROW(parse_json(nested(1'000'000, "[", "]")), nlohmann::json::parse_error);
  // Brackets in strings are no levels; a quote behind a backslash ends no string.
  const std::string brackets(1000, '[');
  EXPECT_EQ(parse_json("[\"" + brackets + "\", \"\\\"" + brackets + "\"]")[1], "\"" + brackets);
  EXPECT_NO_THROW(parse_json("[" + nested(kDeepestJson - 1, "[", "]") + "," +
                             nested(kDeepestJson - 1, "[", "]") + "]"));
}

TEST(Json, ordered_keys_are_limited_in_each_object) {
  const auto with_keys = [](std::size_t count) {
    std::string text = R"({"a:b": [{"::": ":"}, {)";
    for (std::size_t i = 0; i < count; ++i)
      text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
    return text + "}]}";
  };
  using Ordered = nlohmann::ordered_json;
  EXPECT_NO_THROW(parse_json<Ordered>(with_keys(kMostOrderedKeys)));
  EXPECT_THROW(parse_json<Ordered>(with_keys(kMostOrderedKeys + 1)), Ordered::parse_error);
  EXPECT_NO_THROW(parse_json(with_keys(100 * kMostOrderedKeys)));
  std::string many = "[";
  for (int i = 0; i < 3; ++i) many += with_keys(kMostOrderedKeys) + ",";
  EXPECT_NO_THROW(parse_json<Ordered>(many + "0]"));
}

TEST(Json, levels_that_were_not_opened_are_no_json) {
  for (const std::string text : {"]", "}", "{}]", "[]]]", "1}"})
    EXPECT_THROW(parse_json(text), nlohmann::json::parse_error) << text;
}

TEST(Json, an_integer_is_no_other_number) {
  EXPECT_EQ(integer_of<std::int64_t>(parse_json("-7"), "test"), -7);
  EXPECT_EQ(integer_of<std::uint64_t>(parse_json("18446744073709551615"), "test"),
            ~std::uint64_t{0});
  for (const char* text : {"1.5", "1.0", "1e300", "true", "null", "\"1\"", "[1]", "{}",
                           "9223372036854775808", "18446744073709551616"})
    EXPECT_THROW(integer_of<std::int64_t>(parse_json(text), "test"), Error) << text;
  EXPECT_THROW(integer_of<std::uint64_t>(parse_json("-1"), "test"), Error);
  EXPECT_THROW(integer_of<int>(parse_json("4294967297"), "test"), Error);
}

TEST(Json, a_count_is_an_integer_from_0_to_its_limit) {
  EXPECT_EQ(count_of(parse_json("0"), "test"), 0);
  EXPECT_EQ(count_of(parse_json("1125899906842624"), "test"), kMaxCount);
  for (const char* text : {"-1", "1125899906842625", "9223372036854775807", "1.0", "true"})
    EXPECT_THROW(count_of(parse_json(text), "test"), Error) << text;
}

TEST(Json, what_watches_sees_the_keys) {
  int keys = 0;
  const auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json&) {
    keys += event == nlohmann::json::parse_event_t::key;
    return true;
  };
  parse_json(R"({"a": {"b": 1}})", watch);
  EXPECT_EQ(keys, 2);
}

}  // namespace
}  // namespace fatwood
