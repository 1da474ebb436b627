// A stretch beside the same network made of references, and the comparison of the two: output,
// every gradient, running statistics.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/kernels/reference.h>
#include <fatwood/kernels/stretch.h>

#include "exact_network.h"
#include "support.h"

namespace fatwood::kernels {

namespace ref = reference;

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
inline double error(const float* found, const ref::Vector& wanted, double floor = 1) {
  double largest = floor;
  double difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    largest = std::max(largest, std::abs(wanted[i]));
    const double d = std::abs(static_cast<double>(found[i]) - wanted[i]);
    difference = std::isnan(d) ? INFINITY : std::max(difference, d);
  }
  return difference / largest;
}

/// What the largest difference may be, over the largest entry.
struct Tolerance {
  double gradient = 0;
  double output = 2e-5;
  double running = 1e-5;
  /// Whether gradients that are sums over all pixels, and may be zero but for rounding, are held to
  /// what random signs would leave of their terms.
  bool sums_by_terms = false;
};

/// √Σg² of the channel where it is largest.
inline double size_of_terms(const ref::Tensor& grad) {
  double largest = 0;
  for (int c = 0; c < grad.c; ++c) {
    double sum = 0;
    for (int n = 0; n < grad.n; ++n) {
      for (int y = 0; y < grad.h; ++y) {
        for (int x = 0; x < grad.w; ++x) sum += grad.at(n, c, y, x) * grad.at(n, c, y, x);
      }
    }
    largest = std::max(largest, std::sqrt(sum));
  }
  return largest;
}

/// Rounding may put a value this close to an activation's corner, or to another value of its
/// pooling window, on the other side, and over a small batch one such value moves gradients by
/// percents. Inputs are drawn until the exact network keeps clear, so that every entry is held to
/// rounding.
constexpr double kClearance = 5e-6;

/// Smallest gap between the largest value of a pooling window and any other positive one.
inline double pooling_gap(const ref::Tensor& x) {
  double gap = INFINITY;
  const ref::Tensor most = ref::max_pool(x);
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      for (int y = 0; y < most.h; ++y) {
        for (int i = 0; i < most.w; ++i) {
          const double top = most.at(n, c, y, i);
          int at_top = 0;
          for (int row = std::max(0, 2 * y - 1); row < std::min(x.h, 2 * y + 2); ++row) {
            for (int column = std::max(0, 2 * i - 1); column < std::min(x.w, 2 * i + 2); ++column) {
              const double below = top - x.at(n, c, row, column);
              if (below == 0) ++at_top;
              if (below > 0) gap = std::min(gap, below);
            }
          }
          if (at_top > 1 && top > 0) gap = 0;
        }
      }
    }
  }
  return gap;
}

/// A layer's passes, step by step, each value kept for the backward pass.
struct ExactLayer {
  /// How far the forward pass stayed from corners.
  double clearance = INFINITY;

  virtual ~ExactLayer() = default;
  virtual ref::Tensor forward(const ref::Tensor& input, Mode mode) = 0;
  /// Compares with the gradients that the stretch wrote; returns the input's gradient.
  virtual ref::Tensor backward(const ref::Tensor& grad, Mode mode, const Tolerance& tolerance) = 0;
  virtual void expect_running(double tolerance) const = 0;

 protected:
  ref::Tensor activate(const ref::Tensor& x, double slope, double subtract) {
    for (double v : x.values) {
      if (slope != 1) clearance = std::min(clearance, std::abs(v));
    }
    return ref::activate(x, slope, subtract);
  }
  ref::Tensor through(ExactLayer& part, const ref::Tensor& x, Mode mode) {
    ref::Tensor y = part.forward(x, mode);
    clearance = std::min(clearance, part.clearance);
    return y;
  }
};

/// One convolution's forward and backward pass.
struct ExactConv : ExactLayer {
  const ConvSpec& spec;
  ref::Tensor weight, x, z, a, y;
  ref::BatchNorm norm;

  explicit ExactConv(const ConvSpec& spec_)
      : spec(spec_), weight(exact(spec.weight.value, spec.c_out, spec.c_in, spec.ks, spec.ks)) {
    if (!spec.norm) return;
    norm = {exact(spec.norm->weight.value, spec.c_out), exact(spec.norm->bias.value, spec.c_out),
            exact(spec.norm->running_mean, spec.c_out), exact(spec.norm->running_var, spec.c_out)};
  }

  ref::Tensor forward(const ref::Tensor& input, Mode mode) override {
    x = input;
    z = ref::conv2d(x, weight, spec.bias ? exact(spec.bias->value, spec.c_out) : ref::Vector{},
                    spec.stride);
    a = activate(z, spec.activation.slope, spec.activation.subtract);
    y = !spec.norm            ? a
        : mode == Mode::train ? ref::batch_norm_train(a, norm)
                              : ref::batch_norm_eval(a, norm);
    return y;
  }

  ref::Tensor backward(const ref::Tensor& grad_out, Mode mode,
                       const Tolerance& tolerance) override {
    ref::Tensor grad = grad_out;
    if (spec.norm) {
      const auto g = mode == Mode::train ? ref::batch_norm_train_gradient(grad, a, norm)
                                         : ref::batch_norm_eval_gradient(grad, a, norm);
      EXPECT_LT(error(spec.norm->weight.grad, g.weight), tolerance.gradient) << "norm weight";
      EXPECT_LT(error(spec.norm->bias.grad, g.bias, floor(tolerance, grad)), tolerance.gradient)
          << "norm bias";
      grad = g.x;
    }
    grad = ref::activate_gradient(grad, z, spec.activation.slope);
    EXPECT_LT(
        error(spec.weight.grad, ref::conv2d_weight_gradient(grad, weight, x, spec.stride).values),
        tolerance.gradient)
        << "weight";
    if (spec.bias) {
      EXPECT_LT(error(spec.bias->grad, ref::conv2d_bias_gradient(grad), floor(tolerance, grad)),
                tolerance.gradient)
          << "bias";
    }
    return ref::conv2d_input_gradient(grad, weight, x, spec.stride);
  }

  static double floor(const Tolerance& tolerance, const ref::Tensor& grad) {
    return tolerance.sums_by_terms ? std::max(1.0, size_of_terms(grad)) : 1.0;
  }

  void expect_running(double tolerance) const override {
    if (!spec.norm) return;
    EXPECT_LT(error(spec.norm->running_mean, norm.running_mean), tolerance);
    EXPECT_LT(error(spec.norm->running_var, norm.running_var), tolerance);
  }
};

struct ExactDouble : ExactLayer {
  ExactConv a, b;

  explicit ExactDouble(const DoubleSpec& spec) : a(spec.a), b(spec.b) {}

  ref::Tensor forward(const ref::Tensor& x, Mode mode) override {
    return through(b, through(a, x, mode), mode);
  }
  ref::Tensor backward(const ref::Tensor& grad, Mode mode, const Tolerance& tolerance) override {
    return a.backward(b.backward(grad, mode, tolerance), mode, tolerance);
  }
  void expect_running(double tolerance) const override {
    a.expect_running(tolerance);
    b.expect_running(tolerance);
  }
};

struct ExactResidual : ExactLayer {
  const ResidualSpec& spec;
  ExactConv a, b;
  ref::Tensor x, pooled, sum;

  explicit ExactResidual(const ResidualSpec& spec_) : spec(spec_), a(spec.a), b(spec.b) {}

  ref::Tensor id_weight() const {
    return exact(spec.id_weight->value, spec.b.c_out, spec.a.c_in, 1, 1);
  }

  ref::Tensor forward(const ref::Tensor& input, Mode mode) override {
    x = input;
    pooled = spec.b.stride == 2 ? ref::average_pool(x) : x;
    const ref::Tensor id = spec.id_weight ? ref::conv2d(pooled, id_weight(),
                                                        exact(spec.id_bias->value, spec.b.c_out), 1)
                                          : pooled;
    sum = ref::add(through(b, through(a, x, mode), mode), id);
    return activate(sum, spec.activation.slope, spec.activation.subtract);
  }

  ref::Tensor backward(const ref::Tensor& grad_out, Mode mode,
                       const Tolerance& tolerance) override {
    const ref::Tensor grad = ref::activate_gradient(grad_out, sum, spec.activation.slope);
    ref::Tensor id = grad;
    if (spec.id_weight) {
      EXPECT_LT(error(spec.id_weight->grad,
                      ref::conv2d_weight_gradient(grad, id_weight(), pooled, 1).values),
                tolerance.gradient)
          << "identity weight";
      EXPECT_LT(error(spec.id_bias->grad, ref::conv2d_bias_gradient(grad)), tolerance.gradient);
      id = ref::conv2d_input_gradient(grad, id_weight(), pooled, 1);
    }
    if (spec.b.stride == 2) id = ref::average_pool_gradient(id, x);
    return ref::add(a.backward(b.backward(grad, mode, tolerance), mode, tolerance), id);
  }
  void expect_running(double tolerance) const override {
    a.expect_running(tolerance);
    b.expect_running(tolerance);
  }
};

struct ExactBasic : ExactLayer {
  const BasicSpec& spec;
  ExactConv a, b;
  std::optional<ExactConv> down;
  ref::Tensor normed, sum;

  explicit ExactBasic(const BasicSpec& spec_) : spec(spec_), a(spec.a), b(spec.b) {
    if (spec.down) down.emplace(*spec.down);
  }

  ref::Tensor forward(const ref::Tensor& x, Mode mode) override {
    normed = through(a, x, mode);
    const ref::Tensor main = through(b, activate(normed, spec.activation.slope, 0), mode);
    sum = ref::add(main, down ? through(*down, x, mode) : x);
    return activate(sum, spec.activation.slope, 0);
  }
  ref::Tensor backward(const ref::Tensor& grad_out, Mode mode,
                       const Tolerance& tolerance) override {
    const ref::Tensor grad = ref::activate_gradient(grad_out, sum, spec.activation.slope);
    const ref::Tensor late =
        ref::activate_gradient(b.backward(grad, mode, tolerance), normed, spec.activation.slope);
    return ref::add(a.backward(late, mode, tolerance),
                    down ? down->backward(grad, mode, tolerance) : grad);
  }
  void expect_running(double tolerance) const override {
    a.expect_running(tolerance);
    b.expect_running(tolerance);
    if (down) down->expect_running(tolerance);
  }
};

struct ExactStem : ExactLayer {
  const StemSpec& spec;
  ExactConv conv;
  ref::Tensor normed, activated;

  explicit ExactStem(const StemSpec& spec_) : spec(spec_), conv(spec.conv) {}

  ref::Tensor forward(const ref::Tensor& x, Mode mode) override {
    normed = through(conv, x, mode);
    activated = activate(normed, spec.activation.slope, 0);
    clearance = std::min(clearance, pooling_gap(activated));
    return ref::max_pool(activated);
  }
  ref::Tensor backward(const ref::Tensor& grad, Mode mode, const Tolerance& tolerance) override {
    return conv.backward(ref::activate_gradient(ref::max_pool_gradient(grad, activated), normed,
                                                spec.activation.slope),
                         mode, tolerance);
  }
  void expect_running(double tolerance) const override { conv.expect_running(tolerance); }
};

struct ExactHead : ExactLayer {
  const HeadSpec& spec;
  ref::Tensor weight, x, mean;

  explicit ExactHead(const HeadSpec& spec_)
      : spec(spec_), weight(exact(spec.weight.value, spec.c_out, spec.c_in, 1, 1)) {}

  ref::Tensor forward(const ref::Tensor& input, Mode) override {
    x = input;
    mean = ref::global_average_pool(x);
    return ref::linear(mean, weight, exact(spec.bias->value, spec.c_out));
  }
  ref::Tensor backward(const ref::Tensor& grad, Mode, const Tolerance& tolerance) override {
    EXPECT_LT(error(spec.weight.grad, ref::conv2d_weight_gradient(grad, weight, mean, 1).values),
              tolerance.gradient)
        << "head's weight";
    EXPECT_LT(error(spec.bias->grad, ref::conv2d_bias_gradient(grad)), tolerance.gradient);
    return ref::global_average_pool_gradient(ref::conv2d_input_gradient(grad, weight, mean, 1), x);
  }
  void expect_running(double) const override {}
};

inline std::unique_ptr<ExactLayer> exact_layer(const LayerSpec& layer) {
  const auto make = [](const auto& spec) -> std::unique_ptr<ExactLayer> {
    using Spec = std::decay_t<decltype(spec)>;
    if constexpr (std::is_same_v<Spec, ConvSpec>) return std::make_unique<ExactConv>(spec);
    if constexpr (std::is_same_v<Spec, DoubleSpec>) return std::make_unique<ExactDouble>(spec);
    if constexpr (std::is_same_v<Spec, ResidualSpec>) return std::make_unique<ExactResidual>(spec);
    if constexpr (std::is_same_v<Spec, BasicSpec>) return std::make_unique<ExactBasic>(spec);
    if constexpr (std::is_same_v<Spec, StemSpec>) return std::make_unique<ExactStem>(spec);
    if constexpr (std::is_same_v<Spec, HeadSpec>) return std::make_unique<ExactHead>(spec);
  };
  return std::visit(make, layer);
}

/// Runs both over the same random input and output gradient and compares everything.
inline void expect_agreement(unsigned seed, const std::vector<LayerSpec>& layers,
                             const StretchOptions& options, Mode mode, const Tolerance& tolerance) {
  const ImageShape& in = options.input;
  std::vector<float> x;
  std::vector<std::unique_ptr<ExactLayer>> exact_layers;
  ref::Tensor y;
  double clearance = 0;
  for (unsigned draw = 0; clearance < kClearance; ++draw) {
    ASSERT_LT(draw, 60U) << "no input keeps clear of the corners";
    exact_layers.clear();
    clearance = INFINITY;
    x = normal(static_cast<std::size_t>(options.batch) * in.channels * in.height * in.width,
               seed + 7919 * draw);
    y = exact(x.data(), options.batch, in.channels, in.height, in.width);
    for (const LayerSpec& layer : layers) {
      y = exact_layers.emplace_back(exact_layer(layer))->forward(y, mode);
      clearance = std::min(clearance, exact_layers.back()->clearance);
      if (clearance < kClearance) break;
    }
  }

  Stretch stretch(layers, options);
  ASSERT_EQ(stretch.output_shape().height, y.h);
  std::vector<float> found(y.values.size(), std::nanf(""));
  std::vector<float> grad_x(x.size(), std::nanf(""));
  const ParallelFor parallel = threads(options.threads);
  stretch.forward(x.data(), found.data(), mode, parallel);
  EXPECT_LT(error(found.data(), y.values), tolerance.output) << "output";
  const auto grad = normal(found.size(), seed + 1);
  stretch.backward(grad.data(), options.input_gradient ? grad_x.data() : nullptr, parallel);

  ref::Tensor g = exact(grad.data(), y.n, y.c, y.h, y.w);
  for (std::size_t i = layers.size(); i-- > 0;) g = exact_layers[i]->backward(g, mode, tolerance);
  if (options.input_gradient) {
    EXPECT_LT(error(grad_x.data(), g.values), tolerance.gradient) << "input";
  }
  if (mode == Mode::train) {
    for (const auto& layer : exact_layers) layer->expect_running(tolerance.running);
  }
}

inline void expect_agreement(unsigned seed, const std::vector<LayerSpec>& layers,
                             const StretchOptions& options, Mode mode, double tolerance) {
  expect_agreement(seed, layers, options, mode, Tolerance{.gradient = tolerance});
}

}  // namespace fatwood::kernels
