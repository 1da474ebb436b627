#include <string>
#include <string_view>

#include <gtest/gtest.h>

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
