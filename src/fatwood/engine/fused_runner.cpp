#include <algorithm>
#include <span>

#include <ATen/autocast_mode.h>

#include <fatwood/engine/fused_runner.h>
#include <fatwood/engine/fused_stretch.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/threads.h>

namespace fatwood {
namespace {

// Of one stretch: full and short batches of training, of evaluation, and of evaluation that is
// watched now and then; one to spare.
constexpr int kMostPlans = 7;

bool takes_fused(const Tensor& x) {
  return x.dim() == 4 && x.numel() > 0 && x.scalar_type() == torch::kFloat && x.device().is_cpu() &&
         x.layout() == torch::kStrided && !at::autocast::is_autocast_enabled(at::kCPU);
}

/// What the layer's taps want of the coming pass, when it stands behind `before` in a stretch: each
/// time that it stands there moves its taps on.
std::optional<TapRequest> request_of(const LayerPtr& layer, std::span<const LayerPtr> before) {
  if (!layer->has_taps()) return std::nullopt;
  return layer->due_taps(layer->is_training() ? Mode::training : Mode::evaluation,
                         std::count(before.begin(), before.end(), layer));
}

/// Taps that want the tensors themselves are served where the tensors exist.
bool wants_tensors(const LayerPtr& layer, std::span<const LayerPtr> before) {
  const auto request = request_of(layer, before);
  return request && request->tensors;
}

std::vector<std::optional<TapRequest>> requests_of(std::span<const LayerPtr> layers) {
  std::vector<std::optional<TapRequest>> requests;
  requests.reserve(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    requests.push_back(request_of(layers[i], layers.first(i)));
  }
  return requests;
}

}  // namespace

FusedRunner::~FusedRunner() = default;

Tensor FusedRunner::run(Sequential& layers, const Tensor& input) {
  Tensor x = input;
  for (std::size_t i = 0; i < layers.size();) {
    std::vector<LayerPtr> known;
    std::vector<TranslatedLayer> translated;
    std::string reason;
    kernels::ImageShape image;  // of the next layer's input
    for (std::size_t j = i; j < layers.size() && takes_fused(x); ++j) {
      const LayerPtr& layer = layers[j];
      if (wants_tensors(layer, known)) break;
      if (!known.empty() && layer->is_training() != known.front()->is_training()) break;
      auto next = translate(*layer, reason);
      if (!next) break;
      if (known.empty()) image = image_of(x.sizes());
      if (choice_ == KernelChoice::table &&
          !choose(next->spec, image, x.size(0), isa_, torch_threads().threads(), precision_,
                  tuning_.get())
               .kernels) {
        break;
      }
      if (!known.empty() && precision_for(next->spec, precision_) !=
                                precision_for(translated.front().spec, precision_)) {
        break;
      }
      image = output_of(next->spec, image);
      known.push_back(layer);
      translated.push_back(std::move(*next));
      if (translated.back().flattens()) break;
    }
    if (known.empty()) {
      x = layers[i++]->forward(x);
    } else {
      x = run_known(known, translated, i, x);
      i += known.size();
    }
  }
  return x;
}

void FusedRunner::forget_oldest_plan(std::size_t first) {
  int plans = 0;
  for (auto plan = planned_.begin(); plan != planned_.end(); ++plan) {
    if ((*plan)->key().first == first && ++plans > kMostPlans) {
      planned_.erase(plan);
      return;
    }
  }
}

std::size_t FusedRunner::plans() const {
  const std::scoped_lock lock(*busy_);
  return planned_.size();
}

std::shared_ptr<FusedStretch> FusedRunner::plan_for(
    const StretchKey& key, const std::vector<TranslatedLayer>& translated) {
  const auto found = std::find_if(planned_.begin(), planned_.end(), [&](const auto& stretch) {
    return stretch->key() == key && stretch->fits(translated);
  });
  if (found == planned_.end()) {
    planned_.push_front(std::make_shared<FusedStretch>(key, translated, isa_, busy_));
    forget_oldest_plan(key.first);
  } else {
    planned_.splice(planned_.begin(), planned_, found);
  }
  return planned_.front();
}

Tensor FusedRunner::run_known(const std::vector<LayerPtr>& layers,
                              const std::vector<TranslatedLayer>& translated, std::size_t first,
                              const Tensor& input) {
  bool wants_gradient = input.requires_grad();
  for (const TranslatedLayer& layer : translated) {
    for (const Tensor& parameter : layer.parameters) wants_gradient |= parameter.requires_grad();
  }
  StretchKey key;
  key.first = first;
  key.layers = layers.size();
  key.input = input.sizes().vec();
  key.threads = torch_threads().threads();
  key.precision = precision_for(translated.front().spec, precision_);
  key.winograd = winograd_;
  key.differentiable = wants_gradient && torch::GradMode::is_enabled();
  key.input_gradient = key.differentiable && input.requires_grad();

  const auto requests = requests_of(layers);
  const bool watch = std::any_of(requests.begin(), requests.end(),
                                 [](const auto& request) { return request && request->moments; });
  key.keeps_values = key.differentiable || watch;
  const Tensor x = input.contiguous();
  std::vector<std::optional<ActivationStatistics>> statistics(layers.size());
  Tensor out;
  {
    // Nobody's code but the kernels' runs in here: a tap may run the model again.
    const std::scoped_lock lock(*busy_);
    const std::shared_ptr<FusedStretch> stretch = plan_for(key, translated);
    out = stretch->run(x, translated, layers.front()->is_training(), watch);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto& request = requests[i];
      if (request && request->moments) {
        statistics[i] = stretch->statistics(i, request->hist_period > 0);
      }
    }
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i]->has_taps()) layers[i]->serve_taps({}, {}, std::move(statistics[i]));
  }
  return out;
}

}  // namespace fatwood
