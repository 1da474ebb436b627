// One planned stretch as a function of tensors: forward pass, autograd node, statistics.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include <ATen/core/ivalue.h>
#include <torch/types.h>

#include <fatwood/engine/translate.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/layer.h>

namespace fatwood {

/// What a plan depends on.
struct StretchKey {
  std::size_t first = 0;  ///< position of its first layer in the Sequential
  std::size_t layers = 0;
  std::vector<std::int64_t> input;  ///< (N, C, H, W)
  int threads = 1;
  kernels::Precision precision = kernels::Precision::f32;
  kernels::WinogradUse winograd = kernels::WinogradUse::gradients;
  bool input_gradient = false;
  bool differentiable =
      false;                  ///< kept apart, so that an evaluation leaves a pending backward alone
  bool keeps_values = false;  ///< until the next pass: for a backward pass, for statistics

  bool operator==(const StretchKey&) const = default;
};

class FusedStretch : public std::enable_shared_from_this<FusedStretch> {
 public:
  /// `busy`: held by the caller of run() and statistics(), and by backward() itself.
  FusedStretch(StretchKey key, const std::vector<TranslatedLayer>& layers, kernels::Isa isa,
               std::shared_ptr<std::mutex> busy);

  const StretchKey& key() const { return key_; }

  /// Whether layers translated anew are such as this was planned for.
  bool fits(const std::vector<TranslatedLayer>& layers) const;

  /// x as in the key, contiguous float; `layers` hold the parameters as they are now.
  Tensor run(const Tensor& x, const std::vector<TranslatedLayer>& layers, bool training,
             bool watch);

  /// Of layer i's output in the last run, until its backward pass.
  ActivationStatistics statistics(std::size_t layer, bool hist) const;

 private:
  friend struct FusedFunction;
  Tensor forward(const Tensor& x);
  /// Gradients of x (undefined unless planned) and of every parameter that wants one.
  std::vector<Tensor> backward(const Tensor& grad, const std::vector<Tensor>& parameters,
                               std::int64_t generation);

  StretchKey key_;
  std::vector<kernels::LayerSpec> shape_;
  std::vector<std::vector<std::int64_t>> parameter_shapes_;
  kernels::Stretch stretch_;
  std::shared_ptr<std::mutex> busy_;
  bool flattens_ = false;
  bool training_ = false;
  std::int64_t generation_ = 0;  ///< of the values in the stretch's memory: counts forward passes
};

}  // namespace fatwood
