#include <torch/csrc/autograd/custom_function.h>

#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/autograd.h>
#include <fatwood/cuda/cross_entropy.h>
#include <fatwood/cuda/device.h>
#include <fatwood/cuda/program.h>

namespace fatwood::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kMostClasses = 64, kMostValues = 1 << 16;

class CrossEntropy : public torch::autograd::Function<CrossEntropy> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& targets) {
    constexpr std::int64_t kThreads = 512;  // as in cross_entropy.cu
    Tensor loss = torch::empty({}, x.options()), gradient = torch::empty_like(x);
    const void* values = x.const_data_ptr();
    const void* classes_of = targets.const_data_ptr();
    int rows = static_cast<int>(x.size(0)), classes = static_cast<int>(x.size(1));
    void* result = loss.data_ptr();
    void* slopes = gradient.data_ptr();
    auto arguments = addresses_of(values, classes_of, rows, classes, result, slopes);
    launch("cross_entropy_f32", {}, kThreads, arguments.data());
    context->save_for_backward({gradient});
    return loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_create_graph("cross_entropy");
    return {context->get_saved_variables()[0] * gradients[0], Tensor()};
  }
};

}  // namespace

bool takes_cross_entropy(const Tensor& x, const Tensor& targets) {
  return OwnKernels::active() && on_device(x) && x.dim() == 2 && x.scalar_type() == torch::kFloat &&
         x.is_contiguous() && x.numel() > 0 && x.numel() <= kMostValues &&
         x.size(1) <= kMostClasses && targets.dim() == 1 && targets.device() == x.device() &&
         targets.scalar_type() == torch::kLong && targets.is_contiguous() &&
         targets.size(0) == x.size(0);
}

Tensor cross_entropy(const Tensor& x, const Tensor& targets) {
  return CrossEntropy::apply(x, targets);
}

}  // namespace fatwood::cuda
