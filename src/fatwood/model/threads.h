// LibTorch's thread pool as the kernels' ParallelFor, so that one pool serves both.
#pragma once

#include <fatwood/kernels/parallel.h>

namespace fatwood {

/// at::parallel_for with at::get_num_threads() threads; serial inside a parallel region.
kernels::ParallelFor torch_threads();

}  // namespace fatwood
