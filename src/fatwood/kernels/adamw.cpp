#include <cmath>
#include <string>

#include <fatwood/core/error.h>
#include <fatwood/kernels/adamw.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

constexpr std::int64_t kGrain = 4096;  // parameters: 16 KiB of each array

void expect_length(const char* operation, const char* name, std::size_t found, std::size_t wanted) {
  if (found == wanted) return;
  throw Error(ErrorKind::internal, operation,
              std::string(name) + ": found " + std::to_string(found) + " values, wanted " +
                  std::to_string(wanted));
}

}  // namespace

void adamw(const AdamW& options, std::span<float> param, std::span<const float> grad,
           std::span<float> exp_avg, std::span<float> exp_avg_sq, const ParallelFor& parallel,
           Isa isa) {
  expect_length("adamw", "grad", grad.size(), param.size());
  expect_length("adamw", "exp_avg", exp_avg.size(), param.size());
  expect_length("adamw", "exp_avg_sq", exp_avg_sq.size(), param.size());
  const auto t = static_cast<double>(options.step);
  const AdamWCoefficients coefficients = {
      .keep = static_cast<float>(1 - options.lr * options.weight_decay),
      .one_minus_b1 = static_cast<float>(1 - options.beta1),
      .beta2 = static_cast<float>(options.beta2),
      .one_minus_b2 = static_cast<float>(1 - options.beta2),
      .step_size = static_cast<float>(options.lr / (1 - std::pow(options.beta1, t))),
      .root_bc2 = static_cast<float>(std::sqrt(1 - std::pow(options.beta2, t))),
      .eps = static_cast<float>(options.eps),
  };
  const KernelTable& table = table_for(isa);
  parallel.for_each_part(static_cast<std::int64_t>(param.size()), kGrain,
                         [&](int, std::int64_t begin, std::int64_t end) {
                           table.adamw(coefficients, param.data() + begin, grad.data() + begin,
                                       exp_avg.data() + begin, exp_avg_sq.data() + begin,
                                       end - begin);
                         });
}

void sgd(const Sgd& options, std::span<float> param, std::span<const float> grad,
         std::span<float> buffer, const ParallelFor& parallel, Isa isa) {
  const bool with_momentum = options.momentum != 0;
  expect_length("sgd", "grad", grad.size(), param.size());
  if (with_momentum) expect_length("sgd", "buffer", buffer.size(), param.size());
  const SgdCoefficients coefficients = {
      .lr = static_cast<float>(options.lr),
      .momentum = static_cast<float>(options.momentum),
      .one_minus_dampening = static_cast<float>(1 - options.dampening),
      .weight_decay = static_cast<float>(options.weight_decay),
      .nesterov = options.nesterov,
      .first = options.first,
  };
  const KernelTable& table = table_for(isa);
  parallel.for_each_part(static_cast<std::int64_t>(param.size()), kGrain,
                         [&](int, std::int64_t begin, std::int64_t end) {
                           table.sgd(coefficients, param.data() + begin, grad.data() + begin,
                                     with_momentum ? buffer.data() + begin : nullptr, end - begin);
                         });
}

}  // namespace fatwood::kernels
