#include <algorithm>
#include <cstdio>
#include <memory>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <fatwood/core/table.h>
#include <fatwood/recipes/lr_find_run.h>
#include <fatwood/report/lr_find_lines.h>
#include <fatwood/report/number_text.h>
#include <fatwood/report/progress.h>

#include "commands.h"
#include "job_options.h"
#include "signals.h"

namespace fatwood::cli {
namespace {

struct SweepShown {
  bool plot = true;
};

LrFindRecord record_of(const LrFindResult& found) {
  LrFindRecord record{.lr = found.lr, .loss = found.loss, .suggestions = {}};
  if (found.steepest) record.suggestions.emplace_back("steepest", *found.steepest);
  if (found.valley) record.suggestions.emplace_back("valley", *found.valley);
  return record;
}

void print_suggestions(const LrFindRecord& record) {
  TextTable table({{"Suggestion"}, {"Learning rate", Align::right}, {"Loss there", Align::right}});
  for (const auto& [name, lr] : record.suggestions) {
    const auto at = std::find(record.lr.begin(), record.lr.end(), lr) - record.lr.begin();
    table.add({name, short_number(lr), short_number(record.loss[static_cast<std::size_t>(at)])});
  }
  std::fputs(table.plain().c_str(), stdout);
}

int run(const LrFindRunOptions& given, const SweepShown& shown) {
  SignalWatcher signals;
  const Terminal terminal(STDERR_FILENO);
  ProgressDisplay progress(terminal);
  LrFindRunOptions options = given;
  options.sweep.stop = signals.token();
  options.sweep.watch = [&progress](std::int64_t step, std::int64_t steps, double lr, double loss) {
    if (step == 0) {
      progress.begin({.model = {},
                      .epochs = 1,
                      .batches = steps,
                      .eval_batches = 0,
                      .batch_size = 0,
                      .seed = 0,
                      .layers = {},
                      .metrics = {}});
      progress.begin_epoch(Mode::training, 0, steps);
    }
    progress.batch({.step = step, .epoch = 0, .batch = step, .size = 0, .loss = loss, .lr = lr});
  };
  const auto say = [&progress](std::string_view line) {
    progress.above(
        [line] { std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data()); });
  };
  const LrFindResult found = lr_find_run(options, say);
  if (found.interrupted && found.lr.empty()) {
    say("interrupted: " + found.ended);
    return 128 + signals.received();
  }
  progress.end({.status = found.interrupted ? "interrupted" : "completed",
                .reason = found.ended,
                .step = static_cast<std::int64_t>(found.lr.size())});
  const LrFindRecord record = record_of(found);
  if (shown.plot && terminal.traits().redraws) {
    for (const std::string& line : lr_find_lines(record, terminal.traits(), terminal.size()))
      say(line);
  }
  say(std::to_string(found.lr.size()) + " batches; " + found.ended);
  if (!options.output.empty()) say(options.output.string());
  if (record.suggestions.empty() && !found.interrupted)
    say("no suggestion: the loss never fell by 5 % of its first value");
  print_suggestions(record);
  return found.interrupted ? 128 + signals.received() : 0;
}

}  // namespace

void add_lr_find(CLI::App& app, Action& action) {
  const auto options = std::make_shared<LrFindRunOptions>();
  const auto shown = std::make_shared<SweepShown>();
  CLI::App* command = app.add_subcommand(
      "lr-find", "Sweep the learning rate over FashionMNIST and suggest one (docs/lr-find.md)");
  command->option_defaults()->take_last();
  command->get_formatter()->column_width(34);
  LrFindRunOptions& o = *options;

  add_model_options(*command, o.train);
  const char* sweep = "Sweep";
  command->add_option("--start-lr", o.sweep.start_lr, "Learning rate of the first batch")
      ->capture_default_str()
      ->group(sweep);
  command->add_option("--end-lr", o.sweep.end_lr, "The sweep goes no higher")
      ->capture_default_str()
      ->group(sweep);
  command->add_option("--factor", o.sweep.factor, "From one batch's rate to the next one's")
      ->capture_default_str()
      ->group(sweep);
  command
      ->add_option("--stop-at", o.sweep.stop_at,
                   "The sweep ends at a loss of this many times the lowest")
      ->capture_default_str()
      ->group(sweep);
  add_step_options(*command, o.train, "Training");
  add_data_options(*command, o.train);
  add_machine_options(*command, o.train);
  add_config_option(*command);

  const char* record = "Record";
  command
      ->add_option("-o,--output", o.output,
                   "Write rates and losses as JSON, which `fatwood plot --what lr-find` draws; "
                   "RUN/lr_find.json shows in RUN's report")
      ->group(record);
  command->add_flag("--overwrite", o.overwrite, "Replace the file")->group(record);
  command->add_flag("--no-plot{false}", shown->plot, "No plot of the sweep in the terminal")
      ->group(record);
  command->callback(
      [options, shown, &action] { action = [options, shown] { return run(*options, *shown); }; });
}

}  // namespace fatwood::cli
