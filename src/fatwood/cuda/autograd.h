// What the folder's autograd functions share. Private to cuda.
#pragma once

#include <cstdint>

#include <ATen/core/grad_mode.h>
#include <torch/types.h>

#include <fatwood/core/error.h>

namespace fatwood::cuda {

inline void refuse_create_graph(const char* what) {
  if (at::GradMode::is_enabled()) {
    throw Error(ErrorKind::model, what,
                "a backward pass with create_graph, wanted one without: --engine torch "
                "differentiates twice");
  }
}

/// "_f32" or "_bf16", as the kernels are named.
inline const char* suffix_of(const torch::Tensor& x) {
  return x.scalar_type() == torch::kFloat ? "_f32" : "_bf16";
}

inline bool has_kernel(torch::ScalarType type) {
  return type == torch::kFloat || type == torch::kBFloat16;
}

/// Whether a kernel may read or write four floats at a time there.
inline bool aligned(const void* values) {
  return reinterpret_cast<std::uintptr_t>(values) % 16 == 0;
}

}  // namespace fatwood::cuda
