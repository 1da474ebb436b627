#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>

#include <fatwood/core/text.h>
#include <fatwood/io/file.h>
#include <fatwood/report/html.h>
#include <fatwood/report/run_record.h>

#include "commands.h"

namespace fatwood::cli {
namespace {

struct ReportOptions {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path output = "report.html";
};

int run(const ReportOptions& options) {
  std::vector<RunRecord> runs;
  runs.reserve(options.runs.size());
  for (const auto& folder : options.runs) runs.push_back(read_run(folder));
  const std::string html = html_report(runs);
  if (options.output == "-") {
    std::fwrite(html.data(), 1, html.size(), stdout);
    return 0;
  }
  write_file(options.output, html);
  for (const RunRecord& record : runs)
    for (const std::string& remark : record.remarks)
      std::fprintf(stderr, "%s: %s\n", record.name.c_str(), remark.c_str());
  std::fprintf(stderr, "%s: %s MB\n", options.output.c_str(),
               fixed(static_cast<double>(html.size()) / 1e6, 2).c_str());
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  const auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand(
      "report", "Write one HTML file with tables and plots of a run, or of several compared");
  command->add_option("RUN", options->runs, "Run folders, finished or not")->required();
  command->add_option("-o,--output", options->output, "The file to write; - for standard output")
      ->capture_default_str();
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace fatwood::cli
