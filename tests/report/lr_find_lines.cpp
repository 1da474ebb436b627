#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/table.h>
#include <fatwood/report/lr_find_lines.h>

#include "support/approved.h"

namespace fatwood {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

LrFindRecord sweep() {
  LrFindRecord found;
  for (int i = 0; i < 43; ++i) {
    const double lr = 1e-5 * std::pow(1.3, i);
    found.lr.push_back(lr);
    found.loss.push_back(2.4 - 1.8 / (1 + std::pow(0.004 / lr, 1.5)) +
                         (lr > 0.1 ? 6 * (lr - 0.1) : 0));
  }
  found.suggestions = {{"steepest", found.lr[21]}, {"valley", found.lr[26]}};
  return found;
}

std::string text_of(const LrFindRecord& found, TerminalTraits traits, WindowSize room) {
  std::string text;
  for (const std::string& line : lr_find_lines(found, traits, room)) text += line + "\n";
  return text;
}

TEST(LrFindLines, look_as_approved) {
  expect_approved(text_of(sweep(), {.unicode = true}, {79, 20}), "lr_find.txt", __FILE__);
  expect_approved(text_of(sweep(), {.unicode = false}, {79, 20}), "lr_find_ascii.txt", __FILE__);
}

TEST(LrFindLines, name_large_losses_whole) {
  LrFindRecord found = sweep();
  found.loss.back() = 12345;
  EXPECT_THAT(text_of(found, {}, {79, 20}), HasSubstr("1.23e4 "));
}

TEST(LrFindLines, fit_every_window) {
  for (int columns = 1; columns < 160; columns += 3) {
    for (int rows = 0; rows < 30; rows += 3) {
      const auto lines = lr_find_lines(sweep(), {.unicode = true}, {columns, rows});
      EXPECT_LE(lines.size(), static_cast<std::size_t>(rows));
      for (const std::string& line : lines)
        EXPECT_LE(display_width(line), static_cast<std::size_t>(columns)) << line;
    }
  }
}

TEST(LrFindLines, pass_over_losses_that_are_not_finite_and_are_none_without_two_points) {
  LrFindRecord found = sweep();
  found.loss.back() = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(text_of(found, {}, {79, 20}), HasSubstr("valley"));
  EXPECT_THAT(text_of(found, {}, {79, 20}), Not(HasSubstr("nan")));
  EXPECT_THAT(lr_find_lines({}, {}, {79, 20}), IsEmpty());
  EXPECT_THAT(lr_find_lines({.lr = {1}, .loss = {2}, .suggestions = {}}, {}, {79, 20}), IsEmpty());
}

TEST(LrFindLines, colour_the_curve_and_the_marks_where_colour_is_welcome) {
  EXPECT_THAT(text_of(sweep(), {.colour = true}, {79, 20}), HasSubstr("\x1b["));
  EXPECT_THAT(text_of(sweep(), {.colour = false}, {79, 20}), Not(HasSubstr("\x1b[")));
}

}  // namespace
}  // namespace fatwood
