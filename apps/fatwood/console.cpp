#include "console.h"

#include <cstdio>
#include <unistd.h>

namespace fatwood::cli {
namespace {

void print_line(const std::string& line) {
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace

Console::Console() : progress_(Terminal(STDERR_FILENO)) {}

void Console::say(std::string_view line) {
  progress_.above(
      [line] { std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data()); });
}

void Console::begin(const RunRow& row) {
  table_.emplace(row.metrics);
  print_line(table_->heading());
  progress_.begin(row);
}

void Console::begin_epoch(Mode mode, std::int64_t epoch, std::int64_t batches) {
  progress_.begin_epoch(mode, epoch, batches);
}

void Console::batch(const BatchRow& row) {
  progress_.batch(row);
}

void Console::epoch(const EpochRow& row) {
  progress_.epoch(row);
  table_->add(row);
  progress_.above([this] { print_line(table_->last_row()); });
}

void Console::event(const EventRow& row) {
  progress_.event(row);
}
void Console::end(const EndRow& row) {
  progress_.end(row);
}

}  // namespace fatwood::cli
