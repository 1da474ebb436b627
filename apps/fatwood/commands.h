// The program's commands: each adds its options to the parser and says what to run. A command turns
// options into a library call and its result into an exit code, nothing else.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace fatwood::cli {

/// Set by the command that was chosen; returns the exit code. Errors are thrown and dealt with in
/// main.
using Action = std::function<int()>;

void add_train(CLI::App& app, Action& action);
void add_lr_find(CLI::App& app, Action& action);
void add_summary(CLI::App& app, Action& action);
void add_models(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_plot(CLI::App& app, Action& action);
void add_watch(CLI::App& app, Action& action);
void add_diagnose(CLI::App& app, Action& action);
void add_reproduce(CLI::App& app, Action& action);
void add_diff_runs(CLI::App& app, Action& action);
void add_verify_resume(CLI::App& app, Action& action);
void add_tune(CLI::App& app, Action& action);

inline constexpr int kRunsDiffer = 7;  ///< exit code (docs/errors.md)

/// What `--version` prints: fatwood's version, LibTorch's, instruction set, threads.
std::string version_text();

}  // namespace fatwood::cli
