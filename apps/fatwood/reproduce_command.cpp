#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <fatwood/recipes/reproduce.h>

#include "commands.h"
#include "console.h"
#include "signals.h"

namespace fatwood::cli {
namespace {

/// As SignalWatcher, for a command of several runs: the user's signal ends the run in hand, or
/// keeps the next one from beginning when it comes in between. The signals are watched from before
/// the first run to the end, since LibTorch's threads may start outside the runs and inherit what
/// is blocked. The page's interrupt ends its run alone.
class RunSignals {
 public:
  /// Of the run that begins: stopped already when the user's signal has come.
  std::stop_token begin_run();
  void interrupt_run();
  /// The user's signal; 0 for none.
  int received() const { return received_; }

 private:
  void take(int signal);

  std::mutex mutex_;                     // between a signal and a run that begins
  std::optional<std::stop_source> run_;  // none before the first
  std::atomic<int> received_ = 0;
  SignalThread thread_{[this](int signal) { take(signal); }};  // last: it uses the others
};

std::stop_token RunSignals::begin_run() {
  const std::lock_guard lock(mutex_);
  run_.emplace();
  if (received_ != 0) run_->request_stop();
  return run_->get_token();
}

void RunSignals::interrupt_run() {
  const std::lock_guard lock(mutex_);
  if (run_) run_->request_stop();
}

void RunSignals::take(int signal) {
  const std::lock_guard lock(mutex_);
  if (received_ != 0) _exit(128 + signal);
  received_ = signal;
  if (run_) run_->request_stop();
}

int run(const ReproduceOptions& options, bool plot) {
  RunSignals signals;
  const ReproduceHooks hooks{.begin_run = [&signals] { return signals.begin_run(); },
                             .interrupt = [&signals] { signals.interrupt_run(); },
                             .displays = [plot]() -> std::vector<RowSinkPtr> {
                               return {std::make_shared<Console>(ConsoleOptions{.plot = plot})};
                             },
                             .print =
                                 [](std::string_view text) {
                                   std::fwrite(text.data(), 1, text.size(), stdout);
                                   std::fflush(stdout);
                                 },
                             .say =
                                 [](std::string_view line) {
                                   std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()),
                                                line.data());
                                 }};
  const ReproduceResult result = reproduce(options, hooks);
  return result.complete ? 0 : 128 + signals.received();
}

}  // namespace

void add_reproduce(CLI::App& app, Action& action) {
  const auto options = std::make_shared<ReproduceOptions>();
  const auto plot = std::make_shared<bool>(true);
  CLI::App* command = app.add_subcommand(
      "reproduce",
      "Run the page from top to bottom and print its tables beside the page's own figures");
  ReproduceOptions& o = *options;
  command
      ->add_option("--seeds", o.seeds, "Runs of each network; their mean is held against the page")
      ->capture_default_str();
  command->add_option("--seed", o.seed, "The first seed")->capture_default_str();
  command->add_flag("--quick", o.quick, "One epoch of each network instead of three");
  command->add_option("--engine", o.engine, "fused or torch")->capture_default_str();
  command->add_option("--device", o.device, "auto, cpu or cuda")->capture_default_str();
  command->add_option("--threads", o.threads, "0: as many as LibTorch takes")
      ->capture_default_str();
  command->add_option("--data", o.data, "Folder of the four FashionMNIST files");
  command->add_option(
      "--output", o.output,
      "Folder of the runs and the report; default: runs/<date>-reproduce. Finished runs in it "
      "are kept");
  command->add_flag("--no-plot{false}", *plot, "No plot of the loss above the progress bars");
  command->callback(
      [options, plot, &action] { action = [options, plot] { return run(*options, *plot); }; });
}

}  // namespace fatwood::cli
