// A stretch with parameters of its own beside the same network made of references, and the
// comparison of the two: output, every gradient, running statistics.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/kernels/reference.h>
#include <fatwood/kernels/stretch.h>

#include "support.h"

namespace fatwood::kernels {

namespace ref = reference;

/// A stretch with parameters of its own and the same network made of references.
class Network {
 public:
  explicit Network(unsigned seed) : random(seed) {}

  ConvSpec conv(int c_in, int c_out, int ks, int stride, Activation activation, bool norm,
                bool bias) {
    ConvSpec spec;
    spec.c_in = c_in;
    spec.c_out = c_out;
    spec.ks = ks;
    spec.stride = stride;
    spec.activation = activation;
    spec.weight = parameter(c_in * c_out * ks * ks, 0, std::sqrt(2.0F / (c_in * ks * ks)));
    if (bias) spec.bias = parameter(c_out, 0, 0.3F);
    if (norm) {
      spec.norm.emplace();
      spec.norm->weight = parameter(c_out, 1, 0.2F);
      spec.norm->bias = parameter(c_out, 0, 0.5F);
      spec.norm->running_mean = values(c_out, 0, 0.2F);
      spec.norm->running_var = values(c_out, 1, 0.1F);
    }
    return spec;
  }

  ResidualSpec residual(int c_in, int c_out, int ks, int stride, Activation activation, bool norm) {
    ResidualSpec spec;
    spec.a = conv(c_in, c_out, ks, 1, activation, norm, !norm);
    spec.b = conv(c_out, c_out, ks, stride, {}, norm, !norm);
    spec.activation = activation;
    if (c_in != c_out || random() % 2) {
      spec.id_weight = parameter(c_in * c_out, 0, std::sqrt(1.0F / c_in));
      spec.id_bias = parameter(c_out, 0, 0.3F);
    }
    return spec;
  }

  std::mt19937 random;

 private:
  float* values(int n, float mean, float std) {
    kept_.push_back(
        normal(static_cast<std::size_t>(n), static_cast<unsigned>(random()), mean, std));
    return kept_.back().data();
  }

  Parameter parameter(int n, float mean, float std) {
    const float* value = values(n, mean, std);
    kept_.emplace_back(static_cast<std::size_t>(n), std::nanf(""));
    return {value, kept_.back().data()};
  }

  std::deque<std::vector<float>> kept_;
};

inline ref::Vector exact(const float* p, int n) {
  return {p, p + n};
}

inline ref::Tensor exact(const float* p, int n, int c, int h, int w) {
  ref::Tensor t(n, c, h, w);
  t.values = exact(p, n * c * h * w);
  return t;
}

/// Largest difference over the largest entry. Some gradients are zero but for rounding (a bias
/// before a norm), hence the floor; where values matter, the largest is around 1 and above.
inline double error(const float* found, const ref::Vector& wanted) {
  double largest = 1;
  double difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    largest = std::max(largest, std::abs(wanted[i]));
    const double d = std::abs(static_cast<double>(found[i]) - wanted[i]);
    difference = std::isnan(d) ? INFINITY : std::max(difference, d);
  }
  return difference / largest;
}

/// One convolution's forward and backward pass, step by step.
struct ExactConv {
  const ConvSpec& spec;
  ref::Tensor weight, x, z, a, y;
  ref::BatchNorm norm;

  explicit ExactConv(const ConvSpec& spec_)
      : spec(spec_), weight(exact(spec.weight.value, spec.c_out, spec.c_in, spec.ks, spec.ks)) {
    if (!spec.norm) return;
    norm = {exact(spec.norm->weight.value, spec.c_out), exact(spec.norm->bias.value, spec.c_out),
            exact(spec.norm->running_mean, spec.c_out), exact(spec.norm->running_var, spec.c_out)};
  }

  const ref::Tensor& forward(const ref::Tensor& input, Mode mode) {
    x = input;
    z = ref::conv2d(x, weight, spec.bias ? exact(spec.bias->value, spec.c_out) : ref::Vector{},
                    spec.stride);
    a = ref::activate(z, spec.activation.slope, spec.activation.subtract);
    y = !spec.norm            ? a
        : mode == Mode::train ? ref::batch_norm_train(a, norm)
                              : ref::batch_norm_eval(a, norm);
    return y;
  }

  /// Compares with the gradients that the stretch wrote; returns the input's gradient.
  ref::Tensor backward(ref::Tensor grad, Mode mode, double tolerance) {
    if (spec.norm) {
      const auto g = mode == Mode::train ? ref::batch_norm_train_gradient(grad, a, norm)
                                         : ref::batch_norm_eval_gradient(grad, a, norm);
      EXPECT_LT(error(spec.norm->weight.grad, g.weight), tolerance) << "norm weight";
      EXPECT_LT(error(spec.norm->bias.grad, g.bias), tolerance) << "norm bias";
      grad = g.x;
    }
    grad = ref::activate_gradient(grad, z, spec.activation.slope);
    EXPECT_LT(
        error(spec.weight.grad, ref::conv2d_weight_gradient(grad, weight, x, spec.stride).values),
        tolerance)
        << "weight";
    if (spec.bias) {
      EXPECT_LT(error(spec.bias->grad, ref::conv2d_bias_gradient(grad)), tolerance) << "bias";
    }
    return ref::conv2d_input_gradient(grad, weight, x, spec.stride);
  }

  void expect_running() const {
    if (!spec.norm) return;
    EXPECT_LT(error(spec.norm->running_mean, norm.running_mean), 1e-5);
    EXPECT_LT(error(spec.norm->running_var, norm.running_var), 1e-5);
  }
};

struct ExactResidual {
  const ResidualSpec& spec;
  ExactConv a, b;
  ref::Tensor x, pooled, sum;

  explicit ExactResidual(const ResidualSpec& spec_) : spec(spec_), a(spec.a), b(spec.b) {}

  ref::Tensor id_weight() const {
    return exact(spec.id_weight->value, spec.b.c_out, spec.a.c_in, 1, 1);
  }

  ref::Tensor forward(const ref::Tensor& input, Mode mode) {
    x = input;
    pooled = spec.b.stride == 2 ? ref::average_pool(x) : x;
    const ref::Tensor id = spec.id_weight ? ref::conv2d(pooled, id_weight(),
                                                        exact(spec.id_bias->value, spec.b.c_out), 1)
                                          : pooled;
    sum = ref::add(b.forward(a.forward(x, mode), mode), id);
    return ref::activate(sum, spec.activation.slope, spec.activation.subtract);
  }

  ref::Tensor backward(const ref::Tensor& grad_out, Mode mode, double tolerance) {
    const ref::Tensor grad = ref::activate_gradient(grad_out, sum, spec.activation.slope);
    ref::Tensor id = grad;
    if (spec.id_weight) {
      EXPECT_LT(error(spec.id_weight->grad,
                      ref::conv2d_weight_gradient(grad, id_weight(), pooled, 1).values),
                tolerance)
          << "identity weight";
      EXPECT_LT(error(spec.id_bias->grad, ref::conv2d_bias_gradient(grad)), tolerance);
      id = ref::conv2d_input_gradient(grad, id_weight(), pooled, 1);
    }
    if (spec.b.stride == 2) id = ref::average_pool_gradient(id, x);
    return ref::add(a.backward(b.backward(grad, mode, tolerance), mode, tolerance), id);
  }
};

/// Runs both over the same random input and output gradient and compares everything.
inline void expect_agreement(unsigned seed, const std::vector<LayerSpec>& layers,
                             const StretchOptions& options, Mode mode, double tolerance) {
  std::deque<ExactConv> convs;
  std::deque<ExactResidual> residuals;
  const ImageShape& in = options.input;
  const auto x =
      normal(static_cast<std::size_t>(options.batch) * in.channels * in.height * in.width, seed);
  ref::Tensor y = exact(x.data(), options.batch, in.channels, in.height, in.width);
  for (const LayerSpec& layer : layers) {
    if (const auto* spec = std::get_if<ConvSpec>(&layer)) {
      y = convs.emplace_back(*spec).forward(y, mode);
    } else if (const auto* pair = std::get_if<DoubleSpec>(&layer)) {
      y = convs.emplace_back(pair->a).forward(y, mode);
      y = convs.emplace_back(pair->b).forward(y, mode);
    } else {
      y = residuals.emplace_back(std::get<ResidualSpec>(layer)).forward(y, mode);
    }
  }

  Stretch stretch(layers, options);
  ASSERT_EQ(stretch.output_shape().height, y.h);
  std::vector<float> found(y.values.size(), std::nanf(""));
  std::vector<float> grad_x(x.size(), std::nanf(""));
  const ParallelFor parallel = threads(options.threads);
  stretch.forward(x.data(), found.data(), mode, parallel);
  EXPECT_LT(error(found.data(), y.values), 2e-5) << "output";
  const auto grad = normal(found.size(), seed + 1);
  stretch.backward(grad.data(), options.input_gradient ? grad_x.data() : nullptr, parallel);

  ref::Tensor g = exact(grad.data(), y.n, y.c, y.h, y.w);
  std::size_t conv = convs.size();
  std::size_t residual = residuals.size();
  for (std::size_t i = layers.size(); i-- > 0;) {
    if (std::holds_alternative<ResidualSpec>(layers[i])) {
      g = residuals[--residual].backward(g, mode, tolerance);
      continue;
    }
    const int steps = std::holds_alternative<DoubleSpec>(layers[i]) ? 2 : 1;
    for (int s = 0; s < steps; ++s) g = convs[--conv].backward(g, mode, tolerance);
  }
  if (options.input_gradient) {
    EXPECT_LT(error(grad_x.data(), g.values), tolerance) << "input";
  }
  if (mode == Mode::train) {
    for (const ExactConv& c : convs) c.expect_running();
  }
}

}  // namespace fatwood::kernels
