#include <algorithm>
#include <cmath>

#include <fatwood/kernels/reference.h>

namespace fatwood::kernels::reference {
namespace {

/// function(n, o, y, x, i, ky, kx, iy, ix) for every product of a convolution.
template <class Function>
void for_each_product(const Tensor& out, const Tensor& weight, const Tensor& in, int stride,
                      Function function) {
  const int ks = weight.h;
  for (int n = 0; n < out.n; ++n) {
    for (int o = 0; o < out.c; ++o) {
      for (int y = 0; y < out.h; ++y) {
        for (int x = 0; x < out.w; ++x) {
          for (int i = 0; i < in.c; ++i) {
            for (int ky = 0; ky < ks; ++ky) {
              const int iy = y * stride - ks / 2 + ky;
              if (iy < 0 || iy >= in.h) continue;
              for (int kx = 0; kx < ks; ++kx) {
                const int ix = x * stride - ks / 2 + kx;
                if (ix < 0 || ix >= in.w) continue;
                function(out.index(n, o, y, x), weight.index(o, i, ky, kx), in.index(n, i, iy, ix));
              }
            }
          }
        }
      }
    }
  }
}

template <class Function>
void for_each_value(const Tensor& x, Function function) {
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      for (int y = 0; y < x.h; ++y) {
        for (int i = 0; i < x.w; ++i) {
          function(static_cast<std::size_t>(c), x.index(n, c, y, i));
        }
      }
    }
  }
}

Tensor zeros_like(const Tensor& x) {
  return {x.n, x.c, x.h, x.w};
}

struct Statistics {
  Vector mean, variance;  // biased
};

Statistics batch_statistics(const Tensor& x) {
  const auto channels = static_cast<std::size_t>(x.c);
  Statistics s{Vector(channels), Vector(channels)};
  const auto count = static_cast<double>(x.per_channel());
  for_each_value(x, [&](std::size_t c, std::size_t i) { s.mean[c] += x.values[i] / count; });
  for_each_value(x, [&](std::size_t c, std::size_t i) {
    s.variance[c] += (x.values[i] - s.mean[c]) * (x.values[i] - s.mean[c]) / count;
  });
  return s;
}

Tensor normalise(const Tensor& x, const Vector& mean, const Vector& variance,
                 const BatchNorm& norm) {
  Tensor out = zeros_like(x);
  for_each_value(x, [&](std::size_t c, std::size_t i) {
    out.values[i] =
        (x.values[i] - mean[c]) / std::sqrt(variance[c] + norm.eps) * norm.weight[c] + norm.bias[c];
  });
  return out;
}

/// Σ dy and Σ dy·x̂ by channel.
BatchNormGradients parameter_gradients(const Tensor& grad, const Tensor& x, const Vector& mean,
                                       const Vector& variance, double eps) {
  const auto channels = static_cast<std::size_t>(x.c);
  BatchNormGradients g{zeros_like(x), Vector(channels), Vector(channels)};
  for_each_value(x, [&](std::size_t c, std::size_t i) {
    g.bias[c] += grad.values[i];
    g.weight[c] += grad.values[i] * (x.values[i] - mean[c]) / std::sqrt(variance[c] + eps);
  });
  return g;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Vector& bias, int stride) {
  const int pad = weight.h / 2;
  Tensor out(x.n, weight.n, (x.h + 2 * pad - weight.h) / stride + 1,
             (x.w + 2 * pad - weight.w) / stride + 1);
  if (!bias.empty()) {
    for_each_value(out, [&](std::size_t c, std::size_t i) { out.values[i] = bias[c]; });
  }
  for_each_product(out, weight, x, stride, [&](std::size_t o, std::size_t w, std::size_t i) {
    out.values[o] += weight.values[w] * x.values[i];
  });
  return out;
}

Tensor conv2d_input_gradient(const Tensor& grad, const Tensor& weight, const Tensor& x,
                             int stride) {
  Tensor out = zeros_like(x);
  for_each_product(grad, weight, x, stride, [&](std::size_t o, std::size_t w, std::size_t i) {
    out.values[i] += weight.values[w] * grad.values[o];
  });
  return out;
}

Tensor conv2d_weight_gradient(const Tensor& grad, const Tensor& weight, const Tensor& x,
                              int stride) {
  Tensor out = zeros_like(weight);
  for_each_product(grad, weight, x, stride, [&](std::size_t o, std::size_t w, std::size_t i) {
    out.values[w] += grad.values[o] * x.values[i];
  });
  return out;
}

Vector conv2d_bias_gradient(const Tensor& grad) {
  Vector out(static_cast<std::size_t>(grad.c));
  for_each_value(grad, [&](std::size_t c, std::size_t i) { out[c] += grad.values[i]; });
  return out;
}

Tensor activate(const Tensor& x, double slope, double subtract) {
  Tensor out = x;
  for (double& v : out.values) v = (v > 0 ? v : slope * v) - subtract;
  return out;
}

Tensor activate_gradient(const Tensor& grad, const Tensor& x, double slope) {
  Tensor out = grad;
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    if (!(x.values[i] > 0)) out.values[i] *= slope;
  }
  return out;
}

Tensor batch_norm_train(const Tensor& x, BatchNorm& norm) {
  const Statistics s = batch_statistics(x);
  const auto count = static_cast<double>(x.per_channel());
  for (std::size_t c = 0; c < s.mean.size(); ++c) {
    const auto blend = [&](double& running, double now) {
      running += norm.momentum * (now - running);
    };
    blend(norm.running_mean[c], s.mean[c]);
    blend(norm.running_var[c], s.variance[c] * count / (count - 1));
  }
  return normalise(x, s.mean, s.variance, norm);
}

Tensor batch_norm_eval(const Tensor& x, const BatchNorm& norm) {
  return normalise(x, norm.running_mean, norm.running_var, norm);
}

BatchNormGradients batch_norm_train_gradient(const Tensor& grad, const Tensor& x,
                                             const BatchNorm& norm) {
  const Statistics s = batch_statistics(x);
  BatchNormGradients g = parameter_gradients(grad, x, s.mean, s.variance, norm.eps);
  const auto count = static_cast<double>(x.per_channel());
  for_each_value(x, [&](std::size_t c, std::size_t i) {
    const double rstd = 1 / std::sqrt(s.variance[c] + norm.eps);
    const double normalised = (x.values[i] - s.mean[c]) * rstd;
    g.x.values[i] = norm.weight[c] * rstd *
                    (grad.values[i] - g.bias[c] / count - normalised * g.weight[c] / count);
  });
  return g;
}

BatchNormGradients batch_norm_eval_gradient(const Tensor& grad, const Tensor& x,
                                            const BatchNorm& norm) {
  BatchNormGradients g =
      parameter_gradients(grad, x, norm.running_mean, norm.running_var, norm.eps);
  for_each_value(x, [&](std::size_t c, std::size_t i) {
    g.x.values[i] = grad.values[i] * norm.weight[c] / std::sqrt(norm.running_var[c] + norm.eps);
  });
  return g;
}

Tensor average_pool(const Tensor& x) {
  Tensor out(x.n, x.c, (x.h + 1) / 2, (x.w + 1) / 2);
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      for (int y = 0; y < x.h; ++y) {
        for (int i = 0; i < x.w; ++i) {
          const int rows = std::min(2, x.h - y / 2 * 2);
          const int columns = std::min(2, x.w - i / 2 * 2);
          out.at(n, c, y / 2, i / 2) += x.at(n, c, y, i) / (rows * columns);
        }
      }
    }
  }
  return out;
}

Tensor average_pool_gradient(const Tensor& grad, const Tensor& x) {
  Tensor out = zeros_like(x);
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      for (int y = 0; y < x.h; ++y) {
        for (int i = 0; i < x.w; ++i) {
          const int rows = std::min(2, x.h - y / 2 * 2);
          const int columns = std::min(2, x.w - i / 2 * 2);
          out.at(n, c, y, i) = grad.at(n, c, y / 2, i / 2) / (rows * columns);
        }
      }
    }
  }
  return out;
}

namespace {

/// Where the first largest value of the window of output (y, i) lies in x.values, or its last NaN.
std::size_t largest_of_window(const Tensor& x, int n, int c, int y, int i) {
  std::size_t largest = x.index(n, c, std::max(0, 2 * y - 1), std::max(0, 2 * i - 1));
  for (int row = std::max(0, 2 * y - 1); row < std::min(x.h, 2 * y + 2); ++row) {
    for (int column = std::max(0, 2 * i - 1); column < std::min(x.w, 2 * i + 2); ++column) {
      const std::size_t at = x.index(n, c, row, column);
      if (x.values[at] > x.values[largest] || std::isnan(x.values[at])) largest = at;
    }
  }
  return largest;
}

}  // namespace

Tensor max_pool(const Tensor& x) {
  Tensor out(x.n, x.c, (x.h + 1) / 2, (x.w + 1) / 2);
  for (int n = 0; n < out.n; ++n) {
    for (int c = 0; c < out.c; ++c) {
      for (int y = 0; y < out.h; ++y) {
        for (int i = 0; i < out.w; ++i) {
          out.at(n, c, y, i) = x.values[largest_of_window(x, n, c, y, i)];
        }
      }
    }
  }
  return out;
}

Tensor max_pool_gradient(const Tensor& grad, const Tensor& x) {
  Tensor out = zeros_like(x);
  for (int n = 0; n < grad.n; ++n) {
    for (int c = 0; c < grad.c; ++c) {
      for (int y = 0; y < grad.h; ++y) {
        for (int i = 0; i < grad.w; ++i) {
          out.values[largest_of_window(x, n, c, y, i)] += grad.at(n, c, y, i);
        }
      }
    }
  }
  return out;
}

Tensor global_average_pool(const Tensor& x) {
  Tensor out(x.n, x.c, 1, 1);
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      for (int y = 0; y < x.h; ++y) {
        for (int i = 0; i < x.w; ++i) out.at(n, c, 0, 0) += x.at(n, c, y, i) / (x.h * x.w);
      }
    }
  }
  return out;
}

Tensor global_average_pool_gradient(const Tensor& grad, const Tensor& x) {
  Tensor out = zeros_like(x);
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      for (int y = 0; y < x.h; ++y) {
        for (int i = 0; i < x.w; ++i) out.at(n, c, y, i) = grad.at(n, c, 0, 0) / (x.h * x.w);
      }
    }
  }
  return out;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Vector& bias) {
  return conv2d(x, weight, bias, 1);
}

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor out = a;
  for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] += b.values[i];
  return out;
}

double softmax_cross_entropy(const Tensor& logits, std::span<const std::int64_t> targets) {
  double total = 0;
  for (int n = 0; n < logits.n; ++n) {
    double most = logits.at(n, 0, 0, 0);
    for (int k = 1; k < logits.c; ++k) most = std::max(most, logits.at(n, k, 0, 0));
    double sum = 0;
    for (int k = 0; k < logits.c; ++k) sum += std::exp(logits.at(n, k, 0, 0) - most);
    const auto target = static_cast<int>(targets[static_cast<std::size_t>(n)]);
    total += std::log(sum) + most - logits.at(n, target, 0, 0);
  }
  return total / logits.n;
}

Tensor softmax_cross_entropy_gradient(const Tensor& logits, std::span<const std::int64_t> targets) {
  Tensor grad = zeros_like(logits);
  for (int n = 0; n < logits.n; ++n) {
    double most = logits.at(n, 0, 0, 0);
    for (int k = 1; k < logits.c; ++k) most = std::max(most, logits.at(n, k, 0, 0));
    double sum = 0;
    for (int k = 0; k < logits.c; ++k) sum += std::exp(logits.at(n, k, 0, 0) - most);
    const auto target = static_cast<int>(targets[static_cast<std::size_t>(n)]);
    for (int k = 0; k < logits.c; ++k) {
      const double p = std::exp(logits.at(n, k, 0, 0) - most) / sum;
      grad.at(n, k, 0, 0) = (p - (k == target ? 1 : 0)) / logits.n;
    }
  }
  return grad;
}

}  // namespace fatwood::kernels::reference
