// What every kernel computes, written once more as plainly as it can be: double precision, NCHW,
// loops in the order of the formula. The tests hold the fast kernels against these, and these
// against finite differences. Shapes are not checked. `grad` is the gradient of some loss with
// respect to what a function returns, and of its shape.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fatwood::kernels::reference {

/// (n, c, h, w), row-major.
struct Tensor {
  int n = 0, c = 0, h = 0, w = 0;
  std::vector<double> values;

  Tensor() = default;
  Tensor(int n_, int c_, int h_, int w_)
      : n(n_), c(c_), h(h_), w(w_), values(static_cast<std::size_t>(n_) * c_ * h_ * w_) {}

  std::size_t index(int i, int j, int y, int x) const {
    return ((static_cast<std::size_t>(i) * c + j) * h + y) * w + x;
  }
  double& at(int i, int j, int y, int x) { return values[index(i, j, y, x)]; }
  double at(int i, int j, int y, int x) const { return values[index(i, j, y, x)]; }
  std::int64_t per_channel() const { return static_cast<std::int64_t>(n) * h * w; }
};

using Vector = std::vector<double>;

/// x (N, I, H, W), weight (O, I, k, k), bias (O) or empty → (N, O, …); padding k/2.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Vector& bias, int stride);
/// Gradient with respect to x, shaped like x; of x only the shape is read.
Tensor conv2d_input_gradient(const Tensor& grad, const Tensor& weight, const Tensor& x, int stride);
/// Gradient with respect to weight, shaped like it; of weight only the shape is read.
Tensor conv2d_weight_gradient(const Tensor& grad, const Tensor& weight, const Tensor& x,
                              int stride);
/// (O): Σ over images and pixels.
Vector conv2d_bias_gradient(const Tensor& grad);

/// GeneralReLU: (x > 0 ? x : slope·x) - subtract.
Tensor activate(const Tensor& x, double slope, double subtract);
/// Gradient with respect to x, which is activate()'s argument: grad where x > 0, else slope·grad.
Tensor activate_gradient(const Tensor& grad, const Tensor& x, double slope);

/// A norm's vectors: one value a channel.
struct BatchNorm {
  Vector weight, bias, running_mean, running_var;
  double momentum = 0.1, eps = 1e-5;
};
/// Batch statistics; updates the running ones (variance unbiased).
Tensor batch_norm_train(const Tensor& x, BatchNorm& norm);
/// Running statistics.
Tensor batch_norm_eval(const Tensor& x, const BatchNorm& norm);

/// With respect to x, weight (channels) and bias (channels).
struct BatchNormGradients {
  Tensor x;
  Vector weight, bias;
};
/// Through the batch's statistics, which are taken from x; the running ones are not read.
BatchNormGradients batch_norm_train_gradient(const Tensor& grad, const Tensor& x,
                                             const BatchNorm& norm);
/// By the running statistics, as constants.
BatchNormGradients batch_norm_eval_gradient(const Tensor& grad, const Tensor& x,
                                            const BatchNorm& norm);

/// 2×2, stride 2, ceil_mode: windows cut at the border average what they hold.
Tensor average_pool(const Tensor& x);
/// Shaped like x, of which only the shape is read.
Tensor average_pool_gradient(const Tensor& grad, const Tensor& x);

/// 3×3 windows of stride 2 and padding 1, which no window takes from: → (N, C, ⌈H/2⌉, ⌈W/2⌉).
Tensor max_pool(const Tensor& x);
/// Shaped like x: a window's gradient goes to its first largest value in row order, or its last
/// NaN.
Tensor max_pool_gradient(const Tensor& grad, const Tensor& x);

/// (N, C, H, W) → (N, C, 1, 1)
Tensor global_average_pool(const Tensor& x);
/// grad (N, C, 1, 1) → shaped like x, of which only the shape is read.
Tensor global_average_pool_gradient(const Tensor& grad, const Tensor& x);

/// x (N, I, 1, 1), weight (O, I, 1, 1), bias (O) → (N, O, 1, 1): a 1×1 convolution.
Tensor linear(const Tensor& x, const Tensor& weight, const Vector& bias);

/// a + b, of one shape.
Tensor add(const Tensor& a, const Tensor& b);

/// logits (N, classes, 1, 1), targets (N) in [0, classes): mean over the samples, in nats.
double softmax_cross_entropy(const Tensor& logits, std::span<const std::int64_t> targets);
/// Gradient of that mean with respect to logits, shaped like them.
Tensor softmax_cross_entropy_gradient(const Tensor& logits, std::span<const std::int64_t> targets);

}  // namespace fatwood::kernels::reference
