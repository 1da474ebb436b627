// GeneralReLU and Conv: the two layers that every network of the page is made of.
// Conv computes conv2d → GeneralReLU → BatchNorm2d, in this order: the norm comes last.
#pragma once

#include <functional>

#include <torch/nn/modules/batchnorm.h>

#include <fatwood/model/layer.h>

namespace fatwood {

namespace cuda {
struct Activation;
}

struct GeneralReLUOptions {
  double a = 0.1;  ///< slope below zero; 0: plain relu
  double b = 0.4;  ///< subtracted afterwards
};

/// leaky_relu(x, a) − b, element by element.
Tensor general_relu(const Tensor& x, const GeneralReLUOptions& options = {});

/// The same as cuda's kernels take it (cuda/activation_norm.h).
cuda::Activation on_gpu(const GeneralReLUOptions& options);

class GeneralReLU : public Layer {
 public:
  using Options = GeneralReLUOptions;
  explicit GeneralReLU(const Options& options = {}) : options_(options) {}

  const Options& options() const { return options_; }
  std::string kind() const override { return "GeneralReLU"; }
  std::string description() const override;
  LayerPtr remake() const override { return make<GeneralReLU>(options_); }

 protected:
  Tensor compute(const Tensor& x) override { return general_relu(x, options_); }

 private:
  Options options_;
};

/// The options of Conv and of every block built from it.
struct ConvOptions {
  std::int64_t c_in = 1;
  std::int64_t c_out = 8;
  std::int64_t stride = 2;
  std::int64_t ks = 3;  ///< kernel size, odd; padding is ks / 2
  bool act = true;      ///< GeneralReLU after the convolution (after the sum, in a residual block)
  bool norm = true;     ///< BatchNorm2d last; without it the convolution has a bias
  GeneralReLUOptions relu = {};  ///< used when `act`
};

/// Makes a block for given channels; `make<Conv>` is one.
using BlockFactory = std::function<LayerPtr(const ConvOptions&)>;

/// x (N, c_in, H, W) → (N, c_out, ⌈H/stride⌉, ⌈W/stride⌉).
/// State: weight, bias without norm, norm.{weight, bias, running_mean, running_var,
/// num_batches_tracked}; initialised as PyTorch's Conv2d until `init_leaky_weights`. Throws
/// Error{model} for an even kernel, a channel count or stride below 1, or an input of other
/// channels.
class Conv : public Layer {
 public:
  using Options = ConvOptions;
  explicit Conv(const Options& options);

  const Options& options() const { return options_; }
  std::string kind() const override { return "Conv"; }
  std::string description() const override;
  LayerPtr remake() const override { return make<Conv>(options_); }

  Tensor weight;                          ///< (c_out, c_in, ks, ks)
  Tensor bias;                            ///< (c_out), or undefined with norm
  torch::nn::BatchNorm2d norm = nullptr;  ///< or null

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  Options options_;
};

/// Throws Error{model} unless the options describe a convolution; `who` names the layer.
void check_conv_options(const ConvOptions& options, const std::string& who);

/// Throws Error{model} unless x is (N, channels, H, W); `who` names the layer.
void check_input(const Tensor& x, std::int64_t channels, const std::string& who);

/// " 1 → 8, ks=5, stride=2, relu 0.1/0.4, norm": how blocks describe their options.
std::string describe(const ConvOptions& options);

}  // namespace fatwood
