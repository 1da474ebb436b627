#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include <CLI/CLI.hpp>

#include <fatwood/report/watch.h>

#include "commands.h"
#include "console.h"
#include "signals.h"

namespace fatwood::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPeriod = std::chrono::milliseconds(200);
constexpr auto kPatience = std::chrono::seconds(3);  // without rows, before asking who writes them

struct WatchOptions {
  std::filesystem::path run;
  bool plot = true;
};

/// The console, in the run's own time, drawing nothing until it has caught up.
class Watcher : public RowSink {
 public:
  explicit Watcher(bool plot) : console_({.plot = plot, .now = [this] { return run_time_s(); }}) {
    console_.show(false);
  }
  void caught_up() { console_.show(true); }

  void begin(const RunRow& row) override { console_.begin(row); }
  void batch(const BatchRow& row) override {
    set_time(row.elapsed_s);
    console_.batch(row);
  }
  void epoch(const EpochRow& row) override {
    set_time(row.elapsed_s);
    console_.epoch(row);
  }
  void event(const EventRow& row) override { console_.event(row); }
  void end(const EndRow& row) override {
    set_time(row.elapsed_s);
    status = row.status;
    console_.show(true);
    console_.end(row);
  }

  std::string status;

 private:
  double run_time_s() const {
    return row_time_s_ + std::chrono::duration<double>(Clock::now() - read_at_).count();
  }
  void set_time(double elapsed_s) {
    if (elapsed_s <= row_time_s_) return;
    row_time_s_ = elapsed_s;
    read_at_ = Clock::now();
  }

  double row_time_s_ = 0;
  Clock::time_point read_at_ = Clock::now();
  Console console_;
};

int run(const WatchOptions& options) {
  SignalWatcher signals;
  std::signal(SIGPIPE, SIG_DFL);  // what nobody reads is not worth watching
  RowFollower follower(options.run);
  Watcher watcher(options.plot);
  if (follower.poll(watcher) == 0)
    std::fprintf(stderr, "%s: waiting for rows\n", options.run.c_str());
  if (!follower.ended()) watcher.caught_up();
  auto last_row = Clock::now();
  while (!follower.ended()) {
    if (signals.token().stop_requested()) return 128 + signals.received();
    std::this_thread::sleep_for(kPeriod);
    const bool quiet = Clock::now() - last_row > kPatience;
    const std::size_t fresh = quiet ? follower.poll_while_running(watcher) : follower.poll(watcher);
    if (fresh > 0) last_row = Clock::now();
  }
  return 0;
}

}  // namespace

void add_watch(CLI::App& app, Action& action) {
  const auto options = std::make_shared<WatchOptions>();
  CLI::App* command = app.add_subcommand("watch", "Follow a run from another terminal");
  command->add_option("RUN", options->run, "Run folder")->required();
  command->add_flag("--no-plot{false}", options->plot, "No plot of the loss above the bars");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace fatwood::cli
