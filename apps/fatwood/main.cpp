#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <fatwood/core/allocator.h>
#include <fatwood/core/error.h>
#include <fatwood/core/text.h>

#include "commands.h"
#include "config_file.h"
#include "torch_errors.h"

namespace {

constexpr std::size_t kLongestMessage = 900;

int report(std::string_view kind, std::string_view message, int code) {
  // A message may quote what a file or an argument brought.
  std::fprintf(stderr, "fatwood: %.*s error: %s\n", static_cast<int>(kind.size()), kind.data(),
               fatwood::one_line(message, kLongestMessage).c_str());
  return code;
}

/// Names the file of options, from which the wrong one may have come.
std::string with_source(const std::string& message, const std::string& config) {
  if (config.empty() || message.find(config) != std::string::npos) return message;
  const std::string source = " (options also from " + config + ")";
  if (source.size() > kLongestMessage / 2) return message;
  constexpr std::size_t kEllipsis = 3;  // bytes, behind a message that is cut
  return fatwood::one_line(message, kLongestMessage - source.size() - kEllipsis) + source;
}

int report_no_memory() {
  return report("io", "[memory] not enough; a smaller --batch-size may help",
                static_cast<int>(fatwood::ErrorKind::io));
}

bool is_command(const CLI::App& app, const std::string& name) {
  const auto commands = app.get_subcommands(/*filter=*/nullptr);
  return std::any_of(commands.begin(), commands.end(),
                     [&name](const CLI::App* c) { return c->get_name() == name; });
}

// CLI11 takes any text as the value of a flag.
void check_flags(const CLI::App& app, const std::vector<std::string>& arguments) {
  if (arguments.empty() || !is_command(app, arguments[0])) return;
  const CLI::App* command = app.get_subcommand(arguments[0]);
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    if (!argument.starts_with("--") || equals == std::string::npos) continue;
    const std::string name = argument.substr(0, equals);
    const CLI::Option* option = command->get_option_no_throw(name);
    if (!option || option->get_items_expected_max() != 0) continue;
    const std::string value = argument.substr(equals + 1);
    if (value == "true" || value == "false") continue;
    throw fatwood::Error(fatwood::ErrorKind::usage, command->get_name(),
                         name + " is a flag: \"" + value + "\", wanted nothing, true or false");
  }
}

// What the others print is shown while they work; their results are in files.
bool is_result(const std::string& command) {
  return command != "train" && command != "reproduce";
}

void check_output() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  throw fatwood::Error(fatwood::ErrorKind::io, "standard output",
                       errno == 0 ? "could not be written" : std::strerror(errno));
}

constexpr const char* kFooter =
    "Examples:\n"
    "  fatwood train                                the residual network, three epochs\n"
    "  fatwood train --model deeper_cnn --epochs 5 --lr 0.02 --output runs/deeper\n"
    "  fatwood train --resume runs/deeper           go on after Ctrl-C, a crash or a power cut\n"
    "  fatwood summary --model residual_cnn         what each layer does and costs\n"
    "  fatwood lr-find --model residual_cnn         which learning rate to train it at\n"
    "  fatwood tune --model residual_cnn            which kernels are faster on this machine\n"
    "  fatwood diagnose runs/deeper                 what looks ill in a run, and what to try\n"
    "  fatwood report runs/deeper runs/wider        both in one HTML file, compared\n"
    "Exit codes: 0 done, 2 usage, 3 data, 4 model, 5 files or network, 6 diverged, 7 runs "
    "differ,\n"
    "129 hung up, 130 interrupted, 143 terminated, 1 anything else. docs/errors.md says more.";

}  // namespace

int main(int argc, char** argv) {
  using fatwood::Error;
  using fatwood::ErrorKind;
  // A file over the limit of its size is then an error of the write, as on a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  fatwood::reserve_memory_for_errors();
  CLI::App app("fatwood: trains small vision networks, fast, from C++", "fatwood");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough(false);
  app.set_version_flag("--version", fatwood::cli::version_text);
  fatwood::cli::Action action;
  fatwood::cli::add_train(app, action);
  fatwood::cli::add_lr_find(app, action);
  fatwood::cli::add_summary(app, action);
  fatwood::cli::add_models(app, action);
  fatwood::cli::add_report(app, action);
  fatwood::cli::add_plot(app, action);
  fatwood::cli::add_watch(app, action);
  fatwood::cli::add_diagnose(app, action);
  fatwood::cli::add_reproduce(app, action);
  fatwood::cli::add_diff_runs(app, action);
  fatwood::cli::add_verify_resume(app, action);
  fatwood::cli::add_tune(app, action);
  const std::vector<std::string> given(argv + 1, argv + argc);
  const std::string config = fatwood::cli::config_file_of(given);
  try {
    std::vector<std::string> arguments = fatwood::cli::with_config_file(given);
    if (!arguments.empty() && !arguments[0].starts_with('-') && !is_command(app, arguments[0])) {
      throw Error(ErrorKind::usage, "fatwood",
                  "no command \"" + arguments[0] + "\"; fatwood --help lists them");
    }
    check_flags(app, arguments);
    const bool result = !arguments.empty() && is_result(arguments[0]);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app.parse(std::move(arguments));
    const int code = action();
    if (code == 0 && result) check_output();
    return code;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return report("usage", with_source(std::string(error.what()) + " (fatwood --help)", config),
                  static_cast<int>(ErrorKind::usage));
  } catch (const Error& error) {
    const bool of_options = error.kind() == ErrorKind::usage || error.kind() == ErrorKind::model;
    return report(name_of(error.kind()),
                  of_options ? with_source(error.what(), config) : std::string(error.what()),
                  error.exit_code());
  } catch (const std::bad_alloc&) {
    return report_no_memory();
  } catch (const std::filesystem::filesystem_error& error) {
    return report("io", "[file] " + error.path1().string() + ": " + error.code().message(),
                  static_cast<int>(ErrorKind::io));
  } catch (const std::exception& error) {
    if (fatwood::cli::is_out_of_memory(error)) return report_no_memory();
    return report("internal", fatwood::cli::without_backtrace(error),
                  static_cast<int>(ErrorKind::internal));
  }
}
