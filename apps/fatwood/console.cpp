#include "console.h"

#include <cstdio>
#include <unistd.h>
#include <utility>

#include <fatwood/core/shown_rows.h>

namespace fatwood::cli {
namespace {

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

ProgressOptions progress_options(ConsoleOptions options, const LivePlot& plot) {
  ProgressOptions progress{.now = std::move(options.now)};
  if (options.plot) progress.panel = [&plot](WindowSize room) { return plot.lines(room); };
  return progress;
}

}  // namespace

Console::Console(ConsoleOptions options)
    : plot_(Terminal(STDERR_FILENO).traits()),
      progress_(Terminal(STDERR_FILENO), progress_options(std::move(options), plot_)) {}

void Console::say(std::string_view line) {
  progress_.above(
      [line] { std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data()); });
}

void Console::begin(const RunRow& run) {
  const RunRow row = shown(run);
  table_.emplace(row.metrics);
  print(table_->heading());
  plot_.begin(row);
  progress_.begin(row);
}

void Console::begin_epoch(Mode mode, std::int64_t epoch, std::int64_t batches) {
  if (std::exchange(catching_up_, false)) show(true);
  progress_.begin_epoch(mode, epoch, batches);
}

void Console::batch(const BatchRow& row) {
  plot_.batch(row);
  progress_.batch(row);
}

void Console::epoch(const EpochRow& epoch) {
  const EpochRow row = shown(epoch);
  plot_.epoch(row);
  progress_.epoch(row);
  if (!table_) return;
  table_->add(row);
  progress_.above([&table = *table_] { print(table.last_row()); });
}

void Console::event(const EventRow& row) {
  plot_.event(row);
  progress_.event(shown(row));
}
void Console::end(const EndRow& row) {
  progress_.end(shown(row));
}

}  // namespace fatwood::cli
