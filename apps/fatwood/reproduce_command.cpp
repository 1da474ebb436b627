#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <fatwood/recipes/reproduce.h>

#include "commands.h"
#include "console.h"

namespace fatwood::cli {
namespace {

/// As SignalWatcher, for a command of several runs: the user's signal ends the run in hand, or
/// keeps the next one from beginning when it comes in between. The signals are watched from before
/// the first run to the end, since LibTorch's threads may start outside the runs and inherit what
/// is blocked. The page's interrupt is a signal too, which ends its run alone.
class RunSignals {
 public:
  RunSignals();
  ~RunSignals();
  RunSignals(const RunSignals&) = delete;
  RunSignals& operator=(const RunSignals&) = delete;

  /// Of the run that begins: stopped already when the user's signal has come.
  std::stop_token begin_run();
  void interrupt_run();
  /// The user's signal; 0 for none.
  int received() const { return received_; }

 private:
  void watch(const std::stop_token& ended);
  void take(const siginfo_t& signal);

  sigset_t watched_;
  std::mutex mutex_;                     // between a signal and a run that begins
  std::optional<std::stop_source> run_;  // none before the first
  std::atomic<int> received_ = 0;
  std::jthread thread_;
};

RunSignals::RunSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigemptyset(&watched_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&watched_, signal);
  pthread_sigmask(SIG_BLOCK, &watched_, nullptr);
  thread_ = std::jthread([this](const std::stop_token& ended) { watch(ended); });
}

RunSignals::~RunSignals() {
  thread_.request_stop();
  thread_.join();
  pthread_sigmask(SIG_UNBLOCK, &watched_, nullptr);
}

std::stop_token RunSignals::begin_run() {
  const std::lock_guard lock(mutex_);
  run_.emplace();
  if (received_ != 0) run_->request_stop();
  return run_->get_token();
}

void RunSignals::interrupt_run() {
  // To one thread: of two SIGINT that wait for the process the kernel keeps one, and the other may
  // be the user's.
  pthread_kill(thread_.native_handle(), SIGINT);
}

void RunSignals::watch(const std::stop_token& ended) {
  while (!ended.stop_requested()) {
    const timespec patience{0, 200'000'000};
    siginfo_t signal{};
    if (sigtimedwait(&watched_, &signal, &patience) > 0) take(signal);
  }
}

void RunSignals::take(const siginfo_t& signal) {
  const std::lock_guard lock(mutex_);
  // The sender is known where it is a process, and no terminal.
  const bool from_here = signal.si_code <= 0 && signal.si_pid == getpid();
  if (!from_here) {
    if (received_ != 0) _exit(128 + signal.si_signo);
    received_ = signal.si_signo;
  }
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
