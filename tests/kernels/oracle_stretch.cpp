// Stretches against LibTorch's own operators in double precision: outputs, every gradient, running
// statistics.
#include <limits>
#include <map>

#include <fatwood/kernels/stretch.h>
#include <fatwood/model/libtorch.h>

#include "support.h"

namespace fatwood::kernels {
namespace {

using at::Tensor;

/// A stretch, its parameters as float tensors, and the same network in double precision.
class Network {
 public:
  explicit Network(unsigned seed) : random_(seed) { torch::manual_seed(seed); }

  ConvSpec conv(int c_in, int c_out, int ks, int stride, Activation activation, bool norm) {
    ConvSpec spec;
    spec.c_in = c_in;
    spec.c_out = c_out;
    spec.ks = ks;
    spec.stride = stride;
    spec.activation = activation;
    spec.weight = parameter(torch::randn({c_out, c_in, ks, ks}) / std::sqrt(c_in * ks * ks * 0.5));
    if (!norm || random_() % 3 == 0) spec.bias = parameter(torch::randn({c_out}) * 0.3);
    if (norm) {
      spec.norm.emplace();
      spec.norm->weight = parameter(torch::rand({c_out}) + 0.5);
      spec.norm->bias = parameter(torch::randn({c_out}) * 0.5);
      spec.norm->running_mean = running(torch::randn({c_out}) * 0.2);
      spec.norm->running_var = running(torch::rand({c_out}) + 0.5);
    }
    return spec;
  }

  ResidualSpec residual(int c_in, int c_out, int ks, int stride, Activation activation, bool norm) {
    ResidualSpec spec;
    spec.a = conv(c_in, c_out, ks, 1, activation, norm);
    spec.b = conv(c_out, c_out, ks, stride, {}, norm);
    spec.activation = activation;
    if (c_in != c_out) {
      spec.id_weight = parameter(torch::randn({c_out, c_in, 1, 1}) / std::sqrt(c_in));
      spec.id_bias = parameter(torch::randn({c_out}) * 0.3);
    }
    return spec;
  }

  Tensor apply(const LayerSpec& layer, const Tensor& x, bool training) {
    if (const auto* spec = std::get_if<ConvSpec>(&layer)) return apply_conv(*spec, x, training);
    if (const auto* spec = std::get_if<DoubleSpec>(&layer)) {
      return apply_conv(spec->b, apply_conv(spec->a, x, training), training);
    }
    const auto& spec = std::get<ResidualSpec>(layer);
    Tensor main = apply_conv(spec.b, apply_conv(spec.a, x, training), training);
    Tensor id = spec.b.stride == 2 ? torch::avg_pool2d(x, 2, 2, 0, true) : x;
    if (spec.id_weight) id = torch::conv2d(id, exact(*spec.id_weight), exact(*spec.id_bias));
    return activate(main + id, spec.activation);
  }

  /// Running statistics as they were, and no corner met.
  void restart() {
    for (auto& [key, exact] : exact_running_) exact = running_.at(key).to(torch::kDouble).clone();
    clearance_ = std::numeric_limits<double>::infinity();
  }

  /// Smallest distance of a value to its activation's corner since restart().
  double clearance() const { return clearance_; }

  std::map<const float*, Tensor>& exact_parameters() { return exact_; }
  std::map<const float*, Tensor>& gradients() { return gradients_; }
  std::map<const float*, Tensor>& exact_running() { return exact_running_; }
  std::map<const float*, Tensor>& our_running() { return running_; }

 private:
  Parameter parameter(const Tensor& value) {
    const Tensor kept = value.to(torch::kFloat).contiguous();
    const Tensor grad = torch::full_like(kept, std::nan(""));
    kept_.push_back(kept);
    exact_[kept.data_ptr<float>()] = kept.to(torch::kDouble).requires_grad_();
    gradients_[kept.data_ptr<float>()] = grad;
    return {kept.data_ptr<float>(), grad.data_ptr<float>()};
  }

  float* running(const Tensor& value) {
    const Tensor kept = value.to(torch::kFloat).contiguous();
    running_[kept.data_ptr<float>()] = kept;
    exact_running_[kept.data_ptr<float>()] = kept.to(torch::kDouble).clone();
    return kept.data_ptr<float>();
  }

  Tensor exact(const Parameter& p) { return exact_.at(p.value); }

  Tensor activate(const Tensor& x, const Activation& activation) {
    if (activation.slope != 1) {
      clearance_ = std::min(clearance_, x.detach().abs().min().item<double>());
    }
    return torch::leaky_relu(x, activation.slope) - activation.subtract;
  }

  Tensor apply_conv(const ConvSpec& spec, const Tensor& x, bool training) {
    const Tensor z = torch::conv2d(x, exact(spec.weight), spec.bias ? exact(*spec.bias) : Tensor(),
                                   spec.stride, spec.ks / 2);
    Tensor a = activate(z, spec.activation);
    if (!spec.norm) return a;
    return torch::batch_norm(a, exact(spec.norm->weight), exact(spec.norm->bias),
                             exact_running_.at(spec.norm->running_mean),
                             exact_running_.at(spec.norm->running_var), training,
                             spec.norm->momentum, spec.norm->eps, false);
  }

  std::mt19937 random_;
  double clearance_ = std::numeric_limits<double>::infinity();
  std::vector<Tensor> kept_;
  std::map<const float*, Tensor> exact_, gradients_, running_, exact_running_;
};

/// Largest difference over the largest entry. Some gradients are zero but for rounding (a bias
/// before a norm), so the denominator has a floor; gradients that matter are around 1 and above.
double relative_error(const Tensor& found, const Tensor& wanted) {
  const double largest = wanted.abs().max().item<double>();
  return (found.to(torch::kDouble) - wanted).abs().max().item<double>() / std::max(largest, 0.5);
}

/// Rounding may put a value this close to zero on the other side of an activation's corner, and in
/// a deep network over a small batch one such value moves gradients by percents. Inputs are drawn
/// until the exact network keeps clear of all corners, so that every entry can be held to rounding.
constexpr double kClearance = 2e-6;

struct Tolerance {
  double output = 2e-5;
  double gradient = 2e-4;
};

/// One forward and backward pass of both, compared.
void expect_agreement(Network& network, std::vector<LayerSpec> layers,
                      const StretchOptions& options, Mode mode = Mode::train,
                      Tolerance tolerance = {}) {
  const ImageShape& in = options.input;
  Tensor x, exact_x, y;
  std::vector<Tensor> outputs;
  int draws = 0;
  do {
    ASSERT_LT(draws++, 40) << "no input keeps clear of the corners";
    network.restart();
    outputs.clear();
    x = torch::randn({options.batch, in.channels, in.height, in.width});
    y = exact_x = x.to(torch::kDouble).requires_grad_();
    for (const LayerSpec& layer : layers) {
      y = network.apply(layer, y, mode == Mode::train);
      outputs.push_back(y.detach());
    }
  } while (network.clearance() < kClearance);
  const Tensor grad = torch::randn(y.sizes());
  y.backward(grad.to(torch::kDouble));

  Stretch stretch(layers, options);
  const ImageShape out = stretch.output_shape();
  ASSERT_EQ(y.sizes(),
            (std::vector<std::int64_t>{options.batch, out.channels, out.height, out.width}));
  Tensor found = torch::full(y.sizes(), std::nan(""));
  Tensor grad_x = torch::full_like(x, std::nan(""));
  const ParallelFor parallel = threads(options.threads);
  stretch.watch(true);
  stretch.forward(x.data_ptr<float>(), found.data_ptr<float>(), mode, parallel);
  EXPECT_LT(relative_error(found, y.detach()), tolerance.output);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Moments moments = stretch.moments(i);
    EXPECT_EQ(moments.count, outputs[i].numel());
    if (outputs[i].numel() < 2) continue;
    const double std = outputs[i].std().item<double>();
    EXPECT_NEAR(moments.mean, outputs[i].mean().item<double>(), 1e-5 * (1 + std));
    EXPECT_NEAR(moments.std(), std, 1e-5 * (1 + std));
  }
  stretch.backward(grad.data_ptr<float>(),
                   options.input_gradient ? grad_x.data_ptr<float>() : nullptr, parallel);
  if (options.input_gradient) {
    EXPECT_LT(relative_error(grad_x, exact_x.grad()), tolerance.gradient) << "input gradient";
  }
  for (const auto& [key, exact] : network.exact_parameters()) {
    EXPECT_LT(relative_error(network.gradients().at(key), exact.grad()), tolerance.gradient)
        << "gradient of a parameter " << exact.sizes();
  }
  for (const auto& [key, exact] : network.exact_running()) {
    EXPECT_LT(relative_error(network.our_running().at(key), exact), 1e-5) << "running statistics";
  }
}

const Activation kGeneral{0.1F, 0.4F};
const Activation kRelu{0, 0};

using StretchOracle = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(StretchOracle);

TEST_P(StretchOracle, one_convolution_of_every_kind) {
  for (int ks : {1, 3, 5, 7}) {
    for (int stride : {1, 2}) {
      for (bool norm : {false, true}) {
        for (auto [height, width] : {std::pair{9, 12}, {1, 1}, {2, 3}, {5, 4}}) {
          SCOPED_TRACE(testing::Message() << "ks " << ks << " stride " << stride << " norm " << norm
                                          << " image " << height << "x" << width);
          Network network(static_cast<unsigned>(ks + stride));
          expect_agreement(
              network, {network.conv(3, 18, ks, stride, kGeneral, norm)},
              {.batch = 5, .input = {3, height, width}, .isa = isa(), .input_gradient = true});
        }
      }
    }
  }
}

std::vector<LayerSpec> page_network(Network& network, int kind, const Activation& activation) {
  const int nfs[] = {1, 8, 16, 32, 64, 128, 10};
  std::vector<LayerSpec> layers;
  for (int i = 0; i < 6; ++i) {
    const int ks = i == 0 ? 5 : 3;
    const int stride = i == 0 ? 1 : 2;
    const Activation act = i == 5 ? Activation{} : activation;
    if (kind == 0) layers.emplace_back(network.conv(nfs[i], nfs[i + 1], ks, stride, act, true));
    if (kind == 1) layers.emplace_back(network.residual(nfs[i], nfs[i + 1], ks, stride, act, true));
    if (kind == 2) {
      layers.emplace_back(DoubleSpec{network.conv(nfs[i], nfs[i + 1], ks, 1, act, true),
                                     network.conv(nfs[i + 1], nfs[i + 1], ks, stride, act, true)});
    }
  }
  return layers;
}

TEST_P(StretchOracle, the_pages_networks_train_and_evaluate_as_torchs) {
  // Without a corner in the activation nothing but rounding separates the two.
  const Activation smooth{1, 0.4F};
  for (int kind : {0, 1, 2}) {
    for (Mode mode : {Mode::train, Mode::eval}) {
      for (const Activation& activation : {smooth, kGeneral}) {
        SCOPED_TRACE(testing::Message() << "kind " << kind << " mode " << static_cast<int>(mode)
                                        << " slope " << activation.slope);
        Network network(7);
        expect_agreement(network, page_network(network, kind, activation),
                         {.batch = 19,
                          .input = {1, 28, 28},
                          .threads = 2,
                          .isa = isa(),
                          .input_gradient = kind == 1},
                         mode, {.gradient = 5e-4});
      }
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
