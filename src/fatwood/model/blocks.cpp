#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/convolution.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {
namespace {

ConvOptions first_of(ConvOptions block) {
  block.stride = 1;
  return block;
}

ConvOptions second_of(ConvOptions block, bool act) {
  block.c_in = block.c_out;
  block.act = act;
  return block;
}

}  // namespace

ResidualBlock::ResidualBlock(Options inner) : inner_(std::move(inner)) {
  if (!inner_) throw Error(ErrorKind::model, "ResidualBlock", "the inner layer is null");
  register_module("inner", inner_);
}

Tensor ResidualBlock::compute(const Tensor& x) {
  const Tensor y = inner_->forward(x);
  if (y.sizes() != x.sizes()) {
    throw Error(ErrorKind::model, "ResidualBlock",
                "inner layer maps " + shape_text(x.sizes()) + " to " + shape_text(y.sizes()) +
                    ", wanted equal shapes");
  }
  return x + y;
}

ResidualConvBlock::ResidualConvBlock(const Options& options) : options_(options) {
  check_conv_options(options, "ResidualConvBlock");
  if (options.stride > 2) {
    throw Error(ErrorKind::model, "ResidualConvBlock",
                "stride " + std::to_string(options.stride) + ", wanted 1 or 2");
  }
  conv_a = register_module("conv_a", make<Conv>(first_of(options)));
  conv_b = register_module("conv_b", make<Conv>(second_of(options, /*act=*/false)));
  id_conv = register_module("id_conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(
                                           options.c_in, options.c_out, /*ks=*/1)));
}

Tensor ResidualConvBlock::compute(const Tensor& x) {
  const Tensor y = conv_b->forward(conv_a->forward(x));
  Tensor identity = x;
  if (options_.stride == 2) {
    identity = cuda::takes_average_pool(x)
                   ? cuda::average_pool(x)
                   : torch::avg_pool2d(x, /*kernel_size=*/2, /*stride=*/2, /*padding=*/0,
                                       /*ceil_mode=*/true);
  }
  if (options_.c_in != options_.c_out) {
    identity = cuda::takes_convolution(identity, id_conv->weight, /*stride=*/1)
                   ? cuda::convolution(identity, id_conv->weight, id_conv->bias, /*stride=*/1)
                   : id_conv->forward(identity);
  }
  if (options_.act && cuda::takes_sum(y, identity))
    return cuda::sum_activation(y, identity, on_gpu(options_.relu));
  const Tensor sum = y + identity;
  return options_.act ? general_relu(sum, options_.relu) : sum;
}

DoubleConvBlock::DoubleConvBlock(const Options& options) : options_(options) {
  check_conv_options(options, "DoubleConvBlock");
  conv_a = register_module("conv_a", make<Conv>(first_of(options)));
  conv_b = register_module("conv_b", make<Conv>(second_of(options, options.act)));
}

}  // namespace fatwood
