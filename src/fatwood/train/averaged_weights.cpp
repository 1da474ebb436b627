#include <algorithm>

#include <fatwood/core/error.h>
#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/averaged_weights.h>

namespace fatwood {

AveragedWeights::AveragedWeights(const Options& options) : options_(options) {
  if (!(options.decay >= 0 && options.decay < 1)) {
    throw Error(ErrorKind::usage, "AveragedWeights",
                "decay " + std::to_string(options.decay) + ", wanted 0 or more and below 1");
  }
}

void AveragedWeights::before_fit(Run& run) {
  if (run.evaluation_only) {
    serves_ = !adopted_ && fits(run);
    return;
  }
  serves_ = true;
  adopted_ = false;
  const torch::NoGradGuard no_grad;
  const NamedTensors loaded = std::exchange(average_, {});
  const bool resumed = std::exchange(resumed_, false);
  for (const auto& [name, tensor] : named_state(*run.model)) {
    Tensor average = tensor.detach().clone();
    if (resumed) {
      const std::size_t i = average_.size();
      if (i >= loaded.size() || loaded[i].first != name ||
          loaded[i].second.sizes() != average.sizes()) {
        throw Error(ErrorKind::model, "AveragedWeights",
                    "the loaded average does not fit the model: " + name +
                        " is missing or is not " + shape_text(average.sizes()));
      }
      average.copy_(loaded[i].second);
    }
    average_.emplace_back(name, std::move(average));
  }
}

void AveragedWeights::after_step(Run& run) {
  const torch::NoGradGuard no_grad;
  const NamedTensors now = named_state(*run.model);
  for (std::size_t i = 0; i < now.size(); ++i) {
    Tensor& average = average_[i].second;
    if (average.is_floating_point()) {
      average.lerp_(now[i].second, 1 - options_.decay);
    } else {
      average.copy_(now[i].second);
    }
  }
}

// Exchanges the values, so that parameters keep their identity and an optimiser its state.
void AveragedWeights::swap(Run& run) {
  const torch::NoGradGuard no_grad;
  NamedTensors now = named_state(*run.model);
  for (std::size_t i = 0; i < now.size(); ++i) {
    const Tensor held = now[i].second.detach().clone();
    now[i].second.copy_(average_[i].second);
    average_[i].second.copy_(held);
  }
}

bool AveragedWeights::fits(const Run& run) const {
  const NamedTensors now = named_state(*run.model);
  return std::equal(now.begin(), now.end(), average_.begin(), average_.end(),
                    [](const auto& one, const auto& other) {
                      return one.first == other.first && one.second.sizes() == other.second.sizes();
                    });
}

void AveragedWeights::before_epoch(Run& run) {
  if (!run.training() && serves_) swap(run);
}

void AveragedWeights::cleanup_epoch(Run& run) {
  if (!run.training() && serves_) swap(run);
}

void AveragedWeights::adopt(Run& run) {
  if (!options_.adopt_at_end || adopted_ || run.evaluation_only) return;
  swap(run);
  adopted_ = true;
}

void AveragedWeights::after_fit(Run& run) {
  adopt(run);
}

void AveragedWeights::cleanup_fit(Run& run) {
  if (!run.failed() && run.cancelled() && run.cancelled()->status == "cancelled") adopt(run);
}

void AveragedWeights::load_tensor_state(const NamedTensors& state) {
  average_ = state;
  resumed_ = !state.empty();
  adopted_ = false;
}

}  // namespace fatwood
