// The page's blocks of two convolutions: with an identity path, and without.
#pragma once

#include <torch/nn/modules/conv.h>

#include <fatwood/model/conv.h>

namespace fatwood {

/// x + inner(x). Throws Error{model} naming both shapes when they differ.
class ResidualBlock : public Layer {
 public:
  using Options = LayerPtr;  ///< the inner layer
  explicit ResidualBlock(Options inner);

  const LayerPtr& inner() const { return inner_; }
  std::string kind() const override { return "ResidualBlock"; }
  LayerPtr remake() const override { return make<ResidualBlock>(inner_->remake()); }

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  LayerPtr inner_;
};

/// x (N, c_in, H, W) → (N, c_out, ⌈H/stride⌉, ⌈W/stride⌉): GeneralReLU(conv_b(conv_a(x)) +
/// identity(x)). conv_a has stride 1 and the block's activation; conv_b has the block's stride and
/// none. The identity path average-pools 2×2 (ceil_mode) at stride 2, then passes `id_conv`, a
/// plain biased 1×1 convolution, when the channel counts differ. `id_conv` is registered in any
/// case, as on the page, and then has no gradient. Throws Error{model} when stride > 2.  Source:
/// "Deep Residual Learning", fig. 2, with norms last.
class ResidualConvBlock : public Layer {
 public:
  using Options = ConvOptions;
  explicit ResidualConvBlock(const Options& options);

  const Options& options() const { return options_; }
  std::string kind() const override { return "ResidualConvBlock"; }
  std::string description() const override {
    return "ResidualConvBlock(" + describe(options_) + ")";
  }
  LayerPtr remake() const override { return make<ResidualConvBlock>(options_); }

  std::shared_ptr<Conv> conv_a;
  std::shared_ptr<Conv> conv_b;
  torch::nn::Conv2d id_conv = nullptr;

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  Options options_;
};

/// x (N, c_in, H, W) → (N, c_out, ⌈H/stride⌉, ⌈W/stride⌉): conv_a with stride 1, then conv_b with
/// the block's stride, both with the same activation and norm.
class DoubleConvBlock : public Layer {
 public:
  using Options = ConvOptions;
  explicit DoubleConvBlock(const Options& options);

  const Options& options() const { return options_; }
  std::string kind() const override { return "DoubleConvBlock"; }
  std::string description() const override { return "DoubleConvBlock(" + describe(options_) + ")"; }
  LayerPtr remake() const override { return make<DoubleConvBlock>(options_); }

  std::shared_ptr<Conv> conv_a;
  std::shared_ptr<Conv> conv_b;

 protected:
  Tensor compute(const Tensor& x) override { return conv_b->forward(conv_a->forward(x)); }

 private:
  Options options_;
};

}  // namespace fatwood
