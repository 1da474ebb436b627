#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <fatwood/recipes/reproduce.h>

#include "commands.h"
#include "console.h"
#include "signals.h"

namespace fatwood::cli {
namespace {

int run(const ReproduceOptions& options, bool plot) {
  // One for each run: the page's interrupted run must not count as the user's first Ctrl-C.
  std::optional<SignalWatcher> signals;
  int received = 0;
  const ReproduceHooks hooks{.begin_run =
                                 [&signals] {
                                   signals.reset();
                                   return signals.emplace().token();
                                 },
                             .interrupt = [] { kill(getpid(), SIGINT); },
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
  if (signals) received = signals->received();
  return result.complete ? 0 : 128 + received;
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
