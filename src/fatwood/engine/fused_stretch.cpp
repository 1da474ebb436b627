#include <fatwood/core/error.h>
#include <fatwood/engine/fused_stretch.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/threads.h>

namespace fatwood {
namespace {

kernels::StretchOptions options_of(const StretchKey& key, kernels::Isa isa) {
  kernels::StretchOptions options;
  options.batch = static_cast<int>(key.input[0]);
  options.input = {static_cast<int>(key.input[1]), static_cast<int>(key.input[2]),
                   static_cast<int>(key.input[3])};
  options.threads = key.threads;
  options.isa = isa;
  options.input_gradient = key.input_gradient;
  options.precision = key.precision;
  options.winograd = key.winograd;
  return options;
}

std::vector<kernels::LayerSpec> specs_of(const std::vector<TranslatedLayer>& layers) {
  std::vector<kernels::LayerSpec> specs;
  specs.reserve(layers.size());
  for (const TranslatedLayer& layer : layers) specs.push_back(layer.spec);
  return specs;
}

std::vector<Tensor> parameters_of(const std::vector<TranslatedLayer>& layers) {
  std::vector<Tensor> all;
  for (const TranslatedLayer& layer : layers) {
    all.insert(all.end(), layer.parameters.begin(), layer.parameters.end());
  }
  return all;
}

/// Carries a stretch inside an autograd context.
struct StretchHolder : torch::CustomClassHolder {
  explicit StretchHolder(std::shared_ptr<FusedStretch> held) : stretch(std::move(held)) {}
  std::shared_ptr<FusedStretch> stretch;
};

}  // namespace

struct FusedFunction : torch::autograd::Function<FusedFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        at::TensorList parameters, const std::shared_ptr<FusedStretch>& stretch) {
    Tensor out = stretch->forward(x);
    // Saved for their version counters: a parameter changed before the backward pass is an error.
    context->save_for_backward(parameters.vec());
    context->saved_data["stretch"] =
        c10::IValue::make_capsule(c10::make_intrusive<StretchHolder>(stretch));
    context->saved_data["generation"] = stretch->generation_;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    if (torch::GradMode::is_enabled()) {
      throw Error(
          ErrorKind::model, "fused backward",
          "found create_graph, wanted a single backward pass; --engine torch differentiates "
          "twice");
    }
    const auto capsule = context->saved_data["stretch"].toCapsule();
    auto gradients = static_cast<StretchHolder&>(*capsule).stretch->backward(
        grads[0], context->get_saved_variables(), context->saved_data["generation"].toInt());
    gradients.emplace_back();  // the stretch itself has none
    return gradients;
  }
};

FusedStretch::FusedStretch(StretchKey key, const std::vector<TranslatedLayer>& layers,
                           kernels::Isa isa)
    : key_(std::move(key)), stretch_(specs_of(layers), options_of(key_, isa)) {
  for (const Tensor& parameter : parameters_of(layers)) {
    parameter_shapes_.push_back(parameter.sizes().vec());
  }
  shape_ = specs_of(layers);
  flattens_ = layers.back().flattens();
}

bool FusedStretch::fits(const std::vector<TranslatedLayer>& layers) const {
  // A layer's options never change, so the same kinds with the same parameters are the same shapes.
  if (layers.size() != shape_.size()) return false;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].spec.index() != shape_[i].index()) return false;
  }
  const std::vector<Tensor> parameters = parameters_of(layers);
  if (parameters.size() != parameter_shapes_.size()) return false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].sizes() != at::IntArrayRef(parameter_shapes_[i])) return false;
  }
  return true;
}

Tensor FusedStretch::run(const Tensor& x, const std::vector<TranslatedLayer>& layers, bool training,
                         bool watch) {
  for (std::size_t i = 0; i < layers.size(); ++i) rebind(stretch_.layers()[i], layers[i].spec);
  training_ = training;
  stretch_.watch(watch);
  Tensor out;
  if (key_.differentiable) {
    out = FusedFunction::apply(x, at::TensorList(parameters_of(layers)), shared_from_this());
  } else {
    out = forward(x);
  }
  if (training) {
    const torch::NoGradGuard no_grad;
    for (const TranslatedLayer& layer : layers) {
      for (const Tensor& count : layer.batch_counts) {
        if (count.defined()) count.add_(1);
      }
    }
  }
  return out;
}

Tensor FusedStretch::forward(const Tensor& x) {
  const kernels::ImageShape shape = stretch_.output_shape();
  Tensor out = flattens_ ? torch::empty({key_.input[0], shape.channels})
                         : torch::empty({key_.input[0], shape.channels, shape.height, shape.width});
  ++generation_;
  stretch_.forward(x.const_data_ptr<float>(), out.data_ptr<float>(),
                   training_ ? kernels::Mode::train : kernels::Mode::eval, torch_threads());
  return out;
}

std::vector<Tensor> FusedStretch::backward(const Tensor& grad,
                                           const std::vector<Tensor>& parameters,
                                           std::int64_t generation) {
  if (generation != generation_) {
    throw Error(ErrorKind::model, "fused backward",
                "found another forward pass of the same layers since, wanted backward right after "
                "its forward pass; --engine torch keeps every pass");
  }
  std::int64_t size = 0;
  for (const Tensor& parameter : parameters) size += parameter.numel();
  const Tensor arena = torch::empty({size});

  std::vector<Tensor> gradients(1);
  if (key_.input_gradient) gradients[0] = torch::empty(key_.input);
  std::int64_t at = 0;
  std::size_t i = 0;
  for (kernels::LayerSpec& spec : stretch_.layers()) {
    for (kernels::Parameter* slot : parameter_slots(spec)) {
      const Tensor& parameter = parameters[i++];
      Tensor gradient;
      if (parameter.requires_grad()) {
        gradient = arena.narrow(0, at, parameter.numel()).view(parameter.sizes());
      }
      slot->grad = gradient.defined() ? gradient.data_ptr<float>() : nullptr;
      gradients.push_back(gradient);
      at += parameter.numel();
    }
  }
  const Tensor dense = grad.to(torch::kFloat).contiguous();
  stretch_.backward(dense.const_data_ptr<float>(),
                    key_.input_gradient ? gradients[0].data_ptr<float>() : nullptr,
                    torch_threads());
  return gradients;
}

ActivationStatistics FusedStretch::statistics(std::size_t layer, bool hist) const {
  const kernels::Moments moments = stretch_.moments(layer);
  ActivationStatistics statistics{moments.mean, moments.std(), {}};
  if (hist) {
    statistics.hist.resize(kernels::kHistogramBins);
    stretch_.histogram(layer, kernels::kHistogramTop, statistics.hist, torch_threads());
  }
  return statistics;
}

}  // namespace fatwood
