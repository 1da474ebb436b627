#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/table.h>
#include <fatwood/report/live_plot.h>

#include "support/approved.h"

namespace fatwood {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const RunRow kRun{.model = "cnn", .epochs = 3, .batches = 118};
constexpr TerminalTraits kUnicode{.redraws = true, .colour = false, .unicode = true};
constexpr TerminalTraits kAscii{.redraws = true, .colour = false, .unicode = false};

double loss_at(std::int64_t step) {
  const auto x = static_cast<double>(step);
  return 0.25 + 2.2 * std::exp(-x / 40) + 0.05 * std::sin(x * 1.7);
}

LivePlot played(TerminalTraits traits, std::int64_t steps) {
  LivePlot plot(traits);
  plot.begin(kRun);
  for (std::int64_t step = 0; step < steps; ++step) {
    plot.batch({.step = step, .loss = loss_at(step)});
    if ((step + 1) % 118 == 0)
      plot.epoch({.mode = Mode::evaluation, .step = step + 1, .metrics = {{"loss", 0.4}}});
  }
  return plot;
}

std::string text_of(const LivePlot& plot, WindowSize room) {
  std::string text;
  for (const std::string& line : plot.lines(room)) text += line + "\n";
  return text;
}

TEST(LivePlot, an_evaluation_beyond_the_run_stands_at_its_end) {
  LivePlot plot = played(kUnicode, 240), same = played(kUnicode, 240);
  plot.epoch({.mode = Mode::evaluation, .step = std::int64_t{1} << 50, .metrics = {{"loss", 0.5}}});
  same.epoch({.mode = Mode::evaluation, .step = 354, .metrics = {{"loss", 0.5}}});
  EXPECT_EQ(text_of(plot, {79, 20}), text_of(same, {79, 20}));
}

TEST(LivePlot, a_loss_of_any_size_fits) {
  LivePlot plot = played(kUnicode, 240);
  plot.batch({.step = 240, .loss = 1.2e308});
  plot.epoch({.mode = Mode::evaluation, .step = 241, .metrics = {{"loss", 1.3e308}}});
  for (const std::string& line : plot.lines({79, 20})) EXPECT_LE(display_width(line), 79u) << line;
}

TEST(LivePlot, looks_as_approved_after_two_epochs) {
  expect_approved(text_of(played(kUnicode, 240), {79, 20}), "live_plot.txt", __FILE__);
  expect_approved(text_of(played(kAscii, 240), {79, 20}), "live_plot_ascii.txt", __FILE__);
}

TEST(LivePlot, forgets_what_a_rewind_takes_back) {
  LivePlot rewound = played(kUnicode, 118);
  for (std::int64_t step = 118; step < 200; ++step) rewound.batch({.step = step, .loss = 1e6});
  rewound.event({.step = 118, .what = kRewindEvent, .reason = "diverged"});
  for (std::int64_t step = 118; step < 240; ++step) {
    rewound.batch({.step = step, .loss = loss_at(step)});
    if (step == 235)
      rewound.epoch({.mode = Mode::evaluation, .step = step + 1, .metrics = {{"loss", 0.4}}});
  }
  EXPECT_EQ(text_of(rewound, {79, 20}), text_of(played(kUnicode, 240), {79, 20}));
}

TEST(LivePlot, fits_every_window) {
  const LivePlot plot = played(kUnicode, 300);
  for (int columns = 1; columns < 200; columns += 3) {
    for (int rows = 0; rows < 40; rows += 3) {
      const auto lines = plot.lines({columns, rows});
      EXPECT_LE(lines.size(), static_cast<std::size_t>(rows));
      for (const std::string& line : lines)
        EXPECT_LE(display_width(line), static_cast<std::size_t>(columns)) << line;
    }
  }
}

TEST(LivePlot, shows_nothing_before_there_is_a_curve) {
  EXPECT_THAT(played(kUnicode, 1).lines({80, 24}), IsEmpty());
  LivePlot plot(kUnicode);
  plot.begin(kRun);
  for (std::int64_t step = 0; step < 5; ++step)
    plot.batch({.step = step, .loss = std::numeric_limits<double>::quiet_NaN()});
  EXPECT_THAT(plot.lines({80, 24}), IsEmpty());
}

TEST(LivePlot, a_long_run_keeps_its_spike) {
  LivePlot plot(kUnicode);
  plot.begin({.epochs = 1, .batches = 1000000});
  for (std::int64_t step = 0; step < 1000000; ++step)
    plot.batch(
        {.step = step, .loss = step == 123456 ? 9.5 : 1.0 + static_cast<double>(step % 7) / 7});
  EXPECT_THAT(plot.lines({80, 24}).at(1), HasSubstr("9.5"));
}

TEST(LivePlot, colour_is_balanced_on_every_line) {
  const LivePlot plot = played({.redraws = true, .colour = true, .unicode = true}, 300);
  for (const std::string& line : plot.lines({80, 24})) {
    const std::size_t last = line.rfind('\x1b');
    if (last != std::string::npos) {
      EXPECT_EQ(line.substr(last, 4), "\x1b[0m");
    }
  }
}

TEST(LivePlot, divergence_gets_a_logarithmic_axis) {
  LivePlot plot(kUnicode);
  plot.begin(kRun);
  for (std::int64_t step = 0; step < 100; ++step)
    plot.batch({.step = step, .loss = std::exp(static_cast<double>(step) / 5)});
  // A straight line on that axis: every row of the plot has dots.
  const auto lines = plot.lines({80, 24});
  for (std::size_t i = 1; i + 1 < lines.size(); ++i)
    EXPECT_NE(lines[i].find('\xE2'), std::string::npos) << lines[i];
}

}  // namespace
}  // namespace fatwood
