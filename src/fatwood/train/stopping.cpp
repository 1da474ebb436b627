#include <algorithm>
#include <cmath>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/text.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/stopping.h>

namespace fatwood {
namespace {

/// The name of the first parameter of which `part` holds a number that is not finite; "" for none.
template <class Part>
std::string first_not_finite(const Optimizer& optimizer, const Part& part) {
  for (const ParamGroup& group : optimizer.groups()) {
    for (const auto& [name, parameter] : group.parameters) {
      const Tensor tensor = part(parameter);
      if (tensor.defined() && !tensor.isfinite().all().template item<bool>()) return name;
    }
  }
  return "";
}

}  // namespace

void StopOnRequest::after_batch(Run& run) {
  if (stop_.stop_requested()) run.cancel(Scope::fit, reason_, "interrupted");
}

void StopOnDivergence::after_loss(Run& run) {
  if (run.evaluation_only || std::isfinite(run.loss_value())) return;
  run.cancel(Scope::fit,
             std::string(run.training() ? "loss" : "evaluation loss") + " is " +
                 std::to_string(run.loss_value()) + " at step " + std::to_string(run.step) +
                 ", wanted a finite number: a lower learning rate may help",
             "diverged");
}

void StopOnDivergence::after_backward(Run& run) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> grads;
  for (const ParamGroup& group : run.optimizer->groups()) {
    for (const auto& [name, parameter] : group.parameters) {
      if (parameter.grad().defined()) grads.push_back(parameter.grad());
    }
  }
  if (grads.empty()) return;
  // A sum of norms is finite exactly when every entry is, short of overflow.
  const double total = run.measured
                           ? run.measured().gradient_norms
                           : torch::stack(torch::_foreach_norm(grads)).sum().item<double>();
  if (std::isfinite(total)) return;
  const std::string culprit =
      first_not_finite(*run.optimizer, [](const Tensor& parameter) { return parameter.grad(); });
  run.cancel(Scope::fit,
             "gradients are not finite at step " + std::to_string(run.step) +
                 (culprit.empty() ? ", their norm overflows" : ", first in " + culprit),
             "diverged");
}

void StopOnDivergence::after_epoch(Run& run) {
  if (!run.training()) return;
  const torch::NoGradGuard no_grad;
  const std::string culprit =
      first_not_finite(*run.optimizer, [](const Tensor& parameter) { return parameter; });
  if (culprit.empty()) return;
  run.cancel(Scope::fit,
             "weights are not finite at step " + std::to_string(run.step) + ", first in " +
                 culprit + ": a lower learning rate may help",
             "diverged");
}

EarlyStopping::EarlyStopping(Options options) : options_(std::move(options)) {
  if (options_.patience < 0) {
    throw Error(ErrorKind::usage, "EarlyStopping",
                "patience " + std::to_string(options_.patience) + ", wanted 0 or more");
  }
}

void EarlyStopping::before_fit(Run& run) {
  if (run.evaluation_only) return;
  if (std::exchange(resumed_, false)) return;
  best_.reset();
  without_ = 0;
}

void EarlyStopping::after_epoch(Run& run) {
  if (run.training() || run.evaluation_only) return;
  const auto info =
      std::find_if(run.metrics.begin(), run.metrics.end(),
                   [this](const MetricInfo& metric) { return metric.name == options_.metric; });
  const auto found =
      std::find_if(run.epoch_metrics.begin(), run.epoch_metrics.end(),
                   [this](const auto& metric) { return metric.first == options_.metric; });
  if (info == run.metrics.end() || found == run.epoch_metrics.end()) {
    throw Error(ErrorKind::usage, "EarlyStopping",
                "metric \"" + options_.metric + "\" is not one of the run's");
  }
  const double sign = info->higher_is_better ? 1 : -1;
  const double value = found->second;
  // A value that is not finite improves on nothing.
  if (std::isfinite(value) && (!best_ || sign * (value - *best_) > options_.min_delta)) {
    best_ = value;
    without_ = 0;
  } else if (++without_ > options_.patience && run.epoch + 1 < run.epochs) {
    // Behind the last epoch there is nothing to stop: the fit is complete.
    run.cancel(Scope::fit, options_.metric + " has not improved" +
                               (best_ ? " on " + fixed(*best_, 4) : "") + " for " +
                               std::to_string(without_) + " evaluations");
  }
}

nlohmann::json EarlyStopping::state_dict() const {
  nlohmann::json state{{"without", without_}};
  if (best_) state["best"] = *best_;
  return state;
}

void EarlyStopping::load_state_dict(const nlohmann::json& state) {
  without_ = integer_of<std::int64_t>(state.at("without"), "restore");
  best_.reset();
  if (state.contains("best")) best_ = state["best"].get<double>();
  resumed_ = true;
}

}  // namespace fatwood
