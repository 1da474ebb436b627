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
  options.keeps_values = key.keeps_values;
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

/// The values as they lie now. The tensor is the one of the forward pass, but what it holds may
/// have been replaced since, which its version does not tell.
const float* values_of(const Tensor& parameter, at::IntArrayRef shape) {
  if (parameter.scalar_type() == torch::kFloat && parameter.device().is_cpu() &&
      parameter.is_contiguous() && parameter.sizes() == shape) {
    return parameter.const_data_ptr<float>();
  }
  throw Error(ErrorKind::model, "fused backward",
              "a parameter, replaced between forward and backward: found " +
                  std::string(c10::toString(parameter.scalar_type())) + " " +
                  shape_text(parameter.sizes()) + " on " + parameter.device().str() +
                  (parameter.is_contiguous() ? "" : ", not contiguous") + ", wanted Float " +
                  shape_text(shape) + " on cpu, contiguous");
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
                           kernels::Isa isa, std::shared_ptr<std::mutex> busy)
    : key_(std::move(key)),
      stretch_(specs_of(layers), options_of(key_, isa)),
      busy_(std::move(busy)) {
  for (const Tensor& parameter : parameters_of(layers)) {
    parameter_shapes_.push_back(parameter.sizes().vec());
  }
  shape_ = specs_of(layers);
  flattens_ = layers.back().flattens();
}

bool FusedStretch::fits(const std::vector<TranslatedLayer>& layers) const {
  // Parts of a block and LibTorch's options can change at any time. Parameters have the shapes that
  // the specs say: translate() has seen to that.
  if (layers.size() != shape_.size()) return false;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!same_plan(layers[i].spec, shape_[i])) return false;
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
  std::vector<std::int64_t> sizes{key_.input[0], shape.channels};
  if (!flattens_) sizes.insert(sizes.end(), {shape.height, shape.width});
  Tensor out = torch::empty(sizes, torch::kFloat);
  ++generation_;
  stretch_.forward(x.const_data_ptr<float>(), out.data_ptr<float>(),
                   training_ ? kernels::Mode::train : kernels::Mode::eval, torch_threads());
  return out;
}

std::vector<Tensor> FusedStretch::backward(const Tensor& grad,
                                           const std::vector<Tensor>& parameters,
                                           std::int64_t generation) {
  const std::scoped_lock lock(*busy_);
  if (generation != generation_) {
    throw Error(ErrorKind::model, "fused backward",
                "found another forward pass of the same layers since, wanted backward right after "
                "its forward pass; --engine torch keeps every pass");
  }
  std::int64_t size = 0;
  for (const Tensor& parameter : parameters) size += parameter.numel();
  const Tensor arena = torch::empty({size}, torch::kFloat);

  std::vector<Tensor> gradients(1);
  if (key_.input_gradient) gradients[0] = torch::empty(key_.input, torch::kFloat);
  std::int64_t at = 0;
  std::size_t i = 0;
  for (kernels::LayerSpec& spec : stretch_.layers()) {
    for (kernels::Parameter* slot : parameter_slots(spec)) {
      const Tensor& parameter = parameters[i];
      slot->value = values_of(parameter, parameter_shapes_[i++]);
      Tensor gradient;
      if (parameter.requires_grad()) {
        // A version counter of its own: changing one gradient in place leaves the others as saved.
        gradient = arena.narrow(0, at, parameter.numel()).view(parameter.sizes()).variable_data();
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
