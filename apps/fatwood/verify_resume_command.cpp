#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>

#include <fatwood/core/error.h>
#include <fatwood/recipes/verify_resume.h>

#include "commands.h"

namespace fatwood::cli {
namespace {

// A first checkpoint soon, and several to choose among.
constexpr const char* kEveryNth = "10";

bool names(const std::vector<std::string>& arguments, const std::string& option) {
  return std::any_of(arguments.begin(), arguments.end(), [&option](const std::string& word) {
    return word == option || word.starts_with(option + "=");
  });
}

int run(VerifyResumeOptions options) {
  for (const char* own : {"--output", "--resume", "--overwrite"}) {
    if (names(options.train, own)) {
      throw Error(ErrorKind::usage, "verify_resume",
                  std::string(own) + " is verify-resume's own business; leave it out");
    }
  }
  if (options.train.empty()) options.train = {"--model", "cnn", "--epochs", "1"};
  if (!names(options.train, "--checkpoint-steps"))
    options.train.insert(options.train.end(), {"--checkpoint-steps", kEveryNth});
  options.program = std::filesystem::read_symlink("/proc/self/exe");
  const bool temporary = options.folder.empty();
  if (temporary) {
    std::string name = (std::filesystem::temp_directory_path() / "fatwood-verify-XXXXXX").string();
    if (!mkdtemp(name.data()))
      throw Error(ErrorKind::io, "verify_resume", name + ": cannot be made");
    options.folder = name;
  }
  options.say = [](std::string_view line) {
    std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
  };
  const std::vector<VerifyTrial> trials = verify_resume(options);
  const auto good = std::count_if(trials.begin(), trials.end(),
                                  [](const VerifyTrial& trial) { return trial.problem.empty(); });
  std::printf("%td of %zu killed runs ended equal to the uninterrupted one, times apart\n", good,
              trials.size());
  const bool all = good == std::ssize(trials);
  if (temporary && all) {
    std::filesystem::remove_all(options.folder);
  } else {
    std::fprintf(stderr, "runs and logs: %s\n", options.folder.c_str());
  }
  return all ? 0 : kRunsDiffer;
}

}  // namespace

void add_verify_resume(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "verify-resume",
      "Kill training runs at random steps, resume them, and compare with one that was left alone. "
      "Further options are train's; without any: --model cnn --epochs 1");
  const auto options = std::make_shared<VerifyResumeOptions>();
  command->add_option("--trials", options->trials, "Runs to kill; every second one twice")
      ->capture_default_str();
  command->add_option("--kill-seed", options->seed, "Of the steps at which they are killed")
      ->capture_default_str();
  command->add_option("--folder", options->folder,
                      "Where the runs go and stay; default: a temporary folder, removed when all "
                      "is well");
  command->allow_extras();
  command->callback([command, options, &action] {
    options->train = command->remaining();
    action = [options] { return run(*options); };
  });
}

}  // namespace fatwood::cli
