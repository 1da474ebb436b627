#include <cstdio>

#include <CLI/CLI.hpp>
#include <torch/version.h>

#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/core/version.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/state.h>

#include "commands.h"

namespace fatwood::cli {

std::string version_text() {
  std::string here;
  for (const kernels::IsaInfo& isa : kernels::isas()) {
    if (kernels::runs_here(isa.isa)) here += (here.empty() ? "" : ", ") + std::string(isa.name);
  }
  return std::string("fatwood ") + kVersion + "\nLibTorch " + TORCH_VERSION +
         (torch::cuda::is_available() ? ", CUDA" : "") + "\ninstruction set " +
         std::string(kernels::name_of(kernels::default_isa())) + " (here: " + here + ")\nthreads " +
         std::to_string(at::get_num_threads());
}

void add_models(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("models", "List the networks that have a name");
  command->callback([&action] {
    action = [] {
      TextTable table({{"Name"}, {"Parameters", Align::right}, {"What"}});
      for (const ModelEntry& entry : model_table()) {
        table.add({std::string(entry.name), with_commas(count_parameters(*entry.build({}))),
                   std::string(entry.description)});
      }
      std::fputs(table.plain().c_str(), stdout);
      return 0;
    };
  });
}

}  // namespace fatwood::cli
