// Gathers the kernels of the target that the including file is compiled for.
#pragma once

#include <fatwood/kernels/simd/bytes.h>
#include <fatwood/kernels/simd/moments.h>
#include <fatwood/kernels/simd/optimiser.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

constexpr KernelTable make_table() {
  return {
      .moments = moments_of_run,
      .histogram = histogram_of_run,
      .adamw = adamw_flat,
      .sgd = sgd_flat,
      .scale_bytes = scale_bytes,
      .interleave_bytes = interleave_bytes,
  };
}

}  // namespace
}  // namespace fatwood::kernels
