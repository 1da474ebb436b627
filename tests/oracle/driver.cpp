// oracle_driver REQUEST: does what the JSON object REQUEST asks through the library's public
// headers and writes the outcome as a safetensors file, for tests in Python to compare with torch,
// timm and torchmetrics. Inputs come from the file REQUEST["in"], results go to REQUEST["out"].
// Commands: init, pass, fit, schedule, metric.
#include <iostream>
#include <string_view>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/state.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/schedule.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/seed.h>
#include <fatwood/train/weights.h>

namespace fatwood {
namespace {

using nlohmann::json;

// Tensors whose name starts with `prefix`, without it.
NamedTensors under(const NamedTensors& tensors, std::string_view prefix) {
  NamedTensors found;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) found.emplace_back(name.substr(prefix.size()), tensor);
  }
  return found;
}

void append(NamedTensors& to, const std::string& prefix, const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors)
    to.emplace_back(prefix + name, tensor.detach().clone());
}

const Tensor& at(const NamedTensors& tensors, std::string_view name) {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return tensor;
  }
  throw Error(ErrorKind::usage, "oracle_driver", std::string(name) + " is missing");
}

// Images as `image_batches` lays them out.
Tensor channels_last(const Tensor& x) {
  const std::int64_t c = x.size(1), h = x.size(2), w = x.size(3);
  return torch::empty_strided(x.sizes(), {c * h * w, 1, w * c, c}, x.options()).copy_(x);
}

LayerPtr make_model(const json& request) {
  ModelOptions options;
  if (request.contains("nfs")) options.nfs = request["nfs"].get<std::vector<std::int64_t>>();
  return build_model(request.at("model").get<std::string>(), options);
}

LayerPtr load_model(const json& request, const NamedTensors& in) {
  const LayerPtr model = make_model(request);
  if (request.contains("weights")) {
    load_weights(*model, request["weights"].get<std::string>());
  } else {
    load_state(*model, under(in, "model."), "request");
  }
  return model;
}

OptimizerPtr make_optimizer(const json& request, const torch::nn::Module& model) {
  const json& options = request.at("optimizer");
  if (options.at("kind") == "sgd") {
    return sgd(model, {.lr = options.at("lr"),
                       .momentum = options.value("momentum", SGDOptions{}.momentum),
                       .nesterov = options.value("nesterov", SGDOptions{}.nesterov),
                       .weight_decay = options.value("weight_decay", SGDOptions{}.weight_decay),
                       .decay_all = options.value("decay_all", true)});
  }
  return adamw(model, {.lr = options.at("lr"),
                       .beta1 = options.value("beta1", AdamWOptions{}.beta1),
                       .weight_decay = options.value("weight_decay", AdamWOptions{}.weight_decay),
                       .decay_all = options.value("decay_all", true)});
}

SchedulePtr make_schedule(const json& s) {
  const auto kind = s.at("kind").get<std::string>();
  if (kind == "one_cycle") {
    const OneCycleOptions usual;
    return one_cycle({.total_steps = s.at("total_steps"),
                      .pct_start = s.value("pct_start", usual.pct_start),
                      .div_factor = s.value("div_factor", usual.div_factor),
                      .final_div_factor = s.value("final_div_factor", usual.final_div_factor),
                      .base_momentum = s.value("base_momentum", usual.base_momentum),
                      .max_momentum = s.value("max_momentum", usual.max_momentum),
                      .anneal = s.value("linear", false) ? Anneal::linear : Anneal::cosine});
  }
  if (kind == "cosine") return cosine(s.at("t_max"), s.value("eta_min", 0.0));
  if (kind == "linear") {
    return linear(s.at("total_steps"), s.value("start_factor", 1.0 / 3),
                  s.value("end_factor", 1.0));
  }
  if (kind == "exponential") return exponential(s.at("gamma"));
  if (kind == "step") return step_decay(s.at("step_size"), s.value("gamma", 0.1));
  if (kind == "constant") return constant();
  if (kind == "sequence") {
    std::vector<SchedulePtr> parts;
    for (const json& part : s.at("parts")) parts.push_back(make_schedule(part));
    return sequence(std::move(parts), s.at("milestones").get<std::vector<std::int64_t>>());
  }
  throw Error(ErrorKind::usage, "oracle_driver", "schedule \"" + kind + "\" is unknown");
}

// Keeps what a fit's last batch went through; gradients as the optimiser sees them.
class LastBatch : public Callback {
 public:
  std::string name() const override { return "last_batch"; }
  void after_backward(Run& run) override {
    seen.clear();
    seen.emplace_back("logits", run.predictions.detach().clone());
    seen.emplace_back("loss", run.loss.detach().clone());
    append_gradients(*run.model, seen);
  }
  static void append_gradients(const torch::nn::Module& model, NamedTensors& to) {
    for (const auto& [name, parameter] : named_parameters(model)) {
      if (parameter.grad().defined()) to.emplace_back("grad." + name, parameter.grad().clone());
    }
  }
  NamedTensors seen;
};

// A network's state as built and initialised.
NamedTensors init(const json& request, const NamedTensors&) {
  set_seed(request.at("seed"));
  return named_state(*make_model(request));
}

// Forward and backward pass of one batch, without the loop: model.*, x, y → logits, loss, grad.*,
// and model.* after it.
NamedTensors pass(const json& request, const NamedTensors& in) {
  const LayerPtr model = load_model(request, in);
  model->train(request.at("training"));
  const Tensor logits = model->forward(channels_last(at(in, "x")));
  const Tensor loss = torch::cross_entropy_loss(logits, at(in, "y"));
  loss.backward();
  NamedTensors out{{"logits", logits}, {"loss", loss}};
  LastBatch::append_gradients(*model, out);
  append(out, "model.", named_state(*model));
  return out;
}

// The Learner's loop over x, y in order: model.*, optimizer.*, x, y → of the last batch logits,
// loss, grad.*; of every batch losses, lr, momentum; and model.*, optimizer.* after it.
NamedTensors fit(const json& request, const NamedTensors& in) {
  const LayerPtr model = load_model(request, in);
  const OptimizerPtr optimizer = make_optimizer(request, *model);
  if (const NamedTensors state = under(in, "optimizer."); !state.empty())
    optimizer->load_state(state);
  const auto last = std::make_shared<LastBatch>();
  const auto recorder = std::make_shared<Recorder>();
  Callbacks callbacks{last, recorder};
  if (request.contains("schedule"))
    callbacks.push_back(std::make_shared<Scheduling>(make_schedule(request["schedule"])));
  Learner learner({.model = model,
                   .loaders = {.train = tensor_batches(channels_last(at(in, "x")), at(in, "y"),
                                                       {.batch_size = request.at("batch_size")})},
                   .optimizer = optimizer,
                   .callbacks = callbacks});
  learner.fit(1);
  NamedTensors out = last->seen;
  std::vector<double> losses, rates, momenta;
  for (const BatchRow& row : recorder->batches()) {
    losses.push_back(row.loss);
    rates.push_back(row.lr);
    momenta.push_back(row.momentum);
  }
  out.emplace_back("losses", torch::tensor(losses, torch::kDouble));
  out.emplace_back("lr", torch::tensor(rates, torch::kDouble));
  out.emplace_back("momentum", torch::tensor(momenta, torch::kDouble));
  append(out, "model.", named_state(*model));
  append(out, "optimizer.", optimizer->state());
  return out;
}

// Every schedule's values for steps 0 … steps − 1: "0.lr", and "0.momentum" where it has one.
NamedTensors schedule(const json& request, const NamedTensors&) {
  NamedTensors out;
  for (const json& wanted : request.at("schedules")) {
    const SchedulePtr schedule = make_schedule(wanted);
    std::vector<double> rates, momenta;
    for (std::int64_t step = 0; step < wanted.at("steps").get<std::int64_t>(); ++step) {
      rates.push_back(schedule->lr(step, request.at("base_lr")));
      if (const auto momentum = schedule->momentum(step)) momenta.push_back(*momentum);
    }
    const std::string name = wanted.at("name");
    out.emplace_back(name + ".lr", torch::tensor(rates, torch::kDouble));
    if (!momenta.empty())
      out.emplace_back(name + ".momentum", torch::tensor(momenta, torch::kDouble));
  }
  return out;
}

// Every metric over logits, labels in batches: a scalar each, under its column's name.
NamedTensors metric(const json& request, const NamedTensors& in) {
  const Tensor& logits = at(in, "logits");
  const Tensor& labels = at(in, "labels");
  std::vector<MetricPtr> metrics{accuracy(logits.size(1)), accuracy(logits.size(1), Average::micro),
                                 mean_loss()};
  for (const std::int64_t k : request.at("k")) metrics.push_back(top_k(k));
  const BatchSourcePtr batches =
      tensor_batches(logits, labels, {.batch_size = request.at("batch_size")});
  for (std::int64_t i = 0; i < batches->batches(); ++i) {
    const Batch batch = batches->get(0, i);
    const double loss = torch::cross_entropy_loss(batch.x, batch.y).item<double>();
    for (const MetricPtr& metric : metrics) metric->update(batch.x, batch.y, loss);
  }
  NamedTensors out;
  for (const MetricPtr& metric : metrics)
    out.emplace_back(metric->info().name, torch::tensor(metric->value(), torch::kDouble));
  return out;
}

void answer(const json& request) {
  torch::set_num_threads(request.value("threads", 2));
  const NamedTensors in =
      request.contains("in") ? load_tensors(request["in"].get<std::string>()) : NamedTensors{};
  const std::map<std::string_view, NamedTensors (*)(const json&, const NamedTensors&)> commands{
      {"init", init}, {"pass", pass}, {"fit", fit}, {"schedule", schedule}, {"metric", metric}};
  const auto command = request.at("command").get<std::string>();
  const auto found = commands.find(command);
  if (found == commands.end())
    throw Error(ErrorKind::usage, "oracle_driver", "command \"" + command + "\" is unknown");
  save_tensors(found->second(request, in), request.at("out").get<std::string>());
}

}  // namespace
}  // namespace fatwood

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: oracle_driver REQUEST\n";
    return static_cast<int>(fatwood::ErrorKind::usage);
  }
  try {
    fatwood::answer(nlohmann::json::parse(argv[1]));
  } catch (const fatwood::Error& error) {
    std::cerr << error.what() << '\n';
    return error.exit_code();
  } catch (const std::exception& error) {
    std::cerr << "oracle_driver: " << error.what() << '\n';
    return 1;
  }
}
