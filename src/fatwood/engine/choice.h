// Kernels or LibTorch for a layer that the kernels know: a fixed table, from measurements, keyed by
// the layer's kind and by how full the batch makes the kernels' lanes and threads. The same batch,
// instruction set and thread count always get the same answer, so a run's bits do not depend on a
// race at its start.
#pragma once

#include <cstdint>
#include <string>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/stretch.h>

namespace fatwood {

/// Who decides.
enum class KernelChoice {
  table,   ///< the kernels where the table has them faster
  always,  ///< the kernels wherever they know the layer; for tests and measurements
};

/// Of the lanes of all threads, the part that hold an image: batch / (lanes·threads·rounds), the
/// kernels working on groups of `lanes` images and a thread on one group at a time.
double occupancy(std::int64_t batch, kernels::Isa isa, int threads);

/// Empty where the kernels are the faster, else why they are not: "a batch of 2 fills …".
std::string why_not_kernels(const kernels::LayerSpec& layer, std::int64_t batch, kernels::Isa isa,
                            int threads);

/// What runs the layer when `wanted` is asked for: f32 where it has no kernels in bf16.
kernels::Precision precision_for(const kernels::LayerSpec& layer, kernels::Precision wanted);

}  // namespace fatwood
