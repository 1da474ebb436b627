#include <cmath>

#include <fatwood/model/conv.h>
#include <fatwood/model/init.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

void init_as_conv2d(torch::Tensor& weight, torch::Tensor& bias) {
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (!bias.defined()) return;
  const auto fan_in = static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
  torch::nn::init::uniform_(bias, -1 / std::sqrt(fan_in), 1 / std::sqrt(fan_in));
}

void init_leaky_weights(torch::nn::Module& module) {
  const auto init = [](torch::nn::Module& part) {
    if (auto* conv = dynamic_cast<Conv*>(&part)) {
      const double slope = conv->options().act ? conv->options().relu.a : 0;
      torch::nn::init::kaiming_normal_(conv->weight, slope, torch::kFanIn, torch::kLeakyReLU);
    }
  };
  module.apply(init);
}

}  // namespace fatwood
