#include "job_options.h"

#include <cstdlib>
#include <string>

#include <CLI/CLI.hpp>

#include <fatwood/kernels/isa.h>

namespace fatwood::cli {

CLI::Option* add_list_option(CLI::App& command, const std::string& name,
                             std::vector<std::int64_t>& values, const std::string& help) {
  // An option of a vector would join the lists of every time that it is given.
  return command
      .add_option(
          name,
          [&values](const CLI::results_t& results) {
            values.clear();
            for (const std::string& each : CLI::detail::split(results.back(), ',')) {
              if (!CLI::detail::lexical_cast(each, values.emplace_back())) return false;
            }
            return true;
          },
          help)
      ->take_last()
      ->type_name("INT,...");
}

void add_model_options(CLI::App& command, TrainRunOptions& o) {
  command.add_option("--model", o.model, "Network; `fatwood models` lists them")
      ->capture_default_str();
  add_list_option(command, "--nfs", o.nfs, "Features per block, e.g. 8,16,32,64,128");
  command.add_option("--initial-checkpoint", o.initial_checkpoint,
                     "Start from these weights (safetensors)");
}

void add_step_options(CLI::App& command, TrainRunOptions& o, const char* training) {
  command.add_option("--batch-size", o.batch_size, "Images per step")
      ->capture_default_str()
      ->group(training);
  command.add_option("--seed", o.seed, "Of initial weights and batch order")
      ->capture_default_str()
      ->group(training);
  command.add_option("--opt", o.opt, "adamw or sgd")->capture_default_str()->group(training);
  command.add_option("--weight-decay", o.weight_decay, "Decoupled for adamw")
      ->capture_default_str()
      ->group(training);
  command.add_option("--momentum", o.momentum, "Of sgd")->capture_default_str()->group(training);
  command.add_flag("--no-decay-norms{false}", o.decay_norms, "No weight decay on norms and biases")
      ->group(training);
  command.add_option("--clip-grad", o.clip_grad, "Bound on the gradients' joint norm; 0: none")
      ->capture_default_str()
      ->group(training);
  command.add_option("--grad-accum-steps", o.grad_accum_steps, "Batches per optimiser step")
      ->capture_default_str()
      ->group(training);
}

void add_data_options(CLI::App& command, TrainRunOptions& o) {
  const char* data = "Data";
  command
      .add_option("--data", o.data,
                  "Folder of the four FashionMNIST files; default: found or downloaded")
      ->group(data);
  command
      .add_flag("--no-shuffle{false}", o.shuffle,
                "Visit the images in the order in which they are stored")
      ->group(data);
  command
      .add_option("--holdout", o.holdout,
                  "Evaluate on this share of the training images, not on the test images")
      ->capture_default_str()
      ->group(data);
}

CLI::Option* add_isa_option(CLI::App& command) {
  std::string names;
  for (const kernels::IsaInfo& isa : kernels::isas()) {
    names += (names.empty() ? "" : ", ") + std::string(isa.name);
  }
  return command.add_option_function<std::string>(
      "--isa",
      [](const std::string& name) {
        kernels::choose_isa(name);
        // What default_isa() reads, here and in processes that the command starts.
        setenv("FATWOOD_ISA", name.c_str(), 1);
      },
      "Instruction set of the kernels: " + names +
          "; default: $FATWOOD_ISA, else a resumed run's own, else the last that runs here");
}

void add_machine_options(CLI::App& command, TrainRunOptions& o) {
  const char* machine = "Machine";
  command
      .add_option("--engine", o.engine,
                  "fused: fatwood's own kernels on the CPU where they know the layers and win; or "
                  "torch: LibTorch's operators alone")
      ->capture_default_str()
      ->group(machine);
  command
      .add_option("--amp", o.amp,
                  "none, or bf16: activations, their gradients and products in bf16 (engine "
                  "fused)")
      ->capture_default_str()
      ->group(machine);
  add_isa_option(command)->group(machine);
  command
      .add_option("--tuning", o.tuning,
                  "Table of `fatwood tune` that chooses kernels or LibTorch, or none; default: "
                  "$FATWOOD_TUNING, else tuning.json in fatwood's cache folder if it is there")
      ->group(machine);
  command.add_option("--device", o.device, "auto, cpu or cuda")
      ->capture_default_str()
      ->group(machine);
  command.add_option("--threads", o.threads, "0: as many as LibTorch takes")
      ->capture_default_str()
      ->group(machine);
  command
      .add_flag("--deterministic", o.deterministic,
                "Refuse operators whose result depends on timing")
      ->group(machine);
}

void add_config_option(CLI::App& command) {
  // For --help: the file has become arguments by the time they are parsed (config_file.h).
  command.add_option_function<std::string>(
      "--config", [](const std::string&) {},
      "Read options from a file of lines `lr = 0.01`; the command line wins");
}

}  // namespace fatwood::cli
