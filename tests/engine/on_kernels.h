// Networks whose every layer that the kernels know runs on them.
#pragma once

#include <memory>

#include <fatwood/engine/engine.h>
#include <fatwood/model/layer.h>

namespace fatwood {

inline void put_on_kernels(Layer& model) {
  use_engine(model, Engine::fused, kernels::default_isa(), KernelChoice::always);
}

inline LayerPtr copy_on_kernels(const Layer& model) {
  LayerPtr copy = std::static_pointer_cast<Layer>(model.clone());
  put_on_kernels(*copy);
  return copy;
}

}  // namespace fatwood
