// A layer that the engine has no kernels for: it parts a stretch.
#pragma once

#include <memory>
#include <string>

#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

class Doubled : public Layer {
 public:
  std::string kind() const override { return "Doubled"; }
  LayerPtr remake() const override { return std::make_shared<Doubled>(); }

 protected:
  Tensor compute(const Tensor& x) override { return x * 2; }
};

}  // namespace fatwood
