#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/CPUGeneratorImpl.h>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/version.h>
#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/checkpoint.h>
#include <fatwood/train/weights.h>

namespace fatwood {
namespace {

using nlohmann::json;

constexpr const char* kModel = "model.";
constexpr const char* kOptimizer = "optimizer.";
constexpr const char* kGradient = "gradient.";
constexpr const char* kGenerator = "generator.";
constexpr const char* kOperation = "restore";
constexpr std::int64_t kMostEpochs = 1'000'000;  // steps stay far from overflow

[[noreturn]] void refuse(ErrorKind kind, const std::string& what) {
  throw Error(kind, kOperation, what);
}

// Callbacks of one name are told apart by their order: "probe", "probe#2".
template <class Pointers>
std::vector<std::pair<std::string, Callback*>> keyed(const Pointers& callbacks) {
  std::map<std::string, int> seen;
  std::vector<std::pair<std::string, Callback*>> result;
  for (const auto& callback : callbacks) {
    std::string key = callback->name();
    if (const int count = ++seen[key]; count > 1) key += "#" + std::to_string(count);
    result.emplace_back(std::move(key), &*callback);
  }
  return result;
}

json to_json(const std::vector<ParamGroup>& groups) {
  json array = json::array();
  for (const ParamGroup& group : groups) {
    array.push_back({{"name", group.name},
                     {"lr", group.lr},
                     {"base_lr", group.base_lr},
                     {"momentum", group.momentum},
                     {"weight_decay", group.weight_decay}});
  }
  return array;
}

void load_groups(const json& saved, std::vector<ParamGroup>& groups) {
  if (saved.size() != groups.size()) {
    refuse(ErrorKind::usage, "the checkpoint has " + std::to_string(saved.size()) +
                                 " groups of parameters, the run " + std::to_string(groups.size()));
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    ParamGroup& group = groups[i];
    if (const auto name = saved[i].at("name").get<std::string>(); name != group.name)
      refuse(ErrorKind::usage,
             "the checkpoint's group of parameters " + name + " is " + group.name + " in the run");
    group.lr = saved[i].at("lr").get<double>();
    group.base_lr = saved[i].at("base_lr").get<double>();
    group.momentum = saved[i].at("momentum").get<double>();
    group.weight_decay = saved[i].at("weight_decay").get<double>();
  }
}

std::vector<at::Device> generator_devices(const Run& run) {
  std::vector<at::Device> devices{at::kCPU};
  if (run.device.is_cuda()) devices.push_back(run.device);
  return devices;
}

std::string generator_key(const at::Device& device) {
  return kGenerator + std::string(device.is_cuda() ? "cuda" : "cpu");
}

at::Tensor generator_state(const at::Device& device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

void set_generator_state(const at::Device& device, const at::Tensor& state) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state);
}

// What a checkpoint's tensors are of: those under `prefix`, without it.
NamedTensors tensors_under(const CheckpointFile& file, const std::string& prefix) {
  NamedTensors tensors;
  for (const TensorView& view : file.tensors.tensors()) {
    if (view.name.starts_with(prefix))
      tensors.emplace_back(view.name.substr(prefix.size()), tensor_of(view));
  }
  return tensors;
}

void load_gradients(const NamedTensors& saved, Run& run) {
  std::map<std::string, Tensor> gradients(saved.begin(), saved.end());
  for (const auto& [name, parameter] : named_parameters(*run.model)) {
    const auto found = gradients.find(name);
    if (found == gradients.end()) {
      parameter.mutable_grad() = Tensor();
      continue;
    }
    if (found->second.sizes() != parameter.sizes()) {
      refuse(ErrorKind::model, "gradient of " + name + " is " + shape_text(found->second.sizes()) +
                                   ", wanted " + shape_text(parameter.sizes()));
    }
    parameter.mutable_grad() = torch::empty_like(parameter.detach()).copy_(found->second);
    gradients.erase(found);
  }
  if (!gradients.empty())
    refuse(ErrorKind::model, "gradient of " + gradients.begin()->first + " is not in the model");
}

void load_callbacks(const CheckpointFile& file, const Callbacks& callbacks) {
  json saved = file.about.at("callbacks");
  for (const auto& [key, callback] : keyed(callbacks)) {
    const auto state = saved.find(key);
    if (state == saved.end()) {
      refuse(ErrorKind::usage,
             "the run has a callback \"" + key + "\" that the checkpoint's run had not");
    }
    if (!state->is_null()) callback->load_state_dict(*state);
    callback->load_tensor_state(tensors_under(file, "callback." + key + "."));
    saved.erase(state);
  }
  if (!saved.empty()) {
    refuse(ErrorKind::usage, "the checkpoint's run had a callback \"" + saved.begin().key() +
                                 "\" that the run has not");
  }
}

void check_number(const json& saved, const char* key, std::int64_t now) {
  if (const auto then = integer_of<std::int64_t>(saved.at(key), kOperation); then != now) {
    refuse(ErrorKind::usage, std::string(key) + " " + std::to_string(now) +
                                 ", the checkpoint's run had " + std::to_string(then));
  }
}

Position position_of(const json& about, const Run& run) {
  const json& saved = about.at("position");
  const auto pass = saved.at("pass").get<std::string>();
  const Position position{
      .epoch = integer_of<std::int64_t>(saved.at("epoch"), kOperation),
      .pass = pass == name_of(Mode::evaluation) ? Mode::evaluation : Mode::training,
      .batch = integer_of<std::int64_t>(saved.at("batch"), kOperation)};
  if (position.epoch < 0 || position.epoch > kMostEpochs || position.batch < 0 ||
      position.batch > run.training_batches() ||
      (position.pass == Mode::evaluation && position.batch != 0)) {
    refuse(ErrorKind::data, describe(position) + " is no position of a run with " +
                                std::to_string(run.training_batches()) + " batches an epoch");
  }
  return position;
}

}  // namespace

std::int64_t step_at(const Position& position, std::int64_t batches) {
  return position.pass == Mode::evaluation ? (position.epoch + 1) * batches
                                           : position.epoch * batches + position.batch;
}

std::string describe(const Position& position) {
  const std::string epoch = "epoch " + std::to_string(position.epoch);
  if (position.pass == Mode::evaluation) return epoch + ", before its evaluation";
  return epoch + ", batch " + std::to_string(position.batch);
}

void Snapshot::add(const std::string& name, const Tensor& tensor) {
  const torch::NoGradGuard no_grad;
  if (used_ == tensors_.size()) tensors_.emplace_back();
  auto& [held_name, held] = tensors_[used_++];
  held_name = name;
  if (!held.defined() || held.sizes() != tensor.sizes() ||
      held.scalar_type() != tensor.scalar_type()) {
    held = torch::empty(tensor.sizes(), torch::TensorOptions().dtype(tensor.scalar_type()));
  }
  held.copy_(tensor);
}

void Snapshot::take(const Run& run, const Position& position, const json& more) {
  used_ = 0;
  step_ = step_at(position, run.training_batches());
  for (const auto& [name, tensor] : named_state(*run.model)) add(kModel + name, tensor);
  for (const auto& [name, tensor] : run.optimizer->state()) add(kOptimizer + name, tensor);
  for (const auto& [name, parameter] : named_parameters(*run.model)) {
    if (parameter.grad().defined()) add(kGradient + name, parameter.grad());
  }
  json callbacks = json::object();
  for (const auto& [key, callback] : keyed(run.callbacks)) {
    callbacks[key] = callback->state_dict();
    for (const auto& [name, tensor] : callback->tensor_state())
      add("callback." + key + "." + name, tensor);
  }
  for (const at::Device& device : generator_devices(run))
    add(generator_key(device), generator_state(device));
  tensors_.resize(used_);

  about_ = {
      {"format", kCheckpointFormat},
      {"fatwood", kVersion},
      {"position",
       {{"epoch", position.epoch}, {"pass", name_of(position.pass)}, {"batch", position.batch}}},
      {"step", step_},
      {"run",
       {{"model", run.name},
        {"epochs", run.epochs},
        {"batches", run.training_batches()},
        {"samples", run.loaders.train ? run.loaders.train->samples() : 0},
        {"batch_size", run.loaders.train ? run.loaders.train->batch_size() : 0},
        {"seed", run.seed}}},
      {"optimizer",
       {{"kind", run.optimizer->kind()}, {"groups", to_json(run.optimizer->groups())}}},
      {"callbacks", std::move(callbacks)}};
  if (more.is_object()) about_.update(more);
}

std::vector<TensorView> Snapshot::views() const {
  std::vector<TensorView> views;
  views.reserve(tensors_.size());
  for (const auto& [name, tensor] : tensors_) views.push_back(view_of(name, tensor));
  return views;
}

std::uint64_t Snapshot::bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) bytes += tensor.nbytes();
  return bytes;
}

std::string Snapshot::first_not_finite() const {
  for (const auto& [name, tensor] : tensors_) {
    if (!name.starts_with(kModel) || !tensor.is_floating_point()) continue;
    if (tensor.scalar_type() != torch::kFloat) {
      if (!tensor.isfinite().all().item<bool>()) return name;
      continue;
    }
    // On one thread: LibTorch's operator would start another set of them beside training's.
    const float* values = tensor.const_data_ptr<float>();
    if (!std::all_of(values, values + tensor.numel(), [](float v) { return std::isfinite(v); }))
      return name;
  }
  return "";
}

Position restore(const CheckpointFile& file, Learner& learner, const Callbacks& extra) {
  Run& run = learner.run();
  try {
    const json& saved = file.about.at("run");
    check_number(saved, "batches", run.training_batches());
    check_number(saved, "samples", run.loaders.train->samples());
    check_number(saved, "batch_size", run.loaders.train->batch_size());
    if (const auto seed = integer_of<std::uint64_t>(saved.at("seed"), kOperation);
        seed != run.seed) {
      refuse(ErrorKind::usage, "seed " + std::to_string(run.seed) + ", the checkpoint's run had " +
                                   std::to_string(seed));
    }
    const Position position = position_of(file.about, run);

    load_state(*run.model, tensors_under(file, kModel), "checkpoint");
    run.model->to(run.device);  // the optimiser's state follows its parameters
    const json& optimizer = file.about.at("optimizer");
    if (const auto kind = optimizer.at("kind").get<std::string>(); kind != run.optimizer->kind()) {
      refuse(ErrorKind::usage,
             "optimiser " + run.optimizer->kind() + ", the checkpoint's run had " + kind);
    }
    load_groups(optimizer.at("groups"), run.optimizer->groups());
    run.optimizer->load_state(tensors_under(file, kOptimizer));
    load_gradients(tensors_under(file, kGradient), run);
    Callbacks callbacks = learner.callbacks();
    callbacks.insert(callbacks.end(), extra.begin(), extra.end());
    std::stable_sort(
        callbacks.begin(), callbacks.end(),
        [](const CallbackPtr& a, const CallbackPtr& b) { return a->stage() < b->stage(); });
    load_callbacks(file, callbacks);
    for (const at::Device& device : generator_devices(run)) {
      if (const TensorView* state = file.tensors.find(generator_key(device)))
        set_generator_state(device, tensor_of(*state));
    }
    learner.start_at(position.epoch, position.batch, position.pass);
    return position;
  } catch (const nlohmann::json::exception& error) {
    refuse(ErrorKind::data,
           std::string("what the checkpoint says of itself does not fit: ") + error.what());
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    if (std::string_view(error.what()).find("DefaultCPUAllocator") != std::string_view::npos) throw;
    refuse(ErrorKind::data, std::string("a tensor of the checkpoint does not fit: ") +
                                error.what_without_backtrace());
  }
}

}  // namespace fatwood
