#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/recipes/tune_run.h>

#include "commands.h"
#include "input_shape.h"
#include "job_options.h"
#include "signals.h"

namespace fatwood::cli {
namespace {

const char* runner(bool kernels) {
  return kernels ? "kernels" : "LibTorch";
}

void print_layers(const TuneResult& result) {
  TextTable table({{"Layer"},
                   {"Shape"},
                   {"Input"},
                   {"Kernels ms", Align::right},
                   {"LibTorch ms", Align::right},
                   {"Ratio", Align::right},
                   {"Chosen"}});
  for (const TunedLayer& layer : result.layers) {
    const kernels::TuningEntry& entry = layer.entry;
    const kernels::TuningKey& key = entry.key;
    table.add(
        {layer.names, key.layer,
         std::to_string(key.channels) + "x" + std::to_string(key.height) + "x" +
             std::to_string(key.width),
         fixed(entry.kernels_ms, 3), fixed(entry.torch_ms, 3),
         fixed(entry.torch_ms / entry.kernels_ms, 2),
         runner(entry.kernels) +
             std::string(entry.kernels == layer.built_in ? "" : ", not the built-in choice")});
  }
  std::fputs(table.plain().c_str(), stdout);
  for (const auto& [name, why] : result.left_out)
    std::printf("%s: LibTorch, %s\n", name.c_str(), why.c_str());
  if (const auto& network = result.network) {
    std::printf("whole network: %s ms by the built-in choices, %s ms tuned: %s\n",
                fixed(network->built_in_ms, 3).c_str(), fixed(network->tuned_ms, 3).c_str(),
                result.changes() ? "tuned" : "not faster, so the built-in choices stay");
  }
  std::fflush(stdout);
}

int run(const TuneRunOptions& given, const std::string& input) {
  SignalWatcher signals;
  TuneRunOptions options = given;
  options.input = parse_input_shape(input, "tune");
  const auto say = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  const TuneRunResult result = tune_run(
      options, {.stop = signals.token(),
                .say = say,
                .measured = [](std::int64_t, const TuneResult& tuned) { print_layers(tuned); }});
  if (result.interrupted) {
    say("interrupted: " + result.file.string() + " is as it was");
    return 128 + signals.received();
  }
  say(result.file.string());
  return 0;
}

}  // namespace

void add_tune(CLI::App& app, Action& action) {
  const auto options = std::make_shared<TuneRunOptions>();
  const auto input = std::make_shared<std::string>("1x28x28");
  CLI::App* command = app.add_subcommand(
      "tune",
      "Measure which layers this machine runs faster on kernels or LibTorch (docs/tune.md)");
  command->option_defaults()->take_last();
  command->get_formatter()->column_width(34);
  TuneRunOptions& o = *options;
  command->add_option("--model", o.model, "Network; `fatwood models` lists them")
      ->capture_default_str();
  add_list_option(*command, "--nfs", o.nfs, "Features per block, e.g. 8,16,32,64,128");
  command->add_option("--input", *input, "Image shape, CxHxW")->capture_default_str();
  command->add_option("--num-classes", o.num_classes, "Outputs")->capture_default_str();
  add_list_option(*command, "--batch-size", o.batch_sizes,
                  "Images per step, one size or several: 512,96,272 are all those of train")
      ->default_str("512");
  command->add_option("--threads", o.threads, "0: as many as LibTorch takes")
      ->capture_default_str();
  command->add_option("--amp", o.amp, "none or bf16, as train's")->capture_default_str();
  add_isa_option(*command);
  command->add_option("--seconds", o.seconds, "For each layer; five turns of each way at least")
      ->capture_default_str();
  command->add_option("-o,--output", o.output,
                      "The table to add to; default: $FATWOOD_TUNING, else tuning.json in "
                      "fatwood's cache folder, where train looks");
  add_config_option(*command);
  command->callback(
      [options, input, &action] { action = [options, input] { return run(*options, *input); }; });
}

}  // namespace fatwood::cli
