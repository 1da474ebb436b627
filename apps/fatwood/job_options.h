// Options that several commands have in common: those of a job on FashionMNIST.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fatwood/recipes/train_run.h>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace fatwood::cli {

/// `--name N,N,…`: whole numbers separated by commas. Given more than once, the last list counts,
/// as of other options.
CLI::Option* add_list_option(CLI::App& command, const std::string& name,
                             std::vector<std::int64_t>& values, const std::string& help);

void add_model_options(CLI::App& command, TrainRunOptions& options);

/// What a batch and an optimiser's step are, in the group `group` of the help.
void add_step_options(CLI::App& command, TrainRunOptions& options, const char* group);

void add_data_options(CLI::App& command, TrainRunOptions& options);
void add_machine_options(CLI::App& command, TrainRunOptions& options);

/// `--isa NAME`, for the whole process from when it is parsed on. A name that does not exist or
/// does not run here ends the parsing with Error{usage}.
CLI::Option* add_isa_option(CLI::App& command);

/// `--config FILE`, for --help: main has made it into arguments before they are parsed
/// (config_file.h).
void add_config_option(CLI::App& command);

}  // namespace fatwood::cli
