#include <cmath>
#include <sstream>

#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/convolution.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/init.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {
namespace F = torch::nn::functional;

Tensor general_relu(const Tensor& x, const GeneralReLUOptions& options) {
  // leaky_relu keeps its input for the backward pass and relu its output, so only the former's
  // output may be changed in place.
  if (options.a != 0) {
    Tensor y = torch::leaky_relu(x, options.a);
    return options.b != 0 ? y.sub_(options.b) : y;
  }
  Tensor y = torch::relu(x);
  return options.b != 0 ? y - options.b : y;
}

cuda::Activation on_gpu(const GeneralReLUOptions& options) {
  return {static_cast<float>(options.a), static_cast<float>(options.b)};
}

std::string GeneralReLU::description() const {
  std::ostringstream text;
  text << "GeneralReLU(a=" << options_.a << ", b=" << options_.b << ")";
  return text.str();
}

void check_conv_options(const ConvOptions& options, const std::string& who) {
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::model, who, what); };
  if (options.c_in < 1 || options.c_out < 1) {
    fail("channels " + std::to_string(options.c_in) + " → " + std::to_string(options.c_out) +
         ", wanted 1 or more");
  }
  if (options.ks < 1 || options.ks % 2 == 0)
    fail("kernel size " + std::to_string(options.ks) + ", wanted an odd one");
  if (options.stride < 1) fail("stride " + std::to_string(options.stride) + ", wanted 1 or more");
}

void check_input(const Tensor& x, std::int64_t channels, const std::string& who) {
  if (x.dim() != 4 || x.size(1) != channels) {
    throw Error(
        ErrorKind::model, who,
        "input " + shape_text(x.sizes()) + ", wanted (N, " + std::to_string(channels) + ", H, W)");
  }
}

std::string describe(const ConvOptions& options) {
  std::ostringstream text;
  text << options.c_in << " → " << options.c_out << ", ks=" << options.ks
       << ", stride=" << options.stride;
  if (options.act) text << ", relu " << options.relu.a << "/" << options.relu.b;
  text << (options.norm ? ", norm" : ", bias");
  return text.str();
}

Conv::Conv(const Options& options) : options_(options) {
  check_conv_options(options, "Conv");
  weight = register_parameter("weight",
                              torch::empty({options.c_out, options.c_in, options.ks, options.ks}));
  if (options.norm) {
    norm = register_module("norm", torch::nn::BatchNorm2d(options.c_out));
  } else {
    bias = register_parameter("bias", torch::empty({options.c_out}));
  }
  init_as_conv2d(weight, bias);
}

std::string Conv::description() const {
  return "Conv(" + describe(options_) + ")";
}

Tensor Conv::compute(const Tensor& x) {
  check_input(x, options_.c_in, "Conv");
  Tensor y = cuda::takes_convolution(x, weight, options_.stride)
                 ? cuda::convolution(x, weight, bias, options_.stride)
                 : torch::conv2d(x, weight, bias, options_.stride, options_.ks / 2);
  if (norm && cuda::takes_norm(y, *norm)) {
    return cuda::activation_norm(y, options_.act ? on_gpu(options_.relu) : cuda::Activation{},
                                 *norm);
  }
  if (options_.act) y = general_relu(y, options_.relu);
  return norm ? norm->forward(y) : y;
}

}  // namespace fatwood
