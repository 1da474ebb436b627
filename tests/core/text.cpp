#include <gtest/gtest.h>

#include <fatwood/core/text.h>

namespace fatwood {
namespace {

TEST(Text, a_line_holds_no_control_characters) {
  EXPECT_EQ(one_line("one\ntwo\r\n", 99), "one two");
  EXPECT_EQ(one_line("\x1b[31mred\x7f\t", 99), "\\x1b[31mred\\x7f\\x09");
  EXPECT_EQ(one_line("\xc2\x9b", 99), "\\xc2\\x9b");
}

TEST(Text, a_line_keeps_utf8_and_shows_bytes_that_are_none) {
  EXPECT_EQ(one_line("größer → 𝄞", 99), "größer → 𝄞");
  EXPECT_EQ(one_line("\xff\xc3", 99), "\\xff\\xc3");
  EXPECT_EQ(one_line("\xe2\x86", 99), "\\xe2\\x86");
  EXPECT_EQ(one_line("\xc0\xaf", 99), "\\xc0\\xaf");
}

TEST(Text, a_long_line_ends_in_dots_behind_a_whole_character) {
  EXPECT_EQ(one_line("abc", 3), "abc");
  EXPECT_EQ(one_line("abcd", 3), "abc…");
  EXPECT_EQ(one_line("aüü", 2), "aü…");
}

}  // namespace
}  // namespace fatwood
