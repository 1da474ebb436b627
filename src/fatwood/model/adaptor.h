// Any torch::nn::Module as a Layer, so that it can be trained, tapped and summarised. The module
// keeps its names: the adaptor adds no prefix to them.
#pragma once

#include <variant>

#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>

#include <fatwood/model/layer.h>

namespace fatwood {

/// A module with `Tensor forward(Tensor)`, or a torch::nn::Sequential, whose modules become its
/// parts.
class Adaptor : public Layer {
 public:
  using Options = std::variant<torch::nn::AnyModule, std::shared_ptr<torch::nn::SequentialImpl>>;
  explicit Adaptor(Options module);

  std::string kind() const override;  ///< the module's type: "Conv2d"
  std::string description() const override;
  std::vector<NamedLayer> layers() const override { return parts_; }
  /// Throws Error{model}: a foreign module's options are not known. Its own clone() may work.
  LayerPtr remake() const override;
  void train(bool on = true) override;

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  const torch::nn::Module& module() const;

  Options module_;
  std::vector<NamedLayer> parts_;  // of a Sequential; not registered: the Sequential is
};

/// adapt(std::make_shared<YourModule>(…))
template <class ModuleType>
LayerPtr adapt(std::shared_ptr<ModuleType> module) {
  if constexpr (std::is_base_of_v<torch::nn::SequentialImpl, ModuleType>) {
    return make<Adaptor>(std::shared_ptr<torch::nn::SequentialImpl>(std::move(module)));
  } else {
    return make<Adaptor>(torch::nn::AnyModule(std::move(module)));
  }
}

/// adapt(torch::nn::Conv2d(…)), adapt(torch::nn::Sequential(…))
template <class Impl>
LayerPtr adapt(const torch::nn::ModuleHolder<Impl>& holder) {
  return adapt(holder.ptr());
}

}  // namespace fatwood
