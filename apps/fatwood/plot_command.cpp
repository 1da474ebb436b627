#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/io/file.h>
#include <fatwood/report/html.h>
#include <fatwood/report/plots.h>
#include <fatwood/report/render.h>
#include <fatwood/report/run_record.h>

#include "commands.h"

namespace fatwood::cli {
namespace {

struct PlotOptions {
  std::vector<std::filesystem::path> runs;
  std::string what = "loss";
  std::filesystem::path output;
};

std::string names_of_plots() {
  std::string names;
  for (const PlotKind& kind : plot_kinds())
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  return names;
}

const PlotKind& kind_named(const std::string& name) {
  for (const PlotKind& kind : plot_kinds())
    if (kind.name == name) return kind;
  throw Error(ErrorKind::usage, "plot",
              "--what " + name + ": no such plot, wanted one of " + names_of_plots());
}

bool ends_with(const std::filesystem::path& path, std::string_view ending) {
  return path.string().ends_with(ending);
}

std::vector<RunRecord> read_all(const PlotOptions& options) {
  std::vector<RunRecord> runs;
  for (const auto& path : options.runs) {
    if (options.what == "lr-find" && std::filesystem::is_regular_file(path)) {
      runs.emplace_back().lr_find = read_lr_find(path);
    } else {
      runs.push_back(read_run(path));
    }
  }
  return runs;
}

int run(const PlotOptions& options) {
  const PlotKind& kind = kind_named(options.what);
  std::filesystem::path output = options.output;
  if (output.empty()) output = options.what + ".svg";
  for (const std::string_view ending : {".svg", ".png", ".html", ".json"}) {
    if (ends_with(output, ending)) break;
    if (ending == ".json") {
      throw Error(ErrorKind::usage, "plot",
                  output.string() + ": wanted a name ending in .svg, .png, .html or .vl.json");
    }
  }
  const std::vector<RunRecord> runs = read_all(options);
  if (runs.size() > 1 && !kind.several_runs) {
    throw Error(ErrorKind::usage, "plot",
                "--what " + options.what + ": " + std::to_string(runs.size()) +
                    " runs, wanted one; loss, metric and schedule overlay several");
  }
  for (const RunRecord& record : runs) {
    if (!kind.has_data(record)) {
      throw Error(ErrorKind::data, "plot",
                  record.folder.string() + ": has nothing recorded for " + options.what);
    }
  }
  const Spec spec = kind.make(runs);
  const std::string json = spec.dump(1, ' ', false, Spec::error_handler_t::replace) + "\n";
  if (ends_with(output, ".svg")) {
    write_file(output, render(json, ImageFormat::svg));
  } else if (ends_with(output, ".png")) {
    write_file(output, render(json, ImageFormat::png));
  } else if (ends_with(output, ".html")) {
    write_file(output, html_plot(std::string(kind.title), json));
  } else {
    write_file(output, json);
  }
  std::fprintf(stderr, "%s\n", output.c_str());
  return 0;
}

}  // namespace

void add_plot(CLI::App& app, Action& action) {
  const auto options = std::make_shared<PlotOptions>();
  CLI::App* command = app.add_subcommand("plot", "Draw one plot of a run");
  command->add_option("RUN", options->runs, "Run folders; several are overlaid")->required();
  command->add_option("--what", options->what, "One of " + names_of_plots())->capture_default_str();
  command->add_option("-o,--output", options->output,
                      "The file to write: .svg, .png, .html or .vl.json; default: <what>.svg");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace fatwood::cli
