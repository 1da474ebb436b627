#include <fatwood/engine/translate.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/resnet.h>

namespace fatwood {
namespace {

class Translator {
 public:
  explicit Translator(std::string& reason) : reason_(reason) {}

  std::optional<TranslatedLayer> run(const Layer& layer) {
    // By exact type: a class derived from Conv may compute something else.
    bool known = false;
    if (typeid(layer) == typeid(Conv)) {
      known = conv(static_cast<const Conv&>(layer), result_.spec.emplace<kernels::ConvSpec>());
    } else if (typeid(layer) == typeid(DoubleConvBlock)) {
      const auto& block = static_cast<const DoubleConvBlock&>(layer);
      auto& spec = result_.spec.emplace<kernels::DoubleSpec>();
      known = part(*block.conv_a, layer, spec.a) && part(*block.conv_b, layer, spec.b);
    } else if (typeid(layer) == typeid(ResidualConvBlock)) {
      known = residual(static_cast<const ResidualConvBlock&>(layer));
    } else if (typeid(layer) == typeid(BasicBlock)) {
      known = basic(static_cast<const BasicBlock&>(layer));
    } else if (typeid(layer) == typeid(Stem)) {
      const StemParts& parts = static_cast<const Stem&>(layer).parts();
      auto& spec = result_.spec.emplace<kernels::StemSpec>();
      known = conv_and_norm(*parts.conv1, *parts.bn1, layer, spec.conv);
    } else if (typeid(layer) == typeid(Head)) {
      known = head(*static_cast<const Head&>(layer).fc());
    } else {
      reason_ = "no kernels for " + layer.kind();
    }
    if (!known) return std::nullopt;
    return std::move(result_);
  }

 private:
  bool refuse(const std::string& reason) {
    reason_ = reason;
    return false;
  }

  /// A convolution inside a block: taps of its own would see nothing.
  bool part(const Conv& inner, const Layer& outer, kernels::ConvSpec& spec) {
    if (inner.has_taps()) return refuse("a part of the block is looked at by itself");
    if (inner.is_training() != outer.is_training())
      return refuse("its parts are in different modes");
    return conv(inner, spec);
  }

  bool parameter(const Tensor& tensor, kernels::Parameter& to) {
    if (tensor.scalar_type() != torch::kFloat || !tensor.device().is_cpu()) {
      return refuse("a parameter is not float on the CPU");
    }
    if (!tensor.is_contiguous()) return refuse("a parameter is not contiguous");
    to = {tensor.const_data_ptr<float>(), nullptr};
    result_.parameters.push_back(tensor);
    return true;
  }

  static kernels::Activation activation(const ConvOptions& options) {
    if (!options.act) return {};
    return {static_cast<float>(options.relu.a), static_cast<float>(options.relu.b)};
  }

  bool conv(const Conv& layer, kernels::ConvSpec& spec) {
    const ConvOptions& options = layer.options();
    if (options.stride > 2)
      return refuse("stride " + std::to_string(options.stride) + ", not 1 or 2");
    if (options.ks > 31) return refuse("kernel size above 31");
    spec.c_in = static_cast<int>(options.c_in);
    spec.c_out = static_cast<int>(options.c_out);
    spec.ks = static_cast<int>(options.ks);
    spec.stride = static_cast<int>(options.stride);
    spec.activation = activation(options);
    if (!(spec.activation.slope >= 0)) return refuse("negative slope");
    if (!parameter(layer.weight, spec.weight)) return false;
    if (layer.bias.defined() && !parameter(layer.bias, spec.bias.emplace())) return false;
    return !layer.norm || norm(layer, *layer.norm, spec.norm.emplace());
  }

  bool norm(const Layer& layer, const torch::nn::BatchNorm2dImpl& norm, kernels::NormSpec& spec) {
    const auto& options = norm.options;
    if (norm.is_training() != layer.is_training()) return refuse("its norm is in another mode");
    if (!options.affine() || !options.track_running_stats() || !options.momentum()) {
      return refuse("its norm has no weight, no running statistics or no momentum");
    }
    if (!parameter(norm.weight, spec.weight) || !parameter(norm.bias, spec.bias)) return false;
    for (const Tensor& running : {norm.running_mean, norm.running_var}) {
      if (running.scalar_type() != torch::kFloat || !running.is_contiguous()) {
        return refuse("its running statistics are not contiguous float");
      }
    }
    spec.running_mean = norm.running_mean.data_ptr<float>();
    spec.running_var = norm.running_var.data_ptr<float>();
    spec.momentum = *options.momentum();
    spec.eps = options.eps();
    result_.batch_counts.push_back(norm.num_batches_tracked);
    return true;
  }

  bool residual(const ResidualConvBlock& layer) {
    auto& spec = result_.spec.emplace<kernels::ResidualSpec>();
    if (!part(*layer.conv_a, layer, spec.a) || !part(*layer.conv_b, layer, spec.b)) return false;
    spec.activation = activation(layer.options());
    if (layer.options().c_in == layer.options().c_out) return true;
    return parameter(layer.id_conv->weight, spec.id_weight.emplace()) &&
           parameter(layer.id_conv->bias, spec.id_bias.emplace());
  }

  /// LibTorch's own convolution, followed by a norm.
  bool conv_and_norm(const torch::nn::Conv2dImpl& conv,
                     const torch::nn::BatchNorm2dImpl& batch_norm, const Layer& layer,
                     kernels::ConvSpec& spec) {
    const auto& options = conv.options;
    const std::int64_t ks = options.kernel_size()->at(0);
    const std::int64_t stride = options.stride()->at(0);
    const auto* padding = std::get_if<torch::ExpandingArray<2>>(&options.padding());
    const auto both = [](const torch::ExpandingArray<2>& array, std::int64_t value) {
      return array->at(0) == value && array->at(1) == value;
    };
    if (ks % 2 == 0 || ks > 31 || !both(options.kernel_size(), ks) || stride > 2 ||
        !both(options.stride(), stride) || !padding || !both(*padding, ks / 2) ||
        !both(options.dilation(), 1) || options.groups() != 1 ||
        !std::holds_alternative<torch::enumtype::kZeros>(options.padding_mode())) {
      return refuse("its convolution is not square, of stride 1 or 2 and padded by half a kernel");
    }
    if (conv.is_training() != layer.is_training())
      return refuse("its parts are in different modes");
    spec.c_in = static_cast<int>(options.in_channels());
    spec.c_out = static_cast<int>(options.out_channels());
    spec.ks = static_cast<int>(ks);
    spec.stride = static_cast<int>(stride);
    if (!parameter(conv.weight, spec.weight)) return false;
    if (conv.bias.defined() && !parameter(conv.bias, spec.bias.emplace())) return false;
    return norm(layer, batch_norm, spec.norm.emplace());
  }

  bool basic(const BasicBlock& block) {
    auto& spec = result_.spec.emplace<kernels::BasicSpec>();
    return conv_and_norm(*block.conv1, *block.bn1, block, spec.a) &&
           conv_and_norm(*block.conv2, *block.bn2, block, spec.b) &&
           (!block.downsample_conv || conv_and_norm(*block.downsample_conv, *block.downsample_norm,
                                                    block, spec.down.emplace()));
  }

  bool head(const torch::nn::LinearImpl& fc) {
    auto& spec = result_.spec.emplace<kernels::HeadSpec>();
    spec.c_in = static_cast<int>(fc.options.in_features());
    spec.c_out = static_cast<int>(fc.options.out_features());
    return parameter(fc.weight, spec.weight) &&
           (!fc.bias.defined() || parameter(fc.bias, spec.bias.emplace()));
  }

  std::string& reason_;
  TranslatedLayer result_;
};

void collect(kernels::ConvSpec& spec, std::vector<kernels::Parameter*>& slots) {
  slots.push_back(&spec.weight);
  if (spec.bias) slots.push_back(&*spec.bias);
  if (spec.norm) slots.insert(slots.end(), {&spec.norm->weight, &spec.norm->bias});
}

void collect(kernels::DoubleSpec& spec, std::vector<kernels::Parameter*>& slots) {
  collect(spec.a, slots);
  collect(spec.b, slots);
}

void collect(kernels::ResidualSpec& spec, std::vector<kernels::Parameter*>& slots) {
  collect(spec.a, slots);
  collect(spec.b, slots);
  if (spec.id_weight && spec.id_bias) slots.insert(slots.end(), {&*spec.id_weight, &*spec.id_bias});
}

void collect(kernels::BasicSpec& spec, std::vector<kernels::Parameter*>& slots) {
  collect(spec.a, slots);
  collect(spec.b, slots);
  if (spec.down) collect(*spec.down, slots);
}

void collect(kernels::StemSpec& spec, std::vector<kernels::Parameter*>& slots) {
  collect(spec.conv, slots);
}

void collect(kernels::HeadSpec& spec, std::vector<kernels::Parameter*>& slots) {
  slots.push_back(&spec.weight);
  if (spec.bias) slots.push_back(&*spec.bias);
}

}  // namespace

std::optional<TranslatedLayer> translate(const Layer& layer, std::string& reason) {
  return Translator(reason).run(layer);
}

std::vector<kernels::Parameter*> parameter_slots(kernels::LayerSpec& spec) {
  std::vector<kernels::Parameter*> slots;
  std::visit([&](auto& layer) { collect(layer, slots); }, spec);
  return slots;
}

void rebind(kernels::LayerSpec& to, const kernels::LayerSpec& from) {
  // Same types and same optionals, so assigning keeps every address that a plan holds.
  to = from;
}

}  // namespace fatwood
