// How near a network's values come to the corners of its activations and to ties in its max pools,
// seen at LibTorch's operators. A value within rounding of a corner may fall on either side, and in
// a small batch one such value moves gradients by percents; inputs are drawn until the
// double-precision network keeps clear, so that every entry can be held to rounding.
#pragma once

#include <algorithm>
#include <limits>
#include <string_view>

#include <fatwood/model/libtorch.h>

namespace fatwood {

class CornerWatch {
 public:
  CornerWatch()
      : handle_(
            at::addThreadLocalCallback(at::RecordFunctionCallback(&before).needsInputs(true).scopes(
                {at::RecordScope::FUNCTION}))) {
    clearance_ = std::numeric_limits<double>::infinity();
  }
  ~CornerWatch() { at::removeCallback(handle_); }
  CornerWatch(const CornerWatch&) = delete;
  CornerWatch& operator=(const CornerWatch&) = delete;

  double clearance() const { return clearance_; }

 private:
  static std::unique_ptr<at::ObserverContext> before(const at::RecordFunction& function) {
    const std::string_view name = function.name();
    const bool activation =
        name == "aten::leaky_relu" || name == "aten::relu" || name == "aten::relu_";
    if (!activation && name != "aten::max_pool2d") return nullptr;
    const at::DisableRecordFunctionGuard own_operators_pass;
    const torch::NoGradGuard no_grad;
    const at::Tensor x = function.inputs()[0].toTensor().detach();
    const at::Tensor gap = activation ? x.abs() : gaps(x);
    clearance_ = std::min(clearance_, gap.min().item<double>());
    return nullptr;
  }

  /// Between the two largest values of each 3×3 window of stride 2, where the larger is positive.
  static at::Tensor gaps(const at::Tensor& x) {
    const at::Tensor windows =
        torch::constant_pad_nd(x, {1, 1, 1, 1}, -1e9).unfold(2, 3, 2).unfold(3, 3, 2).flatten(4);
    const at::Tensor two = std::get<0>(windows.topk(2, -1));
    const at::Tensor gap = two.select(-1, 0) - two.select(-1, 1);
    return torch::where(two.select(-1, 0) > 0, gap, torch::ones_like(gap));
  }

  at::CallbackHandle handle_;
  static inline thread_local double clearance_ = 0;
};

}  // namespace fatwood
