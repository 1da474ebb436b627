#include <limits>

#include <gtest/gtest.h>

#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

TEST(NumberText, decimal_rounds_and_knows_what_is_no_number) {
  EXPECT_EQ(decimal(0.5826, 3), "0.583");
  EXPECT_EQ(decimal(-0.0001, 3), "0.000");
  EXPECT_EQ(decimal(2, 0), "2");
  EXPECT_EQ(decimal(std::numeric_limits<double>::quiet_NaN(), 3), "nan");
  EXPECT_EQ(decimal(-std::numeric_limits<double>::infinity(), 3), "-inf");
  EXPECT_EQ(decimal(std::numeric_limits<double>::max(), 1).size(), 311u);
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
