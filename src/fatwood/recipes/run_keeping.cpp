#include <set>

#include <torch/version.h>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/machine.h>
#include <fatwood/engine/engine.h>
#include <fatwood/io/sha256.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/run_keeping.h>
#include <fatwood/train/resume.h>
#include <fatwood/train/weights.h>

namespace fatwood {
namespace {

using nlohmann::json;

constexpr const char* kDiverged = "diverged";
constexpr int kMostRewinds = 8;  // the rate is then 1/256 of what it was
constexpr std::int64_t kDigestStride = 64;

std::string digest_of(const ImageDataset& data) {
  Sha256 sha;
  const std::string shape = std::to_string(data.size()) + "x" + std::to_string(data.channels()) +
                            "x" + std::to_string(data.height()) + "x" +
                            std::to_string(data.width());
  sha.update(as_bytes(shape));
  Bytes labels;
  for (const std::int64_t label : data.labels()) labels.push_back(static_cast<std::uint8_t>(label));
  sha.update(labels);
  for (std::int64_t i = 0; i < data.size(); i += kDigestStride) sha.update(data.image(i));
  return to_hex(sha.finish());
}

/// Full and last batches, of training and of evaluation.
std::vector<std::int64_t> batch_sizes(const TrainRunOptions& options, const JobData& data) {
  std::set<std::int64_t> sizes;
  for (const std::int64_t images : {data.train->size(), data.eval->size()}) {
    if (images >= options.batch_size) sizes.insert(options.batch_size);
    if (images % options.batch_size != 0) sizes.insert(images % options.batch_size);
  }
  return {sizes.begin(), sizes.end()};
}

/// A digest of what runs the layers. What the built-in table decides follows from the options and
/// the rest of the machine, so what a tuned table changes of it alone is added.
std::string plan_of(const TrainRunOptions& options, Layer& model, const JobData& data,
                    const TuningPtr& tuning) {
  const kernels::Precision precision = precision_named(options.amp, Engine::fused);
  const ImageDataset& images = *data.train;
  std::string text =
      describe_tuning(model, torch::zeros({1, images.channels(), images.height(), images.width()}),
                      batch_sizes(options, data), kernels::default_isa(), precision, tuning);
  for (const PlanRow& row : describe_plan(model, precision)) {
    text += row.name + " " + row.kind + " " + (row.fused ? "fused" : row.reason);
    if (row.precision != kernels::Precision::f32)
      text += " in " + std::string(name_of(row.precision));
    text += '\n';
  }
  return sha256_hex(as_bytes(text)).substr(0, 16);
}

bool is_finite(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) return false;
  }
  return true;
}

std::string rates(const std::vector<ParamGroup>& groups) {
  std::string text;
  for (const ParamGroup& group : groups)
    text += (text.empty() ? "" : ", ") + json(group.base_lr).dump();
  return text;
}

}  // namespace

json machine_of(const TrainRunOptions& options, Layer& model, torch::Device device,
                const JobData& data, const TuningPtr& tuning) {
  const kernels::Isa isa = kernels::computing_isa(
      kernels::default_isa(), precision_named(options.amp, engine_named(options.engine)));
  json machine{{"engine", options.engine},         {"isa", std::string(kernels::name_of(isa))},
               {"threads", at::get_num_threads()}, {"device", device.str()},
               {"cpu", this_machine().cpu},        {"libtorch", TORCH_VERSION}};
  if (options.amp != "none") machine["amp"] = options.amp;
  if (options.engine == name_of(Engine::fused) && !device.is_cuda())
    machine["plan"] = plan_of(options, model, data, tuning);
  return machine;
}

json data_of(const ImageDataset& train, const ImageDataset& eval) {
  return {{"name", train.name()},
          {"train", train.size()},
          {"eval", eval.size()},
          {"train_sha256", digest_of(train)},
          {"eval_sha256", digest_of(eval)}};
}

CheckpointingOptions Keeper::checkpointing() const {
  return {.folder = folder.file("checkpoints"),
          .steps = options.checkpoint_steps,
          .minutes = options.checkpoint_minutes,
          .start = options.on_diverge == "rewind",
          .keep = options.keep,
          .about = {{"machine", machine}, {"data", data}},
          .rows = rows,
          .recorder = recorder,
          .say = say};
}

std::optional<Resumed> Keeper::restore(Learner& learner) const {
  if (!options.resume) return {};
  return restore_run(folder, *rows, learner,
                     {.checkpoint = options.resume_from, .machine = machine, .data = data});
}

bool Keeper::may_rewind(const Checkpointing& checkpointing) const {
  return options.on_diverge == "rewind" && checkpointing.rewinds() < kMostRewinds;
}

FitResult Keeper::fit(Learner& learner, Checkpointing& checkpointing,
                      const std::optional<Resumed>& resumed) const {
  if (resumed) {
    cut_run(folder, *rows, *recorder, *resumed);
    if (say) say(describe(*resumed));
  }
  while (true) {
    const bool again = may_rewind(checkpointing);
    recorder->hold_end(again ? kDiverged : "");
    try {
      FitResult result = learner.fit(options.epochs);
      if (result.status != kDiverged || !again) return result;
      rewind(learner, checkpointing, result.reason);
    } catch (...) {
      try {
        recorder->release_end();  // that was the end
      } catch (const Error&) {
        // The disk that refused before refuses the row, too.
      }
      throw;
    }
  }
}

void Keeper::rewind(Learner& learner, Checkpointing& checkpointing,
                    const std::string& reason) const {
  const FoundCheckpoint found = find_checkpoint(folder.file("checkpoints"), rows->bytes());
  if (!found.file) {
    throw Error(ErrorKind::io, "rewind",
                folder.file("checkpoints").string() + ": no checkpoint to go back to; " + reason);
  }
  if (say) {
    for (const auto& [path, why] : found.passed_over) say("PASSED OVER: " + why);
  }
  std::vector<ParamGroup>& groups = learner.run().optimizer->groups();
  const std::vector<ParamGroup> diverged = groups;
  const int count = checkpointing.rewinds() + 1;
  const Position position = fatwood::restore(*found.file, learner);
  checkpointing.set_rewinds(count);  // the checkpoint may be older than an earlier one
  for (std::size_t i = 0; i < groups.size(); ++i) {
    // Half of the rate that diverged, which may be a fraction of the checkpoint's already.
    const double base_lr = diverged[i].base_lr / 2;
    groups[i].lr *= groups[i].base_lr > 0 ? base_lr / groups[i].base_lr : 1;
    groups[i].base_lr = base_lr;
  }
  rows->cut_to(
      integer_of<std::uint64_t>(found.file->about.at("timing").at("rows_bytes"), "rewind"));
  recorder->rewind([this](RowSink& sink) { rows->replay(sink); });
  recorder->event({step_at(position, learner.run().training_batches()), kRewindEvent,
                   reason + "; back to " + found.path.filename().string() +
                       ", learning rate halved to " + rates(groups) + " (rewind " +
                       std::to_string(count) + ")"});
}

bool Keeper::finite_weights(Layer& model) const {
  if (is_finite(named_state(model))) return true;
  try {
    const FoundCheckpoint found = find_checkpoint(folder.file("checkpoints"), rows->bytes());
    if (found.file) {
      NamedTensors weights;
      for (const TensorView& view : found.file->tensors.tensors()) {
        if (view.name.starts_with("model."))
          weights.emplace_back(view.name.substr(6), tensor_of(view));
      }
      load_state(model, weights, found.path.string());
      if (!is_finite(named_state(model))) {
        throw Error(ErrorKind::data, "weights",
                    found.path.string() + ": holds numbers that are not finite");
      }
      if (say)
        say("the network holds numbers that are not finite; the weights saved are those of " +
            found.path.string());
      return true;
    }
  } catch (const Error& error) {
    if (say) say(error.what());
  }
  if (say)
    say("the network holds numbers that are not finite and there is no checkpoint: no weights are "
        "saved");
  return false;
}

}  // namespace fatwood
