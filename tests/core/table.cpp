#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/core/table.h>

namespace fatwood {
namespace {

using ::testing::StrEq;

TextTable summary() {
  TextTable table({{"Type"}, {"Input"}, {"N. params", Align::right}});
  table.add({"Conv", "(512, 1, 28, 28)", "216"});
  table.add({"Total", "", "110,156"});
  return table;
}

TEST(TextTable, aligns_columns_and_leaves_no_trailing_blanks) {
  EXPECT_THAT(summary().plain(), StrEq("Type   Input             N. params\n"
                                       "Conv   (512, 1, 28, 28)        216\n"
                                       "Total                      110,156\n"));
  TextTable table({{"a"}, {"b"}});
  table.add({"1", ""});
  EXPECT_THAT(table.plain(), StrEq("a  b\n1\n"));
}

TEST(TextTable, markdown_has_the_form_of_the_page) {
  EXPECT_THAT(summary().markdown(), StrEq("| Type | Input | N. params |\n"
                                          "| -- | -- | -- |\n"
                                          "| Conv | (512, 1, 28, 28) | 216 |\n"
                                          "| Total | | 110,156 |\n"));
}

TEST(TextTable, markdown_cells_cannot_break_the_table) {
  TextTable table({{"a"}});
  table.add({"x|y\nz"});
  EXPECT_THAT(table.markdown(), StrEq("| a |\n| -- |\n| x\\|y z |\n"));
}

TEST(TextTable, counts_code_points_not_bytes) {
  TextTable table({{"wide"}, {"b"}});
  table.add({"⌈é⌉", "x"});
  EXPECT_THAT(table.plain(), StrEq("wide  b\n⌈é⌉   x\n"));
  EXPECT_EQ(display_width("⌈é⌉"), 3u);
}

TEST(TextTable, rows_printed_as_they_come_line_up_by_the_minimum_width) {
  TextTable table({{"loss", Align::right, 6}, {"train"}});
  EXPECT_THAT(table.plain_heading(), StrEq("  loss  train\n"));
  table.add({"0.583", "eval"});
  EXPECT_THAT(table.plain_row(0), StrEq(" 0.583  eval\n"));
}

TEST(TextTable, a_row_of_the_wrong_length_is_refused) {
  TextTable table({{"a"}, {"b"}});
  EXPECT_THROW(table.add({"1"}), Error);
}

}  // namespace
}  // namespace fatwood
