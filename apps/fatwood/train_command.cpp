#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <fatwood/core/error.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/recipes/train_resume.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/report/tensorboard.h>

#include "commands.h"
#include "console.h"
#include "job_options.h"
#include "signals.h"

namespace fatwood::cli {
namespace {

/// How a run is shown and where else its rows go; the rest is the library's.
struct Shown {
  bool plot = true;
  bool tensorboard = false;
};

/// `--resume`, and which of the library's options the command line names.
struct Asked {
  std::string resume;
  std::set<std::string> named;
};

std::set<std::string> named_options(const CLI::App& command) {
  std::set<std::string> named;
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    std::string name = option->get_name().substr(2);
    if (name.starts_with("no-")) name = name.substr(3);
    named.insert(std::move(name));
  }
  return named;
}

// Options that were given and that the others leave without effect.
std::vector<std::string> without_effect(const TrainRunOptions& options, const Asked& asked) {
  std::vector<std::string> remarks;
  const auto remark = [&](const char* name, bool idle, const char* why) {
    if (idle && asked.named.contains(name))
      remarks.push_back("--" + std::string(name) + " has no effect: " + why);
  };
  const bool cycles = options.sched == "onecycle";
  remark("momentum", options.opt != "sgd", "it is of --opt sgd");
  remark("momentum", options.opt == "sgd" && cycles,
         "--sched onecycle cycles the momentum between 0.95 and 0.85");
  remark("warmup-epochs", cycles, "--sched onecycle has a warm-up of its own");
  remark("tuning", options.engine == "torch", "it chooses kernels of --engine fused");
  return remarks;
}

// Says its lines once the run begins: what is refused before is one message alone.
class Remarks : public RowSink {
 public:
  Remarks(std::shared_ptr<Console> console, std::vector<std::string> lines)
      : console_(std::move(console)), lines_(std::move(lines)) {}
  void begin(const RunRow&) override {
    for (const std::string& line : std::exchange(lines_, {})) console_->say(line);
  }

 private:
  std::shared_ptr<Console> console_;
  std::vector<std::string> lines_;
};

// A resumed run keeps the instruction set it began with where it runs here, unless --isa or the
// user's FATWOOD_ISA names one.
void keep_isa(const std::filesystem::path& folder) {
  if (const char* asked = std::getenv("FATWOOD_ISA"); asked && *asked) return;
  const std::string begun = isa_of_run(folder);
  for (const kernels::IsaInfo& isa : kernels::isas()) {
    if (isa.name == begun && kernels::runs_here(isa.isa)) setenv("FATWOOD_ISA", begun.c_str(), 1);
  }
}

int run(const TrainRunOptions& given, const Shown& shown, const Asked& asked) {
  SignalWatcher signals;
  const auto console = std::make_shared<Console>(ConsoleOptions{.plot = shown.plot});
  const TrainRunOptions options =
      asked.resume.empty() ? given : resume_options(given, asked.named, asked.resume);
  if (options.resume && options.resume_from.empty()) {
    if (const std::string status = finished_status(options.output); !status.empty()) {
      console->say(options.output.string() + ": " + status + " already, nothing to resume");
      return 0;
    }
  }
  if (options.resume) {
    keep_isa(options.output);
    console->catch_up();
  }
  TrainRunHooks hooks{
      .stop = signals.token(),
      .sinks = {console, std::make_shared<Remarks>(console, without_effect(options, asked))},
      .say = [&console](std::string_view line) { console->say(line); }};
  if (shown.tensorboard) {
    hooks.sinks_in = [](const std::filesystem::path& folder) -> std::vector<RowSinkPtr> {
      // A resumed run's rows are written again from the first.
      std::filesystem::remove_all(folder / "tensorboard");
      return {std::make_shared<TensorBoardSink>(folder / "tensorboard")};
    };
  }
  const TrainRunResult result = train_run(options, hooks);
  if (!result.fit.completed()) console->say(result.fit.status + ": " + result.fit.reason);
  if (result.fit.status == "interrupted") {
    if (result.folder.empty()) return 128 + signals.received();  // no run was begun
    if (result.checkpoint.empty()) {
      console->say("no checkpoint was saved");
    } else {
      console->say((result.last_saved ? "saved " : "this step could not be saved; the newest is ") +
                   result.checkpoint.string() + "\nresume with: fatwood train --resume " +
                   result.folder.string());
    }
    return 128 + signals.received();
  }
  if (result.fit.status == "diverged") return static_cast<int>(ErrorKind::diverged);
  return 0;
}

}  // namespace

void add_train(CLI::App& app, Action& action) {
  const auto options = std::make_shared<TrainRunOptions>();
  CLI::App* command =
      app.add_subcommand("train", "Train a network on FashionMNIST and leave a run folder");
  command->option_defaults()->take_last();
  command->get_formatter()->column_width(34);
  TrainRunOptions& o = *options;

  add_model_options(*command, o);
  command->add_option("--init", o.init, "Initial weights: default, or lsuv on the first batch")
      ->capture_default_str();
  const char* training = "Training";
  command->add_option("--epochs", o.epochs, "Passes through the training images")
      ->capture_default_str()
      ->group(training);
  command->add_option("--lr", o.lr, "Learning rate; the highest one of a cycle")
      ->capture_default_str()
      ->group(training);
  add_step_options(*command, o, training);
  command->add_option("--sched", o.sched, "onecycle, cosine, step, exponential or constant")
      ->capture_default_str()
      ->group(training);
  command
      ->add_option("--warmup-epochs", o.warmup_epochs,
                   "Linear warm-up, for every schedule but onecycle")
      ->capture_default_str()
      ->group(training);
  command
      ->add_option("--model-ema-decay", o.model_ema_decay,
                   "Evaluate and keep averaged weights, e.g. 0.99; 0: no")
      ->capture_default_str()
      ->group(training);
  command
      ->add_option("--patience", o.patience,
                   "Stop after more evaluations than this without a better loss; -1: never")
      ->capture_default_str()
      ->group(training);

  add_data_options(*command, o);
  add_machine_options(*command, o);
  add_config_option(*command);

  const char* record = "Record";
  command->add_option("--output", o.output, "Run folder; default: runs/<date>-<model>")
      ->group(record);
  command->add_flag("--overwrite", o.overwrite, "Replace the run that the folder holds")
      ->group(record);
  static const std::map<std::string, StatsLevel> kLevels{
      {"off", StatsLevel::off}, {"moments", StatsLevel::moments}, {"all", StatsLevel::all}};
  command
      ->add_option("--stats", o.stats,
                   "Activation statistics: off, moments (histograms at every 8th step), all")
      ->transform(CLI::CheckedTransformer(kLevels))
      ->default_str("moments")
      ->group(record);

  const char* checkpoints = "Checkpoints";
  const auto asked = std::make_shared<Asked>();
  command
      ->add_option(
          "--resume", asked->resume,
          "Go on with a run: its folder, one of its checkpoints, or auto (with --output: the "
          "run there if there is one)")
      ->group(checkpoints);
  command
      ->add_option("--checkpoint-steps", o.checkpoint_steps,
                   "Save after every n-th batch, beside the end of every epoch; 0: no")
      ->capture_default_str()
      ->group(checkpoints);
  command
      ->add_option("--checkpoint-minutes", o.checkpoint_minutes,
                   "And when the last save is that long ago; 0: no")
      ->capture_default_str()
      ->group(checkpoints);
  command->add_option("--keep", o.keep, "Newest checkpoints that stay, beside the best")
      ->capture_default_str()
      ->group(checkpoints);
  command
      ->add_option("--on-diverge", o.on_diverge,
                   "stop, or rewind: back to the last checkpoint at half the rate")
      ->capture_default_str()
      ->group(checkpoints);

  const auto shown = std::make_shared<Shown>();
  command
      ->add_flag("--tensorboard", shown->tensorboard,
                 "Write event files for TensorBoard into the run folder")
      ->group(record);
  command->add_flag("--no-plot{false}", shown->plot, "No plot of the loss above the progress bars")
      ->group(record);

  command->callback([options, shown, asked, command, &action] {
    asked->named = named_options(*command);
    action = [options, shown, asked] { return run(*options, *shown, *asked); };
  });
}

}  // namespace fatwood::cli
