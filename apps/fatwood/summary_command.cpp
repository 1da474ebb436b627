#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/table.h>
#include <fatwood/engine/engine.h>
#include <fatwood/inspect/summary.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/recipes/tuning_file.h>

#include "commands.h"
#include "input_shape.h"
#include "job_options.h"

namespace fatwood::cli {
namespace {

struct SummaryOptions {
  std::string model = "residual_cnn";
  std::vector<std::int64_t> nfs;
  std::string input = "1x28x28";
  std::int64_t batch_size = 512;
  std::int64_t num_classes = 10;
  bool compat = false;
  bool shapes = false;
  bool plan = false;
  std::string amp = "none";
  int threads = 0;
  std::string tuning;
};

/// Who runs each layer under the fused engine, and with what or why.
std::string plan_table(Layer& model, const Tensor& batch, kernels::Precision precision,
                       const TuningPtr& tuning) {
  TextTable table({{"Layer"}, {"Type"}, {"Runs on"}, {"With, or why"}});
  const std::string isa(kernels::name_of(kernels::default_isa()));
  for (const PlanRow& row :
       describe_plan(model, batch, kernels::default_isa(), precision, tuning)) {
    const std::string with = row.kernels + (row.tuned.empty() ? "" : "; " + row.tuned);
    table.add({row.name, row.kind, row.fused ? "kernels, " + isa : "LibTorch",
               row.fused ? with : row.reason});
  }
  return table.markdown();
}

int run(const SummaryOptions& options) {
  std::vector<std::int64_t> shape = parse_input_shape(options.input, "summary");
  if (options.batch_size < 1) {
    throw Error(ErrorKind::usage, "summary",
                "--batch-size " + std::to_string(options.batch_size) + ", wanted 1 or more");
  }
  const kernels::Precision precision = precision_named(options.amp, Engine::fused);
  const LayerPtr model = build_model(
      options.model, {.c_in = shape[0], .n_outputs = options.num_classes, .nfs = options.nfs});
  shape.insert(shape.begin(), options.batch_size);
  if (options.plan) {
    if (options.threads > 0) at::set_num_threads(options.threads);
    const TuningPtr tuning = load_tuning(options.tuning);
    std::fputs(plan_table(*model, torch::zeros(shape), precision, tuning).c_str(), stdout);
    return 0;
  }
  const Summary summary = summarize(*model, torch::zeros(shape));
  const SummaryForm form = options.shapes   ? SummaryForm::shapes
                           : options.compat ? SummaryForm::page
                                            : SummaryForm::full;
  std::fputs(to_markdown(summary, form).c_str(), stdout);
  return 0;
}

}  // namespace

void add_summary(CLI::App& app, Action& action) {
  const auto options = std::make_shared<SummaryOptions>();
  CLI::App* command =
      app.add_subcommand("summary", "Show what each layer of a network does and costs");
  SummaryOptions& o = *options;
  command->add_option("--model", o.model, "Network; `fatwood models` lists them")
      ->capture_default_str();
  add_list_option(*command, "--nfs", o.nfs, "Features per block, e.g. 8,16,32,64,128");
  command->add_option("--input", o.input, "Image shape, CxHxW")->capture_default_str();
  command->add_option("--batch-size", o.batch_size, "Images")->capture_default_str();
  command->add_option("--num-classes", o.num_classes, "Outputs")->capture_default_str();
  auto* compat = command->add_flag("--compat", o.compat, "The page's columns, with its MFlops");
  auto* shapes = command->add_flag("--shapes", o.shapes, "The page's columns without MFlops")
                     ->excludes(compat);
  auto* plan = command->add_flag("--plan", o.plan, "What runs each layer in train, and why")
                   ->excludes(compat)
                   ->excludes(shapes);
  command->add_option("--amp", o.amp, "With --plan: none or bf16, as train's")
      ->capture_default_str()
      ->needs(plan);
  command
      ->add_option("--threads", o.threads, "With --plan: as train's; 0: as many as LibTorch takes")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->needs(plan);
  command->add_option("--tuning", o.tuning, "With --plan: as train's")->needs(plan);
  add_isa_option(*command)->needs(plan);
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace fatwood::cli
