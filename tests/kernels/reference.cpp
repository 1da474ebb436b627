// The references by finite differences: for a random direction d and random output weights g,
// (g·f(x + h·d) - g·f(x - h·d)) / 2h against the gradient times d.
#include <cmath>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include <fatwood/kernels/reference.h>

namespace fatwood::kernels::reference {
namespace {

std::mt19937 random_source(11);

void fill(Vector& values, double offset = 0) {
  std::normal_distribution<double> normal(offset, 1);
  for (double& v : values) v = normal(random_source);
}

Tensor random_tensor(int n, int c, int h, int w) {
  Tensor t(n, c, h, w);
  fill(t.values);
  return t;
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// `values` is what `output` depends on; `gradient` is claimed for Σ weights·output.
void expect_gradient(Vector& values, const Vector& gradient, const Vector& weights,
                     const std::function<Vector()>& output) {
  constexpr double kStep = 1e-5;
  Vector direction(values.size());
  fill(direction);
  const Vector at = values;
  const auto along = [&](double h) {
    for (std::size_t i = 0; i < at.size(); ++i) values[i] = at[i] + h * direction[i];
    return dot(weights, output());
  };
  const double slope = (along(kStep) - along(-kStep)) / (2 * kStep);
  values = at;
  EXPECT_NEAR(dot(gradient, direction), slope, 1e-5 * (1 + std::abs(slope)));
}

TEST(Reference, conv2d_gradients) {
  for (int stride : {1, 2}) {
    for (int ks : {1, 3, 5}) {
      Tensor x = random_tensor(2, 3, 6, 5);
      Tensor w = random_tensor(4, 3, ks, ks);
      Vector bias(4);
      fill(bias);
      const Tensor out = conv2d(x, w, bias, stride);
      const Tensor g = random_tensor(out.n, out.c, out.h, out.w);
      const auto run = [&] { return conv2d(x, w, bias, stride).values; };
      expect_gradient(x.values, conv2d_input_gradient(g, w, x, stride).values, g.values, run);
      expect_gradient(w.values, conv2d_weight_gradient(g, w, x, stride).values, g.values, run);
      expect_gradient(bias, conv2d_bias_gradient(g), g.values, run);
    }
  }
}

TEST(Reference, conv2d_by_hand) {
  Tensor x(1, 1, 2, 2);
  x.values = {1, 2, 3, 4};
  Tensor w(1, 1, 3, 3);
  w.values = {0, 0, 0, 0, 10, 1, 0, 100, 0};
  EXPECT_EQ(conv2d(x, w, {0.5}, 1).values,
            (Vector{10 + 2 + 300 + 0.5, 20 + 400 + 0.5, 34.5, 40.5}));
  EXPECT_EQ(conv2d(x, w, {}, 2).values, (Vector{10 + 2 + 300}));
}

TEST(Reference, activation_gradient) {
  Tensor x = random_tensor(2, 2, 3, 3);
  const Tensor g = random_tensor(2, 2, 3, 3);
  expect_gradient(x.values, activate_gradient(g, x, 0.1).values, g.values,
                  [&] { return activate(x, 0.1, 0.4).values; });
}

TEST(Reference, batch_norm_gradients_in_both_modes) {
  Tensor x = random_tensor(3, 2, 4, 3);
  BatchNorm norm{Vector(2), Vector(2), {0.3, -0.2}, {1.5, 0.7}};
  fill(norm.weight, 1);
  fill(norm.bias);
  const Tensor g = random_tensor(3, 2, 4, 3);
  const auto train = [&] {
    BatchNorm copy = norm;
    return batch_norm_train(x, copy).values;
  };
  const auto eval = [&] { return batch_norm_eval(x, norm).values; };
  const auto in_train = batch_norm_train_gradient(g, x, norm);
  expect_gradient(x.values, in_train.x.values, g.values, train);
  expect_gradient(norm.weight, in_train.weight, g.values, train);
  expect_gradient(norm.bias, in_train.bias, g.values, train);
  const auto in_eval = batch_norm_eval_gradient(g, x, norm);
  expect_gradient(x.values, in_eval.x.values, g.values, eval);
  expect_gradient(norm.weight, in_eval.weight, g.values, eval);
}

TEST(Reference, pools_and_linear) {
  for (auto [h, w] : {std::pair{4, 4}, {5, 3}, {1, 1}}) {
    Tensor x = random_tensor(2, 3, h, w);
    const Tensor g = random_tensor(2, 3, (h + 1) / 2, (w + 1) / 2);
    expect_gradient(x.values, average_pool_gradient(g, x).values, g.values,
                    [&] { return average_pool(x).values; });
    expect_gradient(x.values, max_pool_gradient(g, x).values, g.values,
                    [&] { return max_pool(x).values; });
    const Tensor one = random_tensor(2, 3, 1, 1);
    expect_gradient(x.values, global_average_pool_gradient(one, x).values, one.values,
                    [&] { return global_average_pool(x).values; });
  }
  Tensor x = random_tensor(2, 3, 1, 1);
  Tensor w(2, 3, 1, 1);
  w.values = {1, 0, 0, 0, 1, 1};
  const Tensor y = linear(x, w, {0, 10});
  EXPECT_DOUBLE_EQ(y.at(1, 0, 0, 0), x.at(1, 0, 0, 0));
  EXPECT_DOUBLE_EQ(y.at(1, 1, 0, 0), x.at(1, 1, 0, 0) + x.at(1, 2, 0, 0) + 10);
}

TEST(Reference, max_pool_by_hand) {
  Tensor x(1, 1, 3, 3);
  x.values = {1, 2, 9, 4, 5, 3, 9, 8, -7};
  EXPECT_EQ(max_pool(x).values, (Vector{5, 9, 9, 8}));
  Tensor g(1, 1, 2, 2);
  g.values = {1, 10, 100, 1000};
  EXPECT_EQ(max_pool_gradient(g, x).values, (Vector{0, 0, 10, 0, 1, 0, 100, 1000, 0}));
  x.values = Vector(9, 2.0);  // equal values: the first
  EXPECT_EQ(max_pool_gradient(g, x).values, (Vector{1, 10, 0, 100, 1000, 0, 0, 0, 0}));
  x.values[2] = NAN;  // in one window
  const Vector with_nan = max_pool(x).values;
  EXPECT_TRUE(std::isnan(with_nan[1]));
  EXPECT_EQ((Vector{with_nan[0], with_nan[2], with_nan[3]}), (Vector{2, 2, 2}));
  EXPECT_EQ(max_pool_gradient(g, x).values, (Vector{1, 0, 10, 100, 1000, 0, 0, 0, 0}));
}

TEST(Reference, cross_entropy_gradient) {
  Tensor logits = random_tensor(5, 4, 1, 1);
  const std::vector<std::int64_t> targets = {0, 3, 1, 1, 2};
  expect_gradient(logits.values, softmax_cross_entropy_gradient(logits, targets).values, {1},
                  [&] { return Vector{softmax_cross_entropy(logits, targets)}; });
}

}  // namespace
}  // namespace fatwood::kernels::reference
