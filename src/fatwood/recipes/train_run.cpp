#include <cmath>

#include <nlohmann/json.hpp>
#include <torch/torch.h>
#include <torch/version.h>

#include <fatwood/core/error.h>
#include <fatwood/core/machine.h>
#include <fatwood/core/text.h>
#include <fatwood/core/version.h>
#include <fatwood/data/fashion_mnist.h>
#include <fatwood/engine/engine.h>
#include <fatwood/inspect/activation_statistics.h>
#include <fatwood/inspect/summary.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/model_table.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/gradients.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/norm_check.h>
#include <fatwood/train/run_folder.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/seed.h>
#include <fatwood/train/stopping.h>
#include <fatwood/train/transforms.h>
#include <fatwood/train/weights.h>

namespace fatwood {
namespace {

struct Data {
  std::shared_ptr<const ImageDataset> train, eval;
  PixelStatistics normalize;
};

Data load_data(const TrainRunOptions& options, const std::function<void(std::string_view)>& say) {
  FashionMnistPlaces places = FashionMnistPlaces::from_environment();
  places.given = options.data;
  FashionMnist mnist = load_fashion_mnist(places, say);
  Data data;
  if (options.holdout > 0) {
    DatasetSplit parts = split(mnist.training, options.holdout, options.seed);
    data.train = std::make_shared<ImageDataset>(std::move(parts.training));
    data.eval = std::make_shared<ImageDataset>(std::move(parts.held_out));
  } else {
    data.train = std::make_shared<ImageDataset>(std::move(mnist.training));
    data.eval = std::make_shared<ImageDataset>(std::move(mnist.test));
  }
  data.normalize = pixel_statistics(*data.train);
  return data;
}

OptimizerPtr make_optimizer(const TrainRunOptions& options, const Layer& model) {
  if (options.opt == "sgd") {
    return sgd(model, {.lr = options.lr,
                       .momentum = options.momentum,
                       .weight_decay = options.weight_decay,
                       .decay_all = options.decay_norms});
  }
  return adamw(
      model,
      {.lr = options.lr, .weight_decay = options.weight_decay, .decay_all = options.decay_norms});
}

SchedulePtr make_schedule(const TrainRunOptions& options, std::int64_t batches) {
  const std::int64_t total = batches * options.epochs;
  if (options.sched == "onecycle") return one_cycle({.total_steps = total});
  const auto warmup = std::min(
      static_cast<std::int64_t>(std::llround(options.warmup_epochs * static_cast<double>(batches))),
      total - 1);
  const std::int64_t rest = total - warmup;
  SchedulePtr main = constant();
  if (options.sched == "cosine") main = cosine(rest);
  if (options.sched == "step") main = step_decay(std::max<std::int64_t>(rest / 3, 1), 0.1);
  if (options.sched == "exponential")
    main = exponential(std::pow(0.01, 1.0 / static_cast<double>(rest)));
  if (warmup < 1) return main;
  return sequence({linear(warmup), main}, {warmup});
}

Callbacks make_callbacks(const TrainRunOptions& options, const TrainRunHooks& hooks,
                         std::int64_t classes, const SchedulePtr& schedule,
                         const std::shared_ptr<Recorder>& recorder) {
  Callbacks callbacks{std::make_shared<DevicePlacement>(),
                      std::make_shared<StopOnDivergence>(),
                      std::make_shared<Scheduling>(schedule),
                      Metrics::usual(classes),
                      recorder,
                      std::make_shared<StopOnRequest>(hooks.stop)};
  if (options.grad_accum_steps > 1) {
    callbacks.push_back(std::make_shared<AccumulateGradients>(options.grad_accum_steps));
  }
  if (options.clip_grad > 0)
    callbacks.push_back(std::make_shared<ClipGradients>(options.clip_grad));
  if (options.model_ema_decay > 0) {
    callbacks.push_back(std::make_shared<AveragedWeights>(
        AveragedWeightsOptions{.decay = options.model_ema_decay, .adopt_at_end = true}));
  }
  if (options.patience >= 0) {
    callbacks.push_back(
        std::make_shared<EarlyStopping>(EarlyStoppingOptions{.patience = options.patience}));
  }
  if (options.stats != StatsLevel::off) {
    callbacks.push_back(std::make_shared<StoreModuleStats>(
        StoreModuleStatsOptions{.hist_period = options.stats == StatsLevel::all ? 1 : 8},
        recorder));
  }
  return callbacks;
}

nlohmann::json args_of(const TrainRunOptions& options, const Data& data, torch::Device device) {
  const Machine machine = this_machine();
  return {{"format", 1},
          {"fatwood", kVersion},
          {"libtorch", TORCH_VERSION},
          {"machine",
           {{"cpu", machine.cpu},
            {"cores", machine.cores},
            {"threads", at::get_num_threads()},
            {"isa", std::string(kernels::name_of(kernels::default_isa()))},
            {"device", device.str()}}},
          {"started", machine.date},
          {"options", to_json(options)},
          {"data",
           {{"name", data.train->name()},
            {"train", data.train->size()},
            {"eval", data.eval->size()},
            {"mean", data.normalize.mean},
            {"std", data.normalize.std},
            {"classes", data.train->classes()}}}};
}

std::filesystem::path default_output(const TrainRunOptions& options) {
  std::string date = this_machine().date.substr(0, 19);
  std::erase(date, ':');
  return std::filesystem::path("runs") / (date + "-" + options.model);
}

}  // namespace

TrainRunResult train_run(const TrainRunOptions& options, const TrainRunHooks& hooks) {
  check(options);
  const torch::Device device = choose_device(options.device);
  if (options.threads > 0) at::set_num_threads(options.threads);
  set_seed(options.seed, options.deterministic);
  const Data data = load_data(options, hooks.say);
  const auto classes = static_cast<std::int64_t>(data.train->classes().size());
  const LayerPtr model = build_model(
      options.model, {.c_in = data.train->channels(), .n_outputs = classes, .nfs = options.nfs});
  if (options.initial_checkpoint) load_weights(*model, *options.initial_checkpoint);

  const ImageBatchesOptions batches{.batch_size = options.batch_size,
                                    .shuffle = options.shuffle,
                                    .seed = options.seed,
                                    .normalize = data.normalize};
  ImageBatchesOptions in_order = batches;
  in_order.shuffle = false;
  const Loaders loaders{image_batches(data.train, batches), image_batches(data.eval, in_order)};
  const Summary summary =
      summarize(*model, loaders.train->get(0, 0).x);  // the network fits the images, or this throws

  check_norms(*model, *loaders.train);

  const SchedulePtr schedule = make_schedule(options, loaders.train->batches());

  use_engine(*model, engine_named(options.engine));

  RunFolder folder(options.output.empty() ? default_output(options) : options.output,
                   options.overwrite);
  folder.write_args(args_of(options, data, device));
  folder.write_json("summary.json", to_json(summary));
  TrainRunResult result;
  result.folder = folder.path();
  std::vector<RowSinkPtr> sinks{folder.rows()};
  sinks.insert(sinks.end(), hooks.sinks.begin(), hooks.sinks.end());
  if (hooks.sinks_in) {
    for (RowSinkPtr& sink : hooks.sinks_in(folder.path())) sinks.push_back(std::move(sink));
  }
  result.recorder = std::make_shared<Recorder>(std::move(sinks));

  if (hooks.say) {
    hooks.say(options.model + ", " + with_commas(count_parameters(*model)) + " parameters, " +
              device.str() + ", " + std::to_string(at::get_num_threads()) + " threads → " +
              folder.path().string());
  }
  Learner learner({.model = model,
                   .loaders = loaders,
                   .optimizer = make_optimizer(options, *model),
                   .callbacks = make_callbacks(options, hooks, classes, schedule, result.recorder),
                   .device = device,
                   .seed = options.seed,
                   .name = options.model});
  result.fit = learner.fit(options.epochs);
  save_weights(*model, folder.file("model.safetensors"),
               {{"model", options.model},
                {"mean", std::to_string(data.normalize.mean)},
                {"std", std::to_string(data.normalize.std)}});
  return result;
}

}  // namespace fatwood
