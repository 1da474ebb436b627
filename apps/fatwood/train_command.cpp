#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include <CLI/CLI.hpp>

#include <fatwood/core/error.h>
#include <fatwood/recipes/train_resume.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/report/tensorboard.h>

#include "commands.h"
#include "console.h"
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
  if (options.resume) console->catch_up();
  TrainRunHooks hooks{.stop = signals.token(),
                      .sinks = {console},
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
    if (result.checkpoint.empty()) {
      console->say("no checkpoint was saved");
    } else {
      console->say("saved " + result.checkpoint.string() +
                   "\nresume with: fatwood train --resume " + result.folder.string());
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

  command->add_option("--model", o.model, "Network; `fatwood models` lists them")
      ->capture_default_str();
  command->add_option("--nfs", o.nfs, "Features per block, e.g. 8,16,32,64,128")->delimiter(',');
  command->add_option("--initial-checkpoint", o.initial_checkpoint,
                      "Start from these weights (safetensors)");

  const char* training = "Training";
  command->add_option("--epochs", o.epochs, "Passes through the training images")
      ->capture_default_str()
      ->group(training);
  command->add_option("--lr", o.lr, "Learning rate; the highest one of a cycle")
      ->capture_default_str()
      ->group(training);
  command->add_option("--batch-size", o.batch_size, "Images per step")
      ->capture_default_str()
      ->group(training);
  command->add_option("--seed", o.seed, "Of initial weights and batch order")
      ->capture_default_str()
      ->group(training);
  command->add_option("--opt", o.opt, "adamw or sgd")->capture_default_str()->group(training);
  command->add_option("--sched", o.sched, "onecycle, cosine, step, exponential or constant")
      ->capture_default_str()
      ->group(training);
  command
      ->add_option("--warmup-epochs", o.warmup_epochs,
                   "Linear warm-up, for every schedule but onecycle")
      ->capture_default_str()
      ->group(training);
  command->add_option("--weight-decay", o.weight_decay, "Decoupled for adamw")
      ->capture_default_str()
      ->group(training);
  command->add_option("--momentum", o.momentum, "Of sgd")->capture_default_str()->group(training);
  command->add_flag("--no-decay-norms{false}", o.decay_norms, "No weight decay on norms and biases")
      ->group(training);
  command->add_option("--clip-grad", o.clip_grad, "Bound on the gradients' joint norm; 0: none")
      ->capture_default_str()
      ->group(training);
  command->add_option("--grad-accum-steps", o.grad_accum_steps, "Batches per optimiser step")
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

  const char* data = "Data";
  command
      ->add_option("--data", o.data,
                   "Folder of the four FashionMNIST files; default: found or downloaded")
      ->group(data);
  command
      ->add_flag("--no-shuffle{false}", o.shuffle,
                 "Visit the images in the order in which they are stored")
      ->group(data);
  command
      ->add_option("--holdout", o.holdout,
                   "Evaluate on this share of the training images, not on the test images")
      ->capture_default_str()
      ->group(data);

  const char* machine = "Machine";
  command
      ->add_option("--engine", o.engine,
                   "torch, or fused: fatwood's own kernels where they know the layers (CPU)")
      ->capture_default_str()
      ->group(machine);
  command->add_option("--device", o.device, "auto, cpu or cuda")
      ->capture_default_str()
      ->group(machine);
  command->add_option("--threads", o.threads, "0: as many as LibTorch takes")
      ->capture_default_str()
      ->group(machine);
  command
      ->add_flag("--deterministic", o.deterministic,
                 "Refuse operators whose result depends on timing")
      ->group(machine);

  // For --help: the file has become arguments by the time they are parsed (config_file.h).
  command->add_option_function<std::string>(
      "--config", [](const std::string&) {},
      "Read options from a file of lines `lr = 0.01`; the command line wins");

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
