#include <limits>

#include <gtest/gtest.h>

#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

TEST(NumberText, short_number_is_as_short_as_four_digits_go) {
  EXPECT_EQ(short_number(0.01), "0.01");
  EXPECT_EQ(short_number(4e-8), "4e-08");
  EXPECT_EQ(short_number(12.3456), "12.35");
  EXPECT_EQ(short_number(std::numeric_limits<double>::quiet_NaN()), "nan");
}

TEST(NumberText, narrow_number_keeps_the_digits_that_fit_and_the_exponent) {
  EXPECT_EQ(narrow_number(0.2071, 6), "0.2071");
  EXPECT_EQ(narrow_number(12345, 6), "1.23e4");
  EXPECT_EQ(narrow_number(-12345, 6), "-1.2e4");
  EXPECT_EQ(narrow_number(100000, 6), "1e5");
  EXPECT_EQ(narrow_number(0.01239, 6), "0.0124");
  EXPECT_EQ(narrow_number(-0.2071, 6), "-0.207");
  EXPECT_EQ(narrow_number(0.0001234, 6), "1.2e-4");
  EXPECT_EQ(narrow_number(-0.0001234, 6), "-1e-4");
  EXPECT_EQ(narrow_number(1.234e-5, 6), "1.2e-5");
  EXPECT_EQ(narrow_number(6.1e-300, 6), "6e-300");
  EXPECT_EQ(narrow_number(-6.1e-300, 6), "-0");
  EXPECT_EQ(narrow_number(-6.1e300, 6), "-6e300");
  EXPECT_EQ(narrow_number(0, 6), "0");
  EXPECT_EQ(narrow_number(-std::numeric_limits<double>::infinity(), 6), "-inf");
}

TEST(NumberText, narrow_number_never_takes_more_than_its_columns_and_reads_back_as_it_was) {
  for (int exponent = -307; exponent < 308; ++exponent) {
    for (const double digits : {1.0, 1.96, -4.44, 8.8888, -9.9999}) {
      const double value = std::stod(std::to_string(digits) + "e" + std::to_string(exponent));
      const std::string text = narrow_number(value, 6);
      EXPECT_LE(text.size(), 6u) << value;
      if (text != "-0") {
        EXPECT_NEAR(std::stod(text) / value, 1, 0.5) << text;
      }
    }
  }
}

TEST(NumberText, clock_text_has_hours_only_when_there_are_any) {
  EXPECT_EQ(clock_text(0), "00:00");
  EXPECT_EQ(clock_text(6.9), "00:06");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-1), "00:00");
  EXPECT_EQ(clock_text(std::numeric_limits<double>::infinity()), "?");
}

}  // namespace
}  // namespace fatwood
