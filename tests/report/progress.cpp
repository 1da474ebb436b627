#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/report/progress.h>

namespace fatwood {
namespace {

using ::testing::HasSubstr;
using ::testing::StrEq;

/// What a terminal of a few rows shows after the bytes written to it: carriage return, newline,
/// cursor up, erase to the end of line and of screen; colours are passed over.
std::vector<std::string> screen_after(const std::string& bytes) {
  std::vector<std::u32string> rows(1);
  std::size_t row = 0;
  std::size_t column = 0;
  const auto put = [&](char32_t c) {
    auto& line = rows[row];
    if (line.size() <= column) line.resize(column + 1, U' ');
    line[column++] = c;
  };
  for (std::size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte == '\x1b') {
      std::size_t end = bytes.find_first_of("AKJm", i);
      const int count =
          std::max(1, static_cast<int>(std::strtol(bytes.c_str() + i + 2, nullptr, 10)));
      if (bytes[end] == 'A') row -= std::min<std::size_t>(row, static_cast<std::size_t>(count));
      if (bytes[end] == 'K' || bytes[end] == 'J') rows[row].resize(column, U' ');
      if (bytes[end] == 'J') rows.resize(row + 1);
      i = end + 1;
    } else if (byte == '\r') {
      column = 0;
      ++i;
    } else if (byte == '\n') {
      if (++row == rows.size()) rows.emplace_back();
      column = 0;
      ++i;
    } else {
      const int length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
      char32_t c = length == 1 ? byte : byte & (0xFF >> (length + 1));
      for (int k = 1; k < length; ++k)
        c = (c << 6) | (static_cast<unsigned char>(bytes[i + static_cast<std::size_t>(k)]) & 0x3F);
      put(c);
      i += static_cast<std::size_t>(length);
    }
  }
  std::vector<std::string> lines;
  for (const auto& line : rows) {
    std::string text;
    for (char32_t c : line) {
      if (c < 0x80) {
        text += static_cast<char>(c);
      } else {
        text += '?';  // every bar character counts one column
      }
    }
    lines.push_back(text);
  }
  return lines;
}

class Progress : public ::testing::Test {
 protected:
  ProgressDisplay display(TerminalTraits traits, WindowSize size = {}) {
    return ProgressDisplay(Terminal(text, traits, size), {.now = [this] { return time; }});
  }
  void run_batches(ProgressDisplay& display, Mode mode, std::int64_t epoch, std::int64_t from,
                   std::int64_t to, double seconds_each) {
    for (std::int64_t i = from; i < to; ++i) {
      time += seconds_each;
      display.batch({.mode = mode, .epoch = epoch, .batch = i, .loss = 0.478});
    }
  }

  static constexpr TerminalTraits kPlain{};
  static constexpr TerminalTraits kTerminal{.redraws = true, .colour = false, .unicode = false};
  const RunRow kRun{.model = "cnn", .epochs = 3, .batches = 118, .eval_batches = 20};
  std::string text;
  double time = 1000;
};

TEST_F(Progress, text_has_the_form_of_the_page) {
  EXPECT_THAT(progress_text(94 / 118.0, 94, 118, 6.4, "0.478"),
              StrEq("79.66% [94/118 00:06<00:01 0.478]"));
  EXPECT_THAT(progress_text(0, 0, 3, 0, ""), StrEq("0.00% [0/3 00:00<?]"));
  EXPECT_THAT(progress_text(1, 3, 3, 3700, ""), StrEq("100.00% [3/3 1:01:40<00:00]"));
}

TEST_F(Progress, a_terminal_shows_an_epoch_bar_and_a_batch_bar_drawn_in_place) {
  auto bars = display(kTerminal, {60, 24});
  bars.begin(kRun);
  EXPECT_THAT(
      screen_after(text),
      ::testing::ElementsAre("--------------------------------------- 0.00% [0/3 00:00<?]"));
  bars.begin_epoch(Mode::training, 0, 118);
  run_batches(bars, Mode::training, 0, 0, 94, 0.0681);
  // The last drawing is at most a tenth of a second old.
  const auto screen = screen_after(text);
  ASSERT_EQ(screen.size(), 2u);
  EXPECT_THAT(screen[0], HasSubstr("[0/3 00:06<"));
  EXPECT_THAT(screen[1], HasSubstr("79.66% [94/118 00:06<00:01 0.478] train"));
  EXPECT_THAT(screen[1], ::testing::StartsWith("======"));
  EXPECT_EQ(screen[1].size(), 59u);
}

TEST_F(Progress, draws_at_most_ten_times_a_second) {
  auto bars = display(kTerminal);
  bars.begin(kRun);
  bars.begin_epoch(Mode::training, 0, 118);
  run_batches(bars, Mode::training, 0, 0, 118, 0.01);  // 1.18 s
  const auto drawings = std::count(text.begin(), text.end(), '\r');
  EXPECT_LE(drawings, 13);
  EXPECT_GE(drawings, 10);
}

TEST_F(Progress, elsewhere_each_pass_leaves_one_plain_line) {
  auto bars = display(kPlain);
  bars.begin(kRun);
  bars.begin_epoch(Mode::training, 0, 118);
  run_batches(bars, Mode::training, 0, 0, 118, 0.08);
  bars.epoch({.mode = Mode::training,
              .epoch = 0,
              .metrics = {{"accuracy", 0.807}, {"loss", 0.5831}},
              .duration_s = 9.44});
  bars.begin_epoch(Mode::evaluation, 0, 20);
  run_batches(bars, Mode::evaluation, 0, 0, 20, 0.02);
  bars.epoch({.mode = Mode::evaluation, .epoch = 0, .metrics = {{"loss", 0.384}}, .duration_s = 1});
  bars.end({.status = "interrupted", .reason = "signal 2", .step = 118});
  EXPECT_THAT(text, StrEq("epoch 1/3 train [118/118 00:09] accuracy 0.807 loss 0.583\n"
                          "epoch 1/3 eval [20/20 00:01] loss 0.384\n"
                          "epoch 1/3 interrupted at step 118: signal 2\n"));
}

TEST_F(Progress, a_long_pass_says_elsewhere_that_it_lives) {
  auto bars = display(kPlain);
  bars.begin(kRun);
  bars.begin_epoch(Mode::training, 0, 118);
  run_batches(bars, Mode::training, 0, 0, 118, 0.625);  // 73.75 s
  EXPECT_THAT(text, StrEq("epoch 1/3 train 40.68% [48/118 00:30<00:43 0.478]\n"
                          "epoch 1/3 train 81.36% [96/118 01:00<00:13 0.478]\n"));
}

TEST_F(Progress, text_printed_above_the_bars_stays_whole) {
  auto bars = display(kTerminal);
  bars.begin(kRun);
  bars.begin_epoch(Mode::training, 0, 118);
  run_batches(bars, Mode::training, 0, 0, 50, 0.1);
  bars.above([this] { text += "loss epoch\n"; });
  run_batches(bars, Mode::training, 0, 50, 118, 0.1);
  bars.above([this] { text += "0.58 0\n"; });
  bars.end({.status = "completed", .step = 118});
  const auto screen = screen_after(text);
  ASSERT_EQ(screen.size(), 4u);
  EXPECT_EQ(screen[0], "loss epoch");
  EXPECT_EQ(screen[1], "0.58 0");
  EXPECT_THAT(screen[2], HasSubstr("[0/3"));
  EXPECT_EQ(screen[3], "");
}

TEST_F(Progress, an_interrupted_run_leaves_its_bars_where_they_were) {
  auto bars = display(kTerminal);
  bars.begin(kRun);
  bars.begin_epoch(Mode::training, 0, 118);
  run_batches(bars, Mode::training, 0, 0, 94, 0.0681);
  bars.end({.status = "interrupted", .step = 94});
  const auto screen = screen_after(text);
  ASSERT_EQ(screen.size(), 3u);
  EXPECT_THAT(screen[1], HasSubstr("79.66% [94/118 00:06<00:01 0.478]"));
}

TEST_F(Progress, the_epoch_bar_never_goes_back) {
  auto bars = display(kTerminal, {100, 24});
  const auto percent = [&] { return std::stod(screen_after(text)[0].substr(40)); };
  bars.begin(kRun);
  double last = percent();
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    for (const Mode mode : {Mode::training, Mode::evaluation}) {
      const std::int64_t batches = mode == Mode::training ? 118 : 20;
      bars.begin_epoch(mode, epoch, batches);
      for (std::int64_t i = 0; i < batches; ++i) {
        run_batches(bars, mode, epoch, i, i + 1, 0.11);
        EXPECT_GE(percent(), last) << epoch << ' ' << i;
        last = percent();
      }
      bars.epoch({.mode = mode, .epoch = epoch});
      bars.above([] {});
      EXPECT_GE(percent(), last);
      last = percent();
    }
  }
  EXPECT_EQ(last, 100);
}

TEST_F(Progress, narrow_windows_cut_instead_of_wrapping) {
  for (int columns = 1; columns < 90; ++columns) {
    text.clear();
    auto bars = display(kTerminal, {columns, 24});
    bars.begin(kRun);
    bars.begin_epoch(Mode::training, 0, 118);
    run_batches(bars, Mode::training, 0, 0, 94, 0.11);
    for (const std::string& line : screen_after(text))
      EXPECT_LE(line.size(), static_cast<std::size_t>(std::max(1, columns - 1))) << columns;
  }
}

TEST_F(Progress, a_reader_of_a_file_needs_no_announcement_of_a_pass) {
  auto bars = display(kTerminal, {100, 24});
  bars.begin(kRun);
  time += 30;
  bars.batch({.epoch = 0, .batch = 117, .loss = 0.3});
  bars.batch({.epoch = 1, .batch = 0, .loss = 0.3});
  time += 30;
  bars.batch({.epoch = 1, .batch = 58, .loss = 0.3});
  EXPECT_THAT(screen_after(text)[0], HasSubstr("[1/3 01:00<"));
  EXPECT_THAT(screen_after(text)[1], HasSubstr("50.00% [59/118 00:30<00:30 0.300] train"));
}

TEST_F(Progress, a_resumed_run_counts_the_time_that_it_took_before) {
  auto bars = display(kTerminal, {100, 24});
  bars.begin(kRun);
  bars.batch({.epoch = 0, .batch = 117, .loss = 0.3, .elapsed_s = 60});
  bars.epoch({.mode = Mode::training, .epoch = 0, .duration_s = 60, .elapsed_s = 60});
  bars.epoch({.mode = Mode::evaluation, .epoch = 0, .duration_s = 10, .elapsed_s = 70});
  bars.batch({.epoch = 1, .batch = 58, .loss = 0.3, .elapsed_s = 100});
  bars.begin_epoch(Mode::training, 1, 118);
  time += 1;
  bars.batch({.epoch = 1, .batch = 59, .loss = 0.3, .elapsed_s = 101});
  EXPECT_THAT(screen_after(text)[0], HasSubstr("[1/3 01:41<"));
  EXPECT_THAT(screen_after(text)[1], HasSubstr("[60/118 00:31<00:29 0.300] train"));
}

TEST_F(Progress, a_remark_reaches_every_kind_of_stream) {
  for (const TerminalTraits traits : {kPlain, kTerminal}) {
    text.clear();
    auto bars = display(traits);
    bars.begin(kRun);
    bars.event({.step = 94, .what = "diverged", .reason = "loss is NaN"});
    EXPECT_THAT(text, HasSubstr("diverged at step 94: loss is NaN\n"));
  }
}

TEST_F(Progress, bars_use_block_characters_where_they_can_be_shown) {
  auto bars = display({.redraws = true, .colour = true, .unicode = true}, {100, 24});
  bars.begin(kRun);
  bars.begin_epoch(Mode::training, 0, 2);
  run_batches(bars, Mode::training, 0, 0, 1, 1);
  EXPECT_THAT(text, HasSubstr("\x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m"));
}

TEST_F(Progress, cut_to_keeps_whole_characters) {
  EXPECT_EQ(cut_to("a⌈b⌉", 2), "a⌈");
  EXPECT_EQ(cut_to("abc", 5), "abc");
  EXPECT_EQ(cut_to("abc", 0), "");
}

}  // namespace
}  // namespace fatwood
