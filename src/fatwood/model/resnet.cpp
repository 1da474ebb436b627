#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/resnet.h>

namespace fatwood {
namespace {

/// relu(norm(x) + skip); `skip` may be undefined.
Tensor norm_relu(torch::nn::BatchNorm2dImpl& norm, const Tensor& x, const Tensor& skip = {}) {
  if (cuda::takes_norm(x, norm) && (!skip.defined() || cuda::takes_sum(x, skip)))
    return cuda::norm_relu(x, norm, skip);
  Tensor y = norm.forward(x);
  if (skip.defined()) y.add_(skip);
  return y.relu_();
}

torch::nn::Conv2d conv2d(std::int64_t c_in, std::int64_t c_out, std::int64_t ks,
                         std::int64_t stride) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(c_in, c_out, ks).stride(stride).padding(ks / 2).bias(false));
}

void init_as_timm(torch::nn::Module& model) {
  const torch::NoGradGuard no_grad;
  model.apply([](torch::nn::Module& part) {
    if (auto* conv = part.as<torch::nn::Conv2dImpl>()) {
      torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
    }
    // The residual branches start as zero: timm's zero_init_last.
    if (auto* block = part.as<BasicBlock>()) torch::nn::init::zeros_(block->bn2->weight);
  });
}

}  // namespace

Stem::Stem(const Options& parts) : parts_(parts) {
  register_module("conv1", parts_.conv1);
  register_module("bn1", parts_.bn1);
}

LayerPtr Stem::remake() const {
  const auto& conv = parts_.conv1->options;
  return make<Stem>(
      {torch::nn::Conv2d(
           torch::nn::Conv2dOptions(conv.in_channels(), conv.out_channels(), conv.kernel_size())
               .stride(conv.stride())
               .padding(conv.padding())
               .dilation(conv.dilation())
               .groups(conv.groups())
               .bias(conv.bias())
               .padding_mode(conv.padding_mode())),
       torch::nn::BatchNorm2d(parts_.bn1->options)});
}

Tensor Stem::compute(const Tensor& x) {
  if (x.dim() != 4 || x.size(1) != parts_.conv1->options.in_channels()) {
    throw Error(ErrorKind::model, "ResNet",
                "input " + shape_text(x.sizes()) + ", wanted (N, " +
                    std::to_string(parts_.conv1->options.in_channels()) + ", H, W)");
  }
  const Tensor y = norm_relu(*parts_.bn1, parts_.conv1->forward(x));
  return torch::max_pool2d(y, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
}

LayerPtr Head::remake() const {
  return make<Head>(torch::nn::Linear(fc_->options));
}

Tensor Head::compute(const Tensor& x) {
  return fc_->forward(x.mean({2, 3}));
}

BasicBlock::BasicBlock(const Options& options) : options_(options) {
  conv1 = register_module("conv1", conv2d(options.c_in, options.c_out, 3, options.stride));
  bn1 = register_module("bn1", torch::nn::BatchNorm2d(options.c_out));
  conv2 = register_module("conv2", conv2d(options.c_out, options.c_out, 3, 1));
  bn2 = register_module("bn2", torch::nn::BatchNorm2d(options.c_out));
  if (options.stride != 1 || options.c_in != options.c_out) {
    downsample_conv = conv2d(options.c_in, options.c_out, 1, options.stride);
    downsample_norm = torch::nn::BatchNorm2d(options.c_out);
    auto downsample = register_module("downsample", std::make_shared<torch::nn::SequentialImpl>());
    downsample->push_back("0", downsample_conv);
    downsample->push_back("1", downsample_norm);
  }
}

std::string BasicBlock::description() const {
  return "BasicBlock(" + std::to_string(options_.c_in) + " → " + std::to_string(options_.c_out) +
         ", stride=" + std::to_string(options_.stride) + ")";
}

Tensor BasicBlock::compute(const Tensor& x) {
  const Tensor y = conv2->forward(norm_relu(*bn1, conv1->forward(x)));
  Tensor identity = x;
  if (downsample_conv) {
    identity = downsample_conv->forward(x);
    identity = cuda::takes_norm(identity, *downsample_norm)
                   ? cuda::activation_norm(identity, {}, *downsample_norm)
                   : downsample_norm->forward(identity);
  }
  return norm_relu(*bn2, y, identity);
}

ResNet::ResNet(const Options& options) : options_(options), sequence_(make<Sequential>({})) {
  if (options.depths.size() != options.widths.size() || options.depths.empty()) {
    throw Error(ErrorKind::model, "ResNet",
                std::to_string(options.depths.size()) + " depths and " +
                    std::to_string(options.widths.size()) +
                    " widths, wanted as many of each and one or more");
  }
  const auto add = [this](std::string name, LayerPtr layer) {
    sequence_->push_back(std::move(layer));
    names_.push_back(std::move(name));
  };
  auto conv1 = register_module("conv1", conv2d(options.c_in, options.widths.front(), 7, 2));
  auto bn1 = register_module("bn1", torch::nn::BatchNorm2d(options.widths.front()));
  add("stem", make<Stem>({conv1, bn1}));
  std::int64_t channels = options.widths.front();
  for (std::size_t stage = 0; stage < options.depths.size(); ++stage) {
    const std::string name = "layer" + std::to_string(stage + 1);
    auto blocks = register_module(name, make<Sequential>({}));
    for (std::int64_t i = 0; i < options.depths[stage]; ++i) {
      const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      auto block =
          make<BasicBlock>({.c_in = channels, .c_out = options.widths[stage], .stride = stride});
      blocks->push_back(block);
      add(name + "." + std::to_string(i), block);
      channels = options.widths[stage];
    }
  }
  auto fc = register_module("fc", torch::nn::Linear(channels, options.n_outputs));
  add("fc", make<Head>(fc));
  init_as_timm(*this);
}

void ResNet::train(bool on) {
  Layer::train(on);
  sequence_->train(on);
}

std::vector<NamedLayer> ResNet::layers() const {
  std::vector<NamedLayer> named;
  named.reserve(names_.size());
  for (std::size_t i = 0; i < names_.size(); ++i) named.push_back({names_[i], (*sequence_)[i]});
  return named;
}

}  // namespace fatwood
