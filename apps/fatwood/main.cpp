#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <fatwood/core/error.h>

#include "commands.h"
#include "config_file.h"
#include "torch_errors.h"

namespace {

int report(std::string_view kind, std::string_view message, int code) {
  std::fprintf(stderr, "fatwood: %.*s error: %.*s\n", static_cast<int>(kind.size()), kind.data(),
               static_cast<int>(message.size()), message.data());
  return code;
}

bool is_command(const CLI::App& app, const std::string& name) {
  const auto commands = app.get_subcommands(/*filter=*/nullptr);
  return std::any_of(commands.begin(), commands.end(),
                     [&name](const CLI::App* c) { return c->get_name() == name; });
}

constexpr const char* kFooter =
    "Examples:\n"
    "  fatwood train                                the residual network, three epochs\n"
    "  fatwood train --model deeper_cnn --epochs 5 --lr 0.02 --output runs/deeper\n"
    "  fatwood summary --model residual_cnn         what each layer does and costs\n"
    "  fatwood lr-find --model residual_cnn         which learning rate to train it at\n"
    "  fatwood diagnose runs/deeper                 what looks ill in a run, and what to try\n"
    "  fatwood report runs/deeper runs/wider        both in one HTML file, compared\n"
    "Exit codes: 0 done, 2 usage, 3 data, 4 model, 5 files or network, 6 diverged, 130 "
    "interrupted,\n"
    "143 terminated, 1 anything else. docs/errors.md says more.";

}  // namespace

int main(int argc, char** argv) {
  using fatwood::Error;
  using fatwood::ErrorKind;
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
  try {
    std::vector<std::string> arguments = fatwood::cli::with_config_file({argv + 1, argv + argc});
    if (!arguments.empty() && !arguments[0].starts_with('-') && !is_command(app, arguments[0])) {
      throw Error(ErrorKind::usage, "fatwood",
                  "no command \"" + arguments[0] + "\"; fatwood --help lists them");
    }
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app.parse(std::move(arguments));
    return action();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return report("usage", std::string(error.what()) + " (fatwood --help)",
                  static_cast<int>(ErrorKind::usage));
  } catch (const Error& error) {
    return report(name_of(error.kind()), error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return report("io", "[memory] not enough; a smaller --batch-size may help",
                  static_cast<int>(ErrorKind::io));
  } catch (const std::exception& error) {
    return report("internal", fatwood::cli::without_backtrace(error),
                  static_cast<int>(ErrorKind::internal));
  }
}
