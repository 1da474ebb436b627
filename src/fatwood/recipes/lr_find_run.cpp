#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/text.h>
#include <fatwood/engine/engine.h>
#include <fatwood/io/file.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/job.h>
#include <fatwood/recipes/lr_find_run.h>
#include <fatwood/train/gradients.h>
#include <fatwood/train/norm_check.h>
#include <fatwood/train/seed.h>
#include <fatwood/train/transforms.h>

namespace fatwood {
namespace {

// A sweep can take minutes: a file that cannot be written is said before.
void check_output(const LrFindRunOptions& options) {
  const std::filesystem::path& output = options.output;
  if (output.empty()) return;
  std::error_code ignored;
  const std::filesystem::path folder = output.has_parent_path() ? output.parent_path() : ".";
  if (std::filesystem::is_directory(output, ignored)) {
    throw Error(ErrorKind::usage, "lr_find",
                "--output " + output.string() + " is a folder, wanted a file's name");
  }
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw Error(ErrorKind::io, "lr_find",
                "--output " + output.string() + ": there is no folder " + folder.string());
  }
  if (!options.overwrite && std::filesystem::exists(output, ignored)) {
    throw Error(ErrorKind::usage, "lr_find",
                "--output " + output.string() +
                    " is there already; choose another name, or --overwrite it");
  }
}

}  // namespace

LrFindResult lr_find_run(const LrFindRunOptions& options,
                         const std::function<void(std::string_view)>& say) {
  const TrainRunOptions& train = options.train;
  check(train, "lr_find");
  check(options.sweep);
  check_output(options);
  const torch::Device device = choose_device(train.device);
  if (train.threads > 0) at::set_num_threads(train.threads);
  set_seed(train.seed, train.deterministic);
  const std::optional<JobData> loaded = load_data(train, say, options.sweep.stop);
  if (!loaded) {
    LrFindResult none;
    none.ended = kDownloadInterrupted;
    none.interrupted = true;
    return none;
  }
  const JobData& data = *loaded;
  const LayerPtr model = make_model(train, data, device);
  apply_engine(train, *model, device, say);

  const Loaders loaders = make_loaders(train, data, device);
  check_norms(*model, *loaders.train);

  Callbacks callbacks{std::make_shared<DevicePlacement>()};
  add_graphs(callbacks, train, device, say);
  if (train.grad_accum_steps > 1)
    callbacks.push_back(std::make_shared<AccumulateGradients>(train.grad_accum_steps));
  if (train.clip_grad > 0) callbacks.push_back(std::make_shared<ClipGradients>(train.clip_grad));
  if (say) {
    say(train.model + ", " + with_commas(count_parameters(*model)) + " parameters, " +
        device.str() + ", " + std::to_string(at::get_num_threads()) + " threads");
  }
  Learner learner({.model = model,
                   .loaders = loaders,
                   .optimizer = make_optimizer(train, *model),
                   .callbacks = std::move(callbacks),
                   .device = device,
                   .seed = train.seed,
                   .name = train.model});
  const LrFindResult found = lr_find(learner, options.sweep);
  if (!options.output.empty()) write_file(options.output, to_json(found).dump(1) + "\n");
  return found;
}

}  // namespace fatwood
