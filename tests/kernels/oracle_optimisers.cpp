#include <torch/optim.h>

#include <fatwood/kernels/adamw.h>
#include <fatwood/model/libtorch.h>

#include "support.h"

namespace fatwood::kernels {
namespace {

using OptimisersOracle = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(OptimisersOracle);

std::span<float> span_of(const at::Tensor& t) {
  return {t.data_ptr<float>(), static_cast<std::size_t>(t.numel())};
}

/// Largest difference to torch's parameters after ten steps with the same gradients. A parameter of
/// size 4 has a last place of 5e-7, and each step rounds a few times.
template <class Optimiser, class Step>
float distance(typename Optimiser::OptionsType options, Step step) {
  torch::manual_seed(1);
  at::Tensor theirs = torch::randn(1003).requires_grad_();
  at::Tensor ours = theirs.detach().clone();
  Optimiser optimiser({theirs}, options);
  for (int t = 1; t <= 10; ++t) {
    const at::Tensor grad = torch::randn(1003);
    theirs.mutable_grad() = grad.clone();
    optimiser.step();
    step(t, span_of(ours), span_of(grad));
  }
  return (theirs.detach() - ours).abs().max().template item<float>();
}

struct TorchAdamW : torch::optim::AdamW {
  using OptionsType = torch::optim::AdamWOptions;
  using AdamW::AdamW;
};
struct TorchSgd : torch::optim::SGD {
  using OptionsType = torch::optim::SGDOptions;
  using SGD::SGD;
};

TEST_P(OptimisersOracle, adamw_is_torchs) {
  std::vector<float> m(1003), v(1003);
  EXPECT_LT(distance<TorchAdamW>(
                torch::optim::AdamWOptions(0.01).weight_decay(0.1).betas({0.95, 0.99}),
                [&](int t, std::span<float> p, std::span<const float> g) {
                  adamw({.lr = 0.01, .beta1 = 0.95, .beta2 = 0.99, .weight_decay = 0.1, .step = t},
                        p, g, m, v, {}, isa());
                }),
            3e-6F);
}

TEST_P(OptimisersOracle, sgd_is_torchs_with_momentum_decay_dampening_and_nesterov) {
  struct Case {
    double momentum, dampening, decay;
    bool nesterov;
  };
  for (Case c :
       {Case{0, 0, 0, false}, {0.9, 0, 0.1, false}, {0.9, 0.5, 0, false}, {0.9, 0, 0.1, true}}) {
    std::vector<float> buffer(1003);
    EXPECT_LT(distance<TorchSgd>(torch::optim::SGDOptions(0.05)
                                     .momentum(c.momentum)
                                     .dampening(c.dampening)
                                     .weight_decay(c.decay)
                                     .nesterov(c.nesterov),
                                 [&](int t, std::span<float> p, std::span<const float> g) {
                                   sgd({.lr = 0.05,
                                        .momentum = c.momentum,
                                        .dampening = c.dampening,
                                        .weight_decay = c.decay,
                                        .nesterov = c.nesterov,
                                        .first = t == 1},
                                       p, g, buffer, {}, isa());
                                 }),
              3e-6F);
  }
}

}  // namespace
}  // namespace fatwood::kernels
