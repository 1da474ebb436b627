// A training step of the page's networks on pointers alone, for the benchmarks.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <omp.h>
#include <variant>
#include <vector>

#include <fatwood/kernels/adamw.h>
#include <fatwood/kernels/stretch.h>

namespace fatwood::kernels {

/// The DeeperCNN of the page over flat arenas: parameters, gradients and moments in one order, a
/// block's being weight, γ, β of each convolution, then the identity convolution's weight and bias.
struct Network {
  int batch;
  int threads;
  std::vector<float> params, grads, exp_avg, exp_avg_sq, running;
  std::vector<float> logits, grad_logits;
  std::unique_ptr<Stretch> stretch;
  std::int64_t step = 0;

  /// kind 0: conv, 1: residual, 2: double. `kernels` as in StretchOptions.
  Network(int kind, int batch_, int threads_, Precision precision,
          const LayerKernels* kernels = nullptr)
      : batch(batch_), threads(threads_) {
    const int nfs[] = {1, 8, 16, 32, 64, 128, 10};
    std::vector<LayerSpec> layers;
    for (int i = 0; i < 6; ++i) {
      const int c_in = nfs[i], c_out = nfs[i + 1], ks = i == 0 ? 5 : 3, stride = i == 0 ? 1 : 2;
      const Activation act = i == 5 ? Activation{} : Activation{0.1F, 0.4F};
      if (kind == 0) {
        layers.emplace_back(conv(c_in, c_out, ks, stride, act));
      } else if (kind == 1) {
        ResidualSpec block;
        block.a = conv(c_in, c_out, ks, 1, act);
        block.b = conv(c_out, c_out, ks, stride, {});
        block.id_weight = take(c_in * c_out);
        block.id_bias = take(c_out);
        block.activation = act;
        layers.emplace_back(block);
      } else {
        layers.emplace_back(
            DoubleSpec{conv(c_in, c_out, ks, 1, act), conv(c_out, c_out, ks, stride, act)});
      }
    }
    const std::size_t n = params.size();
    grads.resize(n);
    exp_avg.resize(n);
    exp_avg_sq.resize(n);
    // Specs hold offsets until the arenas have their final place.
    const auto place = [&](Parameter& p) {
      const auto at = reinterpret_cast<std::uintptr_t>(p.value) - 1;
      p = {params.data() + at, grads.data() + at};
    };
    const auto place_conv = [&](ConvSpec& c) {
      place(c.weight);
      place(c.norm->weight);
      place(c.norm->bias);
      for (float** r : {&c.norm->running_mean, &c.norm->running_var}) {
        *r = running.data() + reinterpret_cast<std::uintptr_t>(*r) - 1;
      }
    };
    for (LayerSpec& layer : layers) {
      if (auto* c = std::get_if<ConvSpec>(&layer)) place_conv(*c);
      if (auto* d = std::get_if<DoubleSpec>(&layer)) place_conv(d->a), place_conv(d->b);
      if (auto* r = std::get_if<ResidualSpec>(&layer)) {
        place_conv(r->a);
        place_conv(r->b);
        place(*r->id_weight);
        place(*r->id_bias);
      }
    }
    StretchOptions options;
    options.batch = batch;
    options.input = {1, 28, 28};
    options.threads = threads;
    options.precision = precision;
    options.kernels = kernels;
    stretch = std::make_unique<Stretch>(layers, options);
    logits.resize(static_cast<std::size_t>(batch) * 10);
    grad_logits.resize(logits.size());
  }

  Parameter take(int n) {
    const auto at = params.size() + 1;
    params.resize(params.size() + static_cast<std::size_t>(n));
    return {reinterpret_cast<const float*>(at), nullptr};
  }

  ConvSpec conv(int c_in, int c_out, int ks, int stride, Activation act) {
    ConvSpec c;
    c.c_in = c_in;
    c.c_out = c_out;
    c.ks = ks;
    c.stride = stride;
    c.activation = act;
    c.weight = take(c_in * c_out * ks * ks);
    c.norm.emplace();
    c.norm->weight = take(c_out);
    c.norm->bias = take(c_out);
    c.norm->running_mean = reinterpret_cast<float*>(running.size() + 1);
    running.resize(running.size() + static_cast<std::size_t>(c_out), 0.0F);
    c.norm->running_var = reinterpret_cast<float*>(running.size() + 1);
    running.resize(running.size() + static_cast<std::size_t>(c_out), 1.0F);
    return c;
  }

  /// Mean softmax cross-entropy and its gradient.
  double loss(const std::int64_t* targets) {
    double total = 0;
    for (int i = 0; i < batch; ++i) {
      const float* row = logits.data() + i * 10;
      float* grad = grad_logits.data() + i * 10;
      float most = row[0];
      for (int k = 1; k < 10; ++k) most = std::fmax(most, row[k]);
      float sum = 0;
      for (int k = 0; k < 10; ++k) sum += grad[k] = std::exp(row[k] - most);
      for (int k = 0; k < 10; ++k) grad[k] /= sum * static_cast<float>(batch);
      grad[targets[i]] -= 1.0F / static_cast<float>(batch);
      total += std::log(sum) + most - row[targets[i]];
    }
    return total / batch;
  }

  double train(const float* x, const std::int64_t* targets, double lr, double* seconds) {
    const ParallelFor parallel = openmp_pool();
    double mark = omp_get_wtime();
    const auto lap = [&](int i) {
      const double now = omp_get_wtime();
      seconds[i] = now - mark;
      mark = now;
    };
    stretch->forward(x, logits.data(), Mode::train, parallel);
    lap(0);
    const double value = loss(targets);
    lap(1);
    stretch->backward(grad_logits.data(), nullptr, parallel);
    lap(2);
    if (lr > 0) {
      adamw({.lr = lr, .step = ++step}, params, grads, exp_avg, exp_avg_sq, parallel);
    }
    lap(3);
    return value;
  }

  ParallelFor openmp_pool() {
    return {threads,
            [](void* count, std::int64_t tasks, ParallelFor::Task task, void* context) {
              const int n = *static_cast<int*>(count);
#pragma omp parallel for num_threads(n) schedule(static, 1)
              for (std::int64_t i = 0; i < tasks; ++i) task(context, i);
            },
            &threads};
  }
};

}  // namespace fatwood::kernels
