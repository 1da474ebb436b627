#include <type_traits>

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
    if (typeid(inner) != typeid(Conv)) return refuse("a part of the block is " + inner.kind());
    if (inner.has_taps()) return refuse("a part of the block is looked at by itself");
    if (inner.is_training() != outer.is_training())
      return refuse("its parts are in different modes");
    return conv(inner, spec);
  }

  /// The tensor may have been replaced: what the options say of its shape is not taken on trust.
  bool parameter(const Tensor& tensor, at::IntArrayRef shape, kernels::Parameter& to) {
    if (!tensor.defined()) return refuse("a parameter is missing");
    if (tensor.scalar_type() != torch::kFloat || !tensor.device().is_cpu()) {
      return refuse("a parameter is not float on the CPU");
    }
    if (!tensor.is_contiguous()) return refuse("a parameter is not contiguous");
    if (tensor.sizes() != shape) {
      return refuse("a parameter is " + shape_text(tensor.sizes()) + ", not " + shape_text(shape));
    }
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
    if (!parameter(layer.weight, {options.c_out, options.c_in, options.ks, options.ks},
                   spec.weight)) {
      return false;
    }
    if (layer.bias.defined() && !parameter(layer.bias, {options.c_out}, spec.bias.emplace())) {
      return false;
    }
    return !layer.norm || norm(layer, *layer.norm, options.c_out, spec.norm.emplace());
  }

  bool norm(const Layer& layer, const torch::nn::BatchNorm2dImpl& norm, std::int64_t channels,
            kernels::NormSpec& spec) {
    const auto& options = norm.options;
    if (norm.is_training() != layer.is_training()) return refuse("its norm is in another mode");
    if (!options.affine() || !options.track_running_stats() || !options.momentum()) {
      return refuse("its norm has no weight, no running statistics or no momentum");
    }
    if (!parameter(norm.weight, {channels}, spec.weight) ||
        !parameter(norm.bias, {channels}, spec.bias)) {
      return false;
    }
    for (const Tensor& running : {norm.running_mean, norm.running_var}) {
      if (!running.defined() || running.scalar_type() != torch::kFloat ||
          !running.device().is_cpu() || !running.is_contiguous() || running.numel() != channels) {
        return refuse("its running statistics are not contiguous float on the CPU, one a channel");
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
    const ConvOptions& options = layer.options();
    spec.activation = activation(options);
    if (spec.a.c_in != options.c_in || spec.a.stride != 1 || spec.b.c_out != options.c_out ||
        spec.b.stride != options.stride) {
      return refuse("its convolutions are not those that its options describe");
    }
    if (options.c_in == options.c_out) return true;
    kernels::ConvSpec identity;
    if (!convolution(*layer.id_conv, identity)) return false;
    if (identity.c_in != spec.a.c_in || identity.c_out != spec.b.c_out || identity.ks != 1 ||
        identity.stride != 1 || !identity.bias) {
      return refuse(
          "its identity path is not a biased 1×1 convolution from its input to its output");
    }
    spec.id_weight = identity.weight;
    spec.id_bias = identity.bias;
    return true;
  }

  /// LibTorch's own convolution, whose options may have changed since it was made.
  bool convolution(const torch::nn::Conv2dImpl& conv, kernels::ConvSpec& spec) {
    const auto& options = conv.options;
    const std::int64_t ks = options.kernel_size()->at(0);
    const std::int64_t stride = options.stride()->at(0);
    const auto* padding = std::get_if<torch::ExpandingArray<2>>(&options.padding());
    const auto both = [](const torch::ExpandingArray<2>& array, std::int64_t value) {
      return array->at(0) == value && array->at(1) == value;
    };
    if (ks < 1 || ks % 2 == 0 || ks > 31 || !both(options.kernel_size(), ks) || stride < 1 ||
        stride > 2 || !both(options.stride(), stride) || !padding || !both(*padding, ks / 2) ||
        !both(options.dilation(), 1) || options.groups() != 1 ||
        !std::holds_alternative<torch::enumtype::kZeros>(options.padding_mode())) {
      return refuse("its convolution is not square, of stride 1 or 2 and padded by half a kernel");
    }
    spec.c_in = static_cast<int>(options.in_channels());
    spec.c_out = static_cast<int>(options.out_channels());
    spec.ks = static_cast<int>(ks);
    spec.stride = static_cast<int>(stride);
    return parameter(conv.weight, {spec.c_out, spec.c_in, ks, ks}, spec.weight) &&
           (!conv.bias.defined() || parameter(conv.bias, {spec.c_out}, spec.bias.emplace()));
  }

  bool conv_and_norm(const torch::nn::Conv2dImpl& conv,
                     const torch::nn::BatchNorm2dImpl& batch_norm, const Layer& layer,
                     kernels::ConvSpec& spec) {
    if (conv.is_training() != layer.is_training())
      return refuse("its parts are in different modes");
    return convolution(conv, spec) && norm(layer, batch_norm, spec.c_out, spec.norm.emplace());
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
    return parameter(fc.weight, {spec.c_out, spec.c_in}, spec.weight) &&
           (!fc.bias.defined() || parameter(fc.bias, {spec.c_out}, spec.bias.emplace()));
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

bool alike(const kernels::Activation& a, const kernels::Activation& b) {
  return a.slope == b.slope && a.subtract == b.subtract;
}

bool alike(const kernels::ConvSpec& a, const kernels::ConvSpec& b) {
  return a.c_in == b.c_in && a.c_out == b.c_out && a.ks == b.ks && a.stride == b.stride &&
         alike(a.activation, b.activation) && a.bias.has_value() == b.bias.has_value() &&
         a.norm.has_value() == b.norm.has_value();
}

bool alike(const kernels::DoubleSpec& a, const kernels::DoubleSpec& b) {
  return alike(a.a, b.a) && alike(a.b, b.b);
}

bool alike(const kernels::ResidualSpec& a, const kernels::ResidualSpec& b) {
  return alike(a.a, b.a) && alike(a.b, b.b) && alike(a.activation, b.activation) &&
         a.id_weight.has_value() == b.id_weight.has_value() &&
         a.id_bias.has_value() == b.id_bias.has_value();
}

bool alike(const kernels::BasicSpec& a, const kernels::BasicSpec& b) {
  if (a.down.has_value() != b.down.has_value()) return false;
  if (a.down && b.down && !alike(*a.down, *b.down)) return false;
  return alike(a.a, b.a) && alike(a.b, b.b) && alike(a.activation, b.activation);
}

bool alike(const kernels::StemSpec& a, const kernels::StemSpec& b) {
  return alike(a.conv, b.conv) && alike(a.activation, b.activation);
}

bool alike(const kernels::HeadSpec& a, const kernels::HeadSpec& b) {
  return a.c_in == b.c_in && a.c_out == b.c_out && a.bias.has_value() == b.bias.has_value();
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

bool same_plan(const kernels::LayerSpec& a, const kernels::LayerSpec& b) {
  const auto like_b = [&b](const auto& spec) {
    const auto* other = std::get_if<std::decay_t<decltype(spec)>>(&b);
    return other && alike(spec, *other);
  };
  return std::visit(like_b, a);
}

void rebind(kernels::LayerSpec& to, const kernels::LayerSpec& from) {
  // Same types and same optionals (same_plan), so assigning keeps every address that a plan holds.
  to = from;
}

}  // namespace fatwood
