#include <cmath>

#include <nlohmann/json.hpp>
#include <torch/version.h>

#include <fatwood/core/error.h>
#include <fatwood/core/machine.h>
#include <fatwood/core/text.h>
#include <fatwood/core/version.h>
#include <fatwood/engine/engine.h>
#include <fatwood/inspect/activation_statistics.h>
#include <fatwood/inspect/lsuv.h>
#include <fatwood/inspect/predictions.h>
#include <fatwood/inspect/summary.h>
#include <fatwood/io/sha256.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/job.h>
#include <fatwood/recipes/run_keeping.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/gradients.h>
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

// Says what LSUV did in one line, and a line for each layer that it could not help.
std::shared_ptr<Lsuv> make_lsuv(const std::function<void(std::string_view)>& say) {
  const auto lsuv = std::make_shared<Lsuv>();
  if (!say) return lsuv;
  lsuv->report = [say](const std::vector<LsuvRow>& rows) {
    std::int64_t changed = 0;
    for (const LsuvRow& row : rows) changed += row.iterations > 0 ? 1 : 0;
    say("lsuv: " + std::to_string(changed) + " of " + std::to_string(rows.size()) +
        " layers changed");
    for (const LsuvRow& row : rows) {
      if (!row.remark.empty()) say("lsuv: " + row.name + ": " + row.remark);
    }
  };
  return lsuv;
}

Callbacks make_callbacks(const TrainRunOptions& options, const TrainRunHooks& hooks,
                         torch::Device device, std::int64_t classes, const SchedulePtr& schedule,
                         const std::shared_ptr<Recorder>& recorder) {
  Callbacks callbacks{std::make_shared<DevicePlacement>(),
                      std::make_shared<StopOnDivergence>(),
                      std::make_shared<Scheduling>(schedule),
                      Metrics::usual(classes),
                      recorder,
                      std::make_shared<StopOnRequest>(hooks.stop)};
  add_graphs(callbacks, options, device, hooks.say);
  if (options.init == "lsuv") callbacks.push_back(make_lsuv(hooks.say));
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
        StoreModuleStatsOptions{.hist_period = options.stats == StatsLevel::all ? 1 : 8,
                                .keep = false},
        recorder));
  }
  return callbacks;
}

nlohmann::json args_of(const TrainRunOptions& options, const JobData& data, torch::Device device,
                       const TuningPtr& tuning) {
  const Machine machine = this_machine();
  nlohmann::json args{{"format", 1},
                      {"fatwood", kVersion},
                      {"libtorch", TORCH_VERSION},
                      {"machine",
                       {{"cpu", machine.cpu},
                        {"cores", machine.cores},
                        {"threads", at::get_num_threads()},
                        {"isa", std::string(kernels::name_of(kernels::default_isa()))},
                        {"device", device.str()}}},
                      {"timing", {{"started", machine.date}}},
                      {"options", to_json(options)},
                      {"data",
                       {{"name", data.train->name()},
                        {"train", data.train->size()},
                        {"eval", data.eval->size()},
                        {"mean", data.normalize.mean},
                        {"std", data.normalize.std},
                        {"classes", data.train->classes()}}}};
  if (tuning) args["machine"]["tuning"] = sha256_hex(as_bytes(tuning->text())).substr(0, 16);
  return args;
}

std::filesystem::path default_output(const TrainRunOptions& options) {
  std::string date = this_machine().date.substr(0, 19);
  std::erase(date, ':');
  return std::filesystem::path("runs") / (date + "-" + options.model);
}

}  // namespace

TrainRunResult train_run(const TrainRunOptions& options, const TrainRunHooks& hooks) {
  check(options);
  to_json(options);  // refuses what args.json cannot hold, before anything is made
  const torch::Device device = choose_device(options.device);
  if (options.threads > 0) at::set_num_threads(options.threads);
  set_seed(options.seed, options.deterministic);
  const std::optional<JobData> loaded = load_data(options, hooks.say, hooks.stop);
  if (!loaded) return {.fit = {.status = "interrupted", .reason = kDownloadInterrupted}};
  const JobData& data = *loaded;
  const std::int64_t classes = data.classes();
  const LayerPtr model = make_model(options, data, device);
  const Loaders loaders = make_loaders(options, data, device);
  const Summary summary =
      summarize(*model, loaders.train->get(0, 0).x);  // the network fits the images, or this throws

  check_norms(*model, *loaders.train);

  const SchedulePtr schedule = make_schedule(options, loaders.train->batches());

  const TuningPtr tuning = apply_engine(options, *model, device, hooks.say);

  RunFolder folder =
      options.resume ? RunFolder::reopen(options.output)
                     : RunFolder(options.output.empty() ? default_output(options) : options.output,
                                 options.overwrite);
  // A run that was killed before its first row may lack these.
  if (!options.resume) folder.write_args(args_of(options, data, device, tuning));
  TrainRunResult result;
  result.folder = folder.path();
  const std::shared_ptr<RunRows> rows = folder.rows();
  std::vector<RowSinkPtr> sinks{rows};
  sinks.insert(sinks.end(), hooks.sinks.begin(), hooks.sinks.end());
  result.recorder = std::make_shared<Recorder>(std::move(sinks));

  if (hooks.say) {
    hooks.say(options.model + ", " + with_commas(count_parameters(*model)) + " parameters, " +
              device.str() + ", " + std::to_string(at::get_num_threads()) + " threads → " +
              folder.path().string());
  }
  const Keeper keeper{.options = options,
                      .say = hooks.say,
                      .folder = folder,
                      .rows = rows,
                      .recorder = result.recorder,
                      .machine = machine_of(options, *model, device, data, tuning),
                      .data = data_of(*data.train, *data.eval)};
  const auto checkpointing = std::make_shared<Checkpointing>(keeper.checkpointing());
  Callbacks callbacks = make_callbacks(options, hooks, device, classes, schedule, result.recorder);
  callbacks.push_back(checkpointing);
  callbacks.insert(callbacks.end(), hooks.callbacks.begin(), hooks.callbacks.end());
  Learner learner({.model = model,
                   .loaders = loaders,
                   .optimizer = make_optimizer(options, *model),
                   .callbacks = std::move(callbacks),
                   .device = device,
                   .seed = options.seed,
                   .name = options.model});
  const auto predictions = std::make_shared<KeepPredictions>();
  learner.add(predictions);
  // Nothing of the folder changes before this: a resume may be refused.
  const std::optional<Resumed> resumed = keeper.restore(learner);
  folder.write_json("summary.json", to_json(summary));
  if (hooks.sinks_in) {
    for (RowSinkPtr& sink : hooks.sinks_in(folder.path()))
      result.recorder->add_sink(std::move(sink));
  }
  result.fit = keeper.fit(learner, *checkpointing, resumed);
  result.checkpoint = checkpointing->newest();
  result.last_saved = checkpointing->last_saved();
  result.checkpointing = checkpointing->cost();
  if (predictions->last())
    folder.write_json("predictions.json", to_json(*predictions->last(), *data.eval));
  // Last: a run folder with weights is that of a run that has ended.
  if (keeper.finite_weights(*model)) {
    save_weights(*model, folder.file("model.safetensors"),
                 {{"model", options.model},
                  {"mean", std::to_string(data.normalize.mean)},
                  {"std", std::to_string(data.normalize.std)}});
  }
  return result;
}

}  // namespace fatwood
