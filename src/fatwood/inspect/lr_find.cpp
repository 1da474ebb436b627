#include <algorithm>
#include <cmath>
#include <sstream>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/inspect/lr_find.h>
#include <fatwood/inspect/model_snapshot.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/stopping.h>

namespace fatwood {
namespace {

constexpr double kLeastFall = 0.05;  // of the first smoothed loss, for a suggestion
constexpr double kMostSteps = 100'000;

std::string text_of(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

// How many batches the range takes.
std::int64_t planned_steps(const LrFindOptions& options) {
  const auto want = [](const char* name, double value, bool holds, const std::string& wanted) {
    if (!holds) {
      throw Error(ErrorKind::usage, "lr_find",
                  std::string(name) + " " + text_of(value) + ", wanted " + wanted);
    }
  };
  const auto finite_above = [](double value, double low) {
    return std::isfinite(value) && value > low;
  };
  want("start_lr", options.start_lr, finite_above(options.start_lr, 0), "a finite number above 0");
  want("end_lr", options.end_lr, finite_above(options.end_lr, options.start_lr),
       "a finite number above start_lr, " + text_of(options.start_lr));
  want("factor", options.factor, finite_above(options.factor, 1), "a finite number above 1");
  want("stop_at", options.stop_at, finite_above(options.stop_at, 1), "a finite number above 1");
  // Room for rounding: a range of exactly n factors has n + 1 points.
  const double steps =
      std::floor(std::log(options.end_lr / options.start_lr) / std::log(options.factor) + 1e-9) + 1;
  want("factor", options.factor, steps <= kMostSteps,
       "one that passes the range in " + std::to_string(static_cast<int>(kMostSteps)) + " batches");
  return static_cast<std::int64_t>(steps);
}

// Sets each batch's rate, gathers the losses, and ends the fit. In the data stage, so that it sees
// a loss before anything in the train stage can end the fit for it.
class Sweep : public Callback {
 public:
  Sweep(const LrFindOptions& options, std::int64_t steps, LrFindResult& result)
      : options_(options), steps_(steps), result_(result) {}

  std::string name() const override { return "lr_find"; }
  Stage stage() const override { return Stage::data; }

  void before_batch(Run& run) override {
    lr_ = options_.start_lr * std::pow(options_.factor, static_cast<double>(run.step));
    for (ParamGroup& group : run.optimizer->groups()) group.lr = lr_;
  }

  void after_loss(Run& run) override {
    const double loss = run.loss_value();
    result_.lr.push_back(lr_);
    result_.loss.push_back(loss);
    if (options_.watch) options_.watch(run.step, steps_, lr_, loss);
    if (!std::isfinite(loss)) {
      run.cancel(Scope::fit, "the loss is not finite at learning rate " + text_of(lr_));
      return;
    }
    lowest_ = std::min(lowest_, loss);
    if (lowest_ > 0 && loss > options_.stop_at * lowest_) {
      run.cancel(Scope::fit, "the loss is " + text_of(loss) + " at learning rate " + text_of(lr_) +
                                 ", more than " + text_of(options_.stop_at) +
                                 " times its lowest, " + text_of(lowest_));
    } else if (run.step + 1 == steps_) {
      run.cancel(Scope::fit, "the range of learning rates is at its end");
    }
  }

 private:
  const LrFindOptions& options_;
  std::int64_t steps_;
  LrFindResult& result_;
  double lr_ = 0;
  double lowest_ = INFINITY;
};

// What a sweep changes in an optimiser.
class OptimizerSnapshot {
 public:
  explicit OptimizerSnapshot(Optimizer& optimizer) : optimizer_(optimizer) {
    for (const auto& [name, tensor] : optimizer.state())
      state_.emplace_back(name, tensor.detach().clone());
    for (ParamGroup group : optimizer.groups()) {
      group.parameters.clear();
      groups_.push_back(std::move(group));
    }
  }
  void restore() const {
    optimizer_.load_state(state_);
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      ParamGroup& group = optimizer_.groups()[i];
      group.lr = groups_[i].lr;
      group.base_lr = groups_[i].base_lr;
      group.momentum = groups_[i].momentum;
      group.weight_decay = groups_[i].weight_decay;
    }
  }

 private:
  Optimizer& optimizer_;
  NamedTensors state_;
  std::vector<ParamGroup> groups_;
};

Callbacks callbacks_of_a_step(const Learner& learner) {
  Callbacks chosen;
  for (const CallbackPtr& callback : learner.callbacks()) {
    if (callback->stage() < Stage::place || callback->stage() > Stage::train) continue;
    // An average of the sweep's weights would stay behind.
    if (dynamic_cast<const AveragedWeights*>(callback.get()) == nullptr) chosen.push_back(callback);
  }
  return chosen;
}

// Points with finite losses, smoothed.
struct Smooth {
  std::vector<double> lr, loss;
};
Smooth smoothed(std::span<const double> lr, std::span<const double> loss) {
  Smooth points;
  std::vector<double> finite;
  for (std::size_t i = 0; i < std::min(lr.size(), loss.size()); ++i) {
    if (!std::isfinite(loss[i])) continue;
    points.lr.push_back(lr[i]);
    finite.push_back(loss[i]);
  }
  const auto n = static_cast<std::ptrdiff_t>(finite.size());
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    double sum = 0, weights = 0;
    for (std::ptrdiff_t j = std::max<std::ptrdiff_t>(i - 2, 0); j < std::min(i + 3, n); ++j) {
      const auto weight = static_cast<double>(3 - std::abs(j - i));
      sum += weight * finite[static_cast<std::size_t>(j)];
      weights += weight;
    }
    points.loss.push_back(sum / weights);
  }
  return points;
}

std::size_t lowest_of(const Smooth& points) {
  return static_cast<std::size_t>(std::min_element(points.loss.begin(), points.loss.end()) -
                                  points.loss.begin());
}

bool falls(const Smooth& points) {
  if (points.loss.empty()) return false;
  const double first = points.loss.front();
  return first - points.loss[lowest_of(points)] > kLeastFall * std::abs(first);
}

}  // namespace

std::optional<double> steepest_lr(std::span<const double> lr, std::span<const double> loss) {
  const Smooth points = smoothed(lr, loss);
  if (!falls(points)) return std::nullopt;
  std::size_t best = 0;
  double steepest = INFINITY;
  for (std::size_t i = 0; i < lowest_of(points); ++i) {
    const double slope = (points.loss[i + 1] - points.loss[i]) /
                         (std::log(points.lr[i + 1]) - std::log(points.lr[i]));
    if (slope >= steepest) continue;
    steepest = slope;
    best = i;
  }
  return points.lr[best];
}

std::optional<double> valley_lr(std::span<const double> lr, std::span<const double> loss) {
  const Smooth points = smoothed(lr, loss);
  if (!falls(points)) return std::nullopt;
  // length[i]: of the longest falling subsequence that ends at i.
  std::vector<std::ptrdiff_t> length(points.loss.size(), 1);
  std::size_t end = 0;
  for (std::size_t i = 1; i < length.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (points.loss[i] < points.loss[j]) length[i] = std::max(length[i], length[j] + 1);
    }
    if (length[i] > length[end]) end = i;
  }
  const std::ptrdiff_t n = length[end];
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(end) - n + n / 3 + n / 6;
  return points.lr[static_cast<std::size_t>(std::max<std::ptrdiff_t>(at, 0))];
}

void check(const LrFindOptions& options) {
  planned_steps(options);
}

LrFindResult lr_find(Learner& learner, const LrFindOptions& options) {
  const std::int64_t steps = planned_steps(options);
  Run& run = learner.run();
  LrFindResult result;
  Callbacks callbacks = callbacks_of_a_step(learner);
  callbacks.push_back(std::make_shared<Sweep>(options, steps, result));
  callbacks.push_back(std::make_shared<StopOnRequest>(options.stop, "the sweep was interrupted"));

  const ModelSnapshot model(*run.model);
  const OptimizerSnapshot optimizer(*run.optimizer);
  const auto restore = [&] {
    model.restore();
    optimizer.restore();
  };
  try {
    Learner sweeper({.model = run.model,
                     .loaders = {.train = run.loaders.train},
                     .optimizer = run.optimizer,
                     .loss_function = run.loss_function,
                     .callbacks = std::move(callbacks),
                     .device = run.device,
                     .seed = run.seed,
                     .name = run.name});
    sweeper.run().parts = run.parts;
    model.drop_gradients();
    const std::int64_t batches = run.training_batches();
    const FitResult fit = sweeper.fit((steps + batches - 1) / batches);
    result.ended = fit.reason;
    result.interrupted = fit.status == "interrupted";
  } catch (...) {
    restore();
    throw;
  }
  restore();
  if (result.loss.size() == 1 && !std::isfinite(result.loss.front())) {
    throw Error(ErrorKind::diverged, "lr_find",
                "the first batch: its loss is " + text_of(result.loss.front()) +
                    ", wanted a finite number before anything is trained");
  }
  result.steepest = steepest_lr(result.lr, result.loss);
  result.valley = valley_lr(result.lr, result.loss);
  return result;
}

nlohmann::json to_json(const LrFindResult& found) {
  nlohmann::json suggestions = nlohmann::json::object();
  if (found.steepest) suggestions["steepest"] = *found.steepest;
  if (found.valley) suggestions["valley"] = *found.valley;
  return {
      {"lr", found.lr}, {"loss", found.loss}, {"suggestions", suggestions}, {"ended", found.ended}};
}

}  // namespace fatwood
