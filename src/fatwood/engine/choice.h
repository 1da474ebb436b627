// Kernels or LibTorch for a layer that the kernels know: the entry that `fatwood tune` made for it
// (kernels/tuning.h), else a fixed table, from measurements, keyed by the layer's kind and by how
// full the batch makes the kernels' lanes and threads. The same batch, instruction set, thread
// count and tuned table always get the same answer, so a run's bits do not depend on a race at its
// start.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/stretch.h>
#include <fatwood/kernels/tuning.h>

namespace fatwood {

/// nullptr: nothing was tuned.
using TuningPtr = std::shared_ptr<const kernels::TuningTable>;

/// Who decides.
enum class KernelChoice {
  table,   ///< the kernels where the tables have them faster
  always,  ///< the kernels wherever they know the layer; for tests and measurements
};

/// Of the lanes of all threads, the part that hold an image: batch / (lanes·threads·rounds), the
/// kernels working on groups of `lanes` images and a thread on one group at a time.
double occupancy(std::int64_t batch, kernels::Isa isa, int threads);

/// The built-in table. Empty where the kernels are the faster, else why they are not: "a batch of 2
/// fills …".
std::string why_not_kernels(const kernels::LayerSpec& layer, std::int64_t batch, kernels::Isa isa,
                            int threads);

struct Choice {
  bool kernels = true;
  std::string reason = {};                      ///< why not the kernels; empty where they run
  const kernels::TuningEntry* entry = nullptr;  ///< of `tuning`, where it decided
};

/// `precision`: what the network is asked to run in; `tuning` may be null.
Choice choose(const kernels::LayerSpec& layer, const kernels::ImageShape& input, std::int64_t batch,
              kernels::Isa isa, int threads, kernels::Precision precision,
              const kernels::TuningTable* tuning);

/// The images of an (N, C, H, W).
kernels::ImageShape image_of(std::span<const std::int64_t> shape);

/// The images that a layer makes of images of that shape; whether they fit is not checked.
kernels::ImageShape output_of(const kernels::LayerSpec& layer, const kernels::ImageShape& input);

/// What runs the layer when `wanted` is asked for: f32 where it has no kernels in bf16.
kernels::Precision precision_for(const kernels::LayerSpec& layer, kernels::Precision wanted);

}  // namespace fatwood
