// Layers with random parameters of their own, for stretches and for the references alike.
#pragma once

#include <cmath>
#include <deque>
#include <vector>

#include <fatwood/kernels/stretch.h>

#include "support.h"

namespace fatwood::kernels {

/// Makes the layers and owns their parameters, gradients and running statistics.
class Network {
 public:
  explicit Network(unsigned seed) : random(seed) {}
  /// Parameters that are -1, 0 or 1, about `share` of them not 0: sums of them are exact.
  Network(unsigned seed, double share) : random(seed), share_(share) {}

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

  BasicSpec basic(int c_in, int c_out, int stride, Activation activation) {
    BasicSpec spec;
    spec.a = conv(c_in, c_out, 3, stride, {}, true, false);
    spec.b = conv(c_out, c_out, 3, 1, {}, true, random() % 3 == 0);
    if (stride != 1 || c_in != c_out) spec.down = conv(c_in, c_out, 1, stride, {}, true, false);
    spec.activation = activation;
    return spec;
  }

  StemSpec stem(int c_in, int c_out, int ks, int stride, Activation activation) {
    return {conv(c_in, c_out, ks, stride, {}, true, false), activation};
  }

  HeadSpec head(int c_in, int c_out) {
    return {c_in, c_out, parameter(c_in * c_out, 0, std::sqrt(1.0F / c_in)),
            parameter(c_out, 0, 0.3F)};
  }

  std::mt19937 random;

 private:
  float* values(int n, float mean, float std) {
    const auto seed = static_cast<unsigned>(random());
    const auto size = static_cast<std::size_t>(n);
    kept_.push_back(share_ > 0 ? signs(size, seed, share_) : normal(size, seed, mean, std));
    return kept_.back().data();
  }

  Parameter parameter(int n, float mean, float std) {
    const float* value = values(n, mean, std);
    kept_.emplace_back(static_cast<std::size_t>(n), std::nanf(""));
    return {value, kept_.back().data()};
  }

  double share_ = 0;
  std::deque<std::vector<float>> kept_;
};

}  // namespace fatwood::kernels
