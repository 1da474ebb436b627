#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include <fatwood/train/compare_runs.h>

#include "commands.h"

namespace fatwood::cli {
namespace {

struct Runs {
  std::filesystem::path left, right;
};

int run(const Runs& runs) {
  const std::vector<RunDifference> differences = compare_runs(runs.left, runs.right);
  for (const RunDifference& difference : differences) {
    const std::string where = difference.where.empty() ? "" : ", " + difference.where;
    std::printf("%s%s: %s\n", difference.file.c_str(), where.c_str(), difference.what.c_str());
  }
  if (!differences.empty()) return kRunsDiffer;
  std::string steps;
  for (const std::int64_t step : common_checkpoints(runs.left, runs.right))
    steps += (steps.empty() ? "" : ", ") + std::to_string(step);
  std::printf("equal but for times; checkpoints compared: %s\n",
              steps.empty() ? "none, there is no step of which both have one" : steps.c_str());
  return 0;
}

}  // namespace

void add_diff_runs(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "diff-runs", "Compare two runs byte for byte, times apart; exit code 7 when they differ");
  const auto runs = std::make_shared<Runs>();
  command->add_option("LEFT", runs->left, "Run folder")->required();
  command->add_option("RIGHT", runs->right, "Run folder")->required();
  command->callback([runs, &action] { action = [runs] { return run(*runs); }; });
}

}  // namespace fatwood::cli
