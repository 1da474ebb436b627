#include <cmath>
#include <set>

#include <fatwood/core/allocator.h>
#include <fatwood/core/error.h>
#include <fatwood/core/text.h>
#include <fatwood/engine/engine.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/recipes/tune_run.h>
#include <fatwood/recipes/tuning_file.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_tuning(const std::string& what) {
  throw Error(ErrorKind::usage, "tune", what);
}

void want_between(const char* option, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value < least || value > most)
    refuse_tuning("--" + std::string(option) + " " + std::to_string(value) + ", wanted " +
                  std::to_string(least) + " to " + std::to_string(most));
}

void check_tuning(const TuneRunOptions& options) {
  find_model(options.model);
  if (options.batch_sizes.empty()) refuse_tuning("--batch-size: found none, wanted one or more");
  for (const std::int64_t size : options.batch_sizes)
    want_between("batch-size", size, 1, 1'000'000);
  want_between("threads", options.threads, 0, 1024);
  if (!(options.seconds >= 0 && options.seconds <= 3600))
    refuse_tuning("--seconds " + std::to_string(options.seconds) + ", wanted 0 to 3600");
}

// Measuring takes a while: a file that cannot be written is said before.
fs::path checked_output(const fs::path& given) {
  if (given == "none") refuse_tuning("--output none, wanted a file: none means no table elsewhere");
  fs::path output = given.empty() ? tuning_place("").path : given;
  if (output.empty())
    refuse_tuning(
        "no file for the table: FATWOOD_TUNING is none, or neither XDG_CACHE_HOME nor "
        "HOME is set; name one with --output");
  std::error_code ignored;
  if (fs::is_directory(output, ignored))
    refuse_tuning("--output " + output.string() + " is a folder, wanted a file's name");
  const fs::path folder = given.has_parent_path() ? given.parent_path() : fs::path();
  if (!folder.empty() && !fs::is_directory(folder, ignored)) {
    throw Error(ErrorKind::io, "tune",
                "--output " + output.string() + ": there is no folder " + folder.string());
  }
  return output;
}

}  // namespace

TuneRunResult tune_run(const TuneRunOptions& options, const TuneRunHooks& hooks) {
  check_tuning(options);
  TuneRunResult result;
  result.file = checked_output(options.output);
  read_tuning_file(result.file);
  const kernels::Precision precision = precision_named(options.amp, Engine::fused);
  if (options.threads > 0) at::set_num_threads(options.threads);
  keep_freed_memory();
  torch::manual_seed(0);
  const LayerPtr model = build_model(
      options.model,
      {.c_in = options.input.at(0), .n_outputs = options.num_classes, .nfs = options.nfs});
  std::vector<kernels::TuningEntry> entries;
  std::set<std::int64_t> seen;
  for (const std::int64_t size : options.batch_sizes) {
    if (!seen.insert(size).second) continue;
    if (hooks.say) {
      hooks.say(options.model + ", batch " + with_commas(size) + ", " +
                std::to_string(at::get_num_threads()) + " threads, " +
                std::string(name_of(kernels::default_isa())) + ", " +
                std::string(name_of(precision)) + ": a forward and a backward pass, medians");
    }
    // Channels-last strides, as the library's batches have.
    const Tensor batch =
        torch::randn({size, options.input.at(1), options.input.at(2), options.input[0]})
            .permute({0, 3, 1, 2});
    const TuneResult tuned = tune_layers(
        *model, batch, {.precision = precision, .seconds = options.seconds, .stop = hooks.stop});
    if (tuned.interrupted) {
      result.interrupted = true;
      return result;
    }
    if (hooks.measured) hooks.measured(size, tuned);
    for (const TunedLayer& layer : tuned.layers) entries.push_back(layer.entry);
  }
  add_to_tuning_file(result.file, entries);
  return result;
}

}  // namespace fatwood
