// timm's resnet18: the same architecture, parameter names and initialisation.
#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <fatwood/model/layer.h>
#include <fatwood/model/sequential.h>

namespace fatwood {

struct BasicBlockOptions {
  std::int64_t c_in = 64;
  std::int64_t c_out = 64;
  std::int64_t stride = 1;
};

/// x (N, c_in, H, W) → (N, c_out, ⌈H/stride⌉, ⌈W/stride⌉): relu(bn2(conv2(relu(bn1(conv1 x)))) +
/// identity), 3×3 convolutions; where the shape changes the identity is a strided 1×1 convolution
/// and a norm. Source: "Deep Residual Learning", fig. 2.
class BasicBlock : public Layer {
 public:
  using Options = BasicBlockOptions;
  explicit BasicBlock(const Options& options);

  const Options& options() const { return options_; }
  std::string kind() const override { return "BasicBlock"; }
  std::string description() const override;
  LayerPtr remake() const override { return make<BasicBlock>(options_); }

  torch::nn::Conv2d conv1 = nullptr;
  torch::nn::BatchNorm2d bn1 = nullptr;
  torch::nn::Conv2d conv2 = nullptr;
  torch::nn::BatchNorm2d bn2 = nullptr;
  torch::nn::Conv2d downsample_conv = nullptr;  ///< null where the shape stays
  torch::nn::BatchNorm2d downsample_norm = nullptr;

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  Options options_;
};

struct StemParts {
  torch::nn::Conv2d conv1 = nullptr;
  torch::nn::BatchNorm2d bn1 = nullptr;
};

/// max_pool(relu(bn1(conv1 x))): (N, c_in, H, W) → (N, C, ⌈H/4⌉, ⌈W/4⌉) for a conv1 of stride 2.
/// Its parts are registered in the network under timm's names, which alone can remake it.
class Stem : public Layer {
 public:
  using Options = StemParts;
  explicit Stem(const Options& parts);

  const Options& parts() const { return parts_; }
  std::string kind() const override { return "Stem"; }
  LayerPtr remake() const override;

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  Options parts_;
};

/// (N, C, H, W) → (N, n_outputs): mean over the pixels, then the linear layer.
class Head : public Layer {
 public:
  using Options = torch::nn::Linear;
  explicit Head(const Options& fc) : fc_(fc) { register_module("fc", fc_); }

  const torch::nn::Linear& fc() const { return fc_; }
  std::string kind() const override { return "Head"; }
  LayerPtr remake() const override;

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  Options fc_;
};

struct ResNetOptions {
  std::vector<std::int64_t> depths = {2, 2, 2, 2};  ///< blocks per stage; resnet18's by default
  std::vector<std::int64_t> widths = {64, 128, 256, 512};
  std::int64_t n_outputs = 10;
  std::int64_t c_in = 1;
};

/// x (N, c_in, H, W) → logits (N, n_outputs): a 7×7 stem of stride 2 with max pooling, stages of
/// BasicBlocks, global average pooling and a linear head. Parameter names are timm's: conv1, bn1,
/// layer1.0.conv1, …, layer2.0.downsample.0, …, fc.
class ResNet : public Layer {
 public:
  using Options = ResNetOptions;
  explicit ResNet(const Options& options = {});

  const Options& options() const { return options_; }
  std::string kind() const override { return "ResNet"; }
  std::vector<NamedLayer> layers() const override;
  /// What runs, in order: its layers are those of `layers()`.
  const std::shared_ptr<Sequential>& sequence() const { return sequence_; }
  LayerPtr remake() const override { return make<ResNet>(options_); }
  void train(bool on = true) override;

 protected:
  Tensor compute(const Tensor& x) override { return sequence_->forward(x); }
  std::vector<std::shared_ptr<torch::nn::Module>> unregistered_parts() const override {
    return {sequence_};
  }

 private:
  Options options_;
  // The network in running order. Not registered: its parts are, under timm's names.
  std::shared_ptr<Sequential> sequence_;
  std::vector<std::string> names_;
};

}  // namespace fatwood
