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

TEST(NumberText, clock_text_has_hours_only_when_there_are_any) {
  EXPECT_EQ(clock_text(0), "00:00");
  EXPECT_EQ(clock_text(6.9), "00:06");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-1), "00:00");
  EXPECT_EQ(clock_text(std::numeric_limits<double>::infinity()), "?");
}

}  // namespace
}  // namespace fatwood
