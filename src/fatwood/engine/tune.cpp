#include <algorithm>
#include <chrono>

#include <fatwood/core/machine.h>
#include <fatwood/engine/engine.h>
#include <fatwood/engine/layer_inputs.h>
#include <fatwood/engine/translate.h>
#include <fatwood/engine/tune.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>
#include <fatwood/model/threads.h>

namespace fatwood {
namespace {

constexpr int kWarmUps = 2;
constexpr std::size_t kLeastTurns = 5;
constexpr std::size_t kMostTurns = 2000;  // of layers that take microseconds

using Clock = std::chrono::steady_clock;

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// One way to run something, and how long its turns took.
class Way {
 public:
  Way(LayerPtr layer, Tensor x) : layer_(std::move(layer)), x_(std::move(x)) { layer_->train(); }

  void turn() {
    const torch::AutoGradMode with_gradients(true);
    for (Tensor& parameter : layer_->parameters()) parameter.mutable_grad().reset();
    if (x_.requires_grad()) x_.mutable_grad().reset();
    const auto begin = Clock::now();
    const Tensor out = layer_->forward(x_);
    Clock::duration taken = Clock::now() - begin;
    // A frozen layer that no gradient passes through has a forward pass alone.
    if (out.requires_grad()) {
      if (!gradient_.defined()) gradient_ = torch::randn_like(out);
      const auto again = Clock::now();
      out.backward(gradient_);
      taken += Clock::now() - again;
    }
    ms_.push_back(std::chrono::duration<double, std::milli>(taken).count());
  }

  void forget() { ms_.clear(); }
  std::size_t turns() const { return ms_.size(); }
  double median() const { return median_of(ms_); }

 private:
  LayerPtr layer_;
  Tensor x_, gradient_;
  std::vector<double> ms_;
};

/// Turn by turn, so that what slows the machine down slows both. False when stopped.
bool alternate(Way& a, Way& b, const TuneOptions& options) {
  for (int i = 0; i < kWarmUps; ++i) {
    for (Way* way : {&a, &b}) {
      if (options.stop.stop_requested()) return false;
      way->turn();
    }
  }
  a.forget();
  b.forget();
  const auto begin = Clock::now();
  while (a.turns() < kMostTurns) {
    for (Way* way : {&a, &b}) {
      if (options.stop.stop_requested()) return false;
      way->turn();
    }
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - begin).count();
    if (a.turns() >= kLeastTurns && elapsed_s >= options.seconds) break;
  }
  return true;
}

LayerPtr copy_of(const Layer& layer) {
  return std::static_pointer_cast<Layer>(layer.clone());
}

// With strides that say so where there is one channel, too: contiguous() would leave those that
// send LibTorch's operators the slower way.
Tensor channels_last(const Tensor& x) {
  const std::int64_t c = x.size(1), h = x.size(2), w = x.size(3);
  return torch::empty_strided(x.sizes(), {c * h * w, 1, w * c, c}, x.options()).copy_(x);
}

/// A layer to be measured.
struct Distinct {
  TunedLayer row;
  LayerPtr layer;
  std::vector<std::int64_t> input;
  bool input_gradient = false;
};

/// The layers by key; those that the kernels do not know go to result.left_out.
std::vector<Distinct> distinct_layers(Layer& model, const Tensor& batch, const TuneOptions& options,
                                      TuneResult& result) {
  const int threads = torch_threads().threads();
  const std::string cpu = this_machine().cpu;
  std::vector<Distinct> found;
  for (const auto& [name, layer, input, first] : layers_with_inputs(model, batch)) {
    std::string reason;
    const auto translated = translate(*layer, reason);
    if (!translated || input.size() != 4) {
      result.left_out.emplace_back(name,
                                   translated ? "its input was not seen as (N, C, H, W)" : reason);
      continue;
    }
    const kernels::LayerSpec& spec = translated->spec;
    const kernels::TuningKey key = tuning_key(spec, image_of(input), input[0], options.isa, threads,
                                              precision_for(spec, options.precision));
    // The batch itself needs no gradient; what other layers make does.
    const bool input_gradient = !first;
    const auto same = std::find_if(found.begin(), found.end(), [&](const Distinct& other) {
      return other.row.entry.key == key;
    });
    if (same != found.end()) {
      same->row.names += ", " + name;
      same->input_gradient |= input_gradient;
      continue;
    }
    found.push_back({{name,
                      layer->kind(),
                      {.key = key, .cpu = cpu},
                      why_not_kernels(spec, input[0], options.isa, threads).empty()},
                     layer,
                     input,
                     input_gradient});
  }
  return found;
}

bool measure(Distinct& distinct, const TuneOptions& options) {
  const auto values = torch::randn(distinct.input, torch::kFloat);
  const auto input = [&](const Tensor& x) {
    return x.detach().set_requires_grad(distinct.input_gradient);
  };
  const auto alone = make<Sequential>({copy_of(*distinct.layer)});
  use_engine(*alone, Engine::fused, options.isa, KernelChoice::always, options.precision);
  Way ours(alone, input(values));
  Way theirs(copy_of(*distinct.layer), input(channels_last(values)));
  if (!alternate(ours, theirs, options)) return false;
  kernels::TuningEntry& entry = distinct.row.entry;
  entry.kernels_ms = ours.median();
  entry.torch_ms = theirs.median();
  entry.kernels = tuned_choice(distinct.row.built_in, entry.kernels_ms, entry.torch_ms);
  return true;
}

/// nullopt when stopped.
std::optional<TunedNetwork> compare_networks(const Layer& model, const Tensor& batch,
                                             const std::vector<TunedLayer>& layers,
                                             const TuneOptions& options) {
  const auto table = std::make_shared<kernels::TuningTable>();
  for (const TunedLayer& layer : layers) table->put(layer.entry);
  const auto way = [&](const TuningPtr& tuning) {
    const LayerPtr copy = copy_of(model);
    use_engine(*copy, Engine::fused, options.isa, KernelChoice::table, options.precision, tuning);
    return Way(copy, batch);
  };
  Way built_in = way(nullptr), tuned = way(table);
  if (!alternate(built_in, tuned, options)) return std::nullopt;
  return TunedNetwork{built_in.median(), tuned.median()};
}

}  // namespace

bool tuned_choice(bool built_in, double kernels_ms, double torch_ms) {
  const double built_in_ms = built_in ? kernels_ms : torch_ms;
  const double other_ms = built_in ? torch_ms : kernels_ms;
  return built_in_ms >= kTuningHysteresis * other_ms ? !built_in : built_in;
}

bool TuneResult::changes() const {
  return std::any_of(layers.begin(), layers.end(),
                     [](const TunedLayer& layer) { return layer.entry.kernels != layer.built_in; });
}

TuneResult tune_layers(Layer& model, const Tensor& batch, const TuneOptions& options) {
  copy_of(model);  // so that a model that compare_networks cannot copy is refused before the work
  TuneResult result;
  for (Distinct& distinct : distinct_layers(model, batch, options, result)) {
    if (!measure(distinct, options)) {
      result.interrupted = true;
      return result;
    }
    result.layers.push_back(std::move(distinct.row));
  }
  if (!result.changes()) return result;
  result.network = compare_networks(model, batch, result.layers, options);
  if (!result.network) {
    result.interrupted = true;
  } else if (!(result.network->tuned_ms < result.network->built_in_ms)) {
    // A layer alone also pays for what it shares with its neighbours: turning its input and output.
    for (TunedLayer& layer : result.layers) layer.entry.kernels = layer.built_in;
  }
  return result;
}

}  // namespace fatwood
