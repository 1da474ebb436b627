#include <cstdio>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>

#include <fatwood/inspect/diagnose.h>
#include <fatwood/report/run_record.h>

#include "commands.h"

namespace fatwood::cli {
namespace {

void print(const Finding& finding) {
  const std::string steps =
      finding.first_step == finding.last_step
          ? "step " + std::to_string(finding.first_step)
          : "steps " + std::to_string(finding.first_step) + "–" + std::to_string(finding.last_step);
  const std::string where = finding.layer.empty() ? steps : finding.layer + ", " + steps;
  std::printf("%.*s (%s)\n  %s.\n  %s\n", static_cast<int>(finding.rule.size()),
              finding.rule.data(), where.c_str(), finding.what.c_str(), finding.advice.c_str());
}

int run(const std::filesystem::path& folder) {
  const RunRecord record = read_run(folder);
  for (const std::string& remark : record.remarks) std::fprintf(stderr, "%s\n", remark.c_str());
  const std::vector<Finding> findings = diagnose({.layers = record.run.layers,
                                                  .batches = record.batches,
                                                  .stats = record.stats,
                                                  .end = record.end ? &*record.end : nullptr});
  for (const Finding& finding : findings) print(finding);
  if (findings.empty()) {
    std::printf("Nothing found in %zu batches and %zu rows of statistics.\n", record.batches.size(),
                record.stats.size());
  }
  return 0;
}

}  // namespace

void add_diagnose(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "diagnose", "Say what looks ill in a run, where, and what to try (docs/diagnose.md)");
  const auto folder = std::make_shared<std::filesystem::path>();
  command->add_option("run", *folder, "Run folder")->required();
  command->callback([folder, &action] { action = [folder] { return run(*folder); }; });
}

}  // namespace fatwood::cli
