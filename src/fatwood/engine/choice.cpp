#include <cmath>

#include <fatwood/engine/choice.h>
#include <fatwood/kernels/geometry.h>

namespace fatwood {
namespace {

// Least occupancy at which the kernels won. Measured with bench_engines on Zen 4, AVX-512, two
// threads, whole steps of 28×28 images against LibTorch 2.13 channels-last; torch's time over ours,
// by kernels without Winograd's way and prefetching (today's, at batch 512: bench/results/step.md):
//
//     occupancy              1/16   1/8    1/4    1/2    3/4     1
//     deeper_cnn (Conv)      1.24   1.36   1.65   2.13   2.33   2.74
//     residual_cnn           0.76   0.84   0.99   1.36   1.71   2.10
//     resnet18               0.67   0.72   0.81   1.03   1.14   1.32
//
// Below 1/16 nothing was measured: with many threads and few images LibTorch divides the image,
// which the kernels do not.
constexpr double kConv = 1.0 / 16;
constexpr double kBlock = 1.0 / 2;

using kernels::ImageShape;

ImageShape windows(const ImageShape& input, int channels, int ks, int stride) {
  return {channels, kernels::forward_axis(input.height, ks, stride).count,
          kernels::forward_axis(input.width, ks, stride).count};
}

ImageShape output(const kernels::ConvSpec& spec, const ImageShape& input) {
  return windows(input, spec.c_out, spec.ks, spec.stride);
}

/// Two convolutions; what is added to their output has its shape.
template <class Block>
ImageShape output(const Block& spec, const ImageShape& input) {
  return output(spec.b, output(spec.a, input));
}

ImageShape output(const kernels::StemSpec& spec, const ImageShape& input) {
  return windows(output(spec.conv, input), spec.conv.c_out, 3, 2);
}

ImageShape output(const kernels::HeadSpec& spec, const ImageShape&) {
  return {spec.c_out, 1, 1};
}

}  // namespace

double occupancy(std::int64_t batch, kernels::Isa isa, int threads) {
  const std::int64_t lanes = kernels::lanes_of(isa);
  const std::int64_t groups = (batch + lanes - 1) / lanes;
  const std::int64_t rounds = (groups + threads - 1) / threads;
  return static_cast<double>(batch) / static_cast<double>(lanes * threads * rounds);
}

std::string why_not_kernels(const kernels::LayerSpec& layer, std::int64_t batch, kernels::Isa isa,
                            int threads) {
  const double least = std::holds_alternative<kernels::ConvSpec>(layer) ? kConv : kBlock;
  const double filled = occupancy(batch, isa, threads);
  if (filled >= least) return {};
  const auto percent = [](double part) { return std::to_string(std::lround(100 * part)) + " %"; };
  return "LibTorch is faster: a batch of " + std::to_string(batch) + " fills " + percent(filled) +
         " of the kernels' lanes, wanted " + percent(least);
}

Choice choose(const kernels::LayerSpec& layer, const ImageShape& input, std::int64_t batch,
              kernels::Isa isa, int threads, kernels::Precision precision,
              const kernels::TuningTable* tuning) {
  Choice choice;
  if (tuning) {
    choice.entry = tuning->find(
        tuning_key(layer, input, batch, isa, threads, precision_for(layer, precision)));
  }
  if (!choice.entry) {
    choice.reason = why_not_kernels(layer, batch, isa, threads);
  } else if (!choice.entry->kernels) {
    choice.reason = describe(*choice.entry) + " for a batch of " + std::to_string(batch);
  }
  choice.kernels = choice.reason.empty();
  return choice;
}

ImageShape image_of(std::span<const std::int64_t> shape) {
  return {static_cast<int>(shape[1]), static_cast<int>(shape[2]), static_cast<int>(shape[3])};
}

ImageShape output_of(const kernels::LayerSpec& layer, const ImageShape& input) {
  return std::visit([&](const auto& spec) { return output(spec, input); }, layer);
}

kernels::Precision precision_for(const kernels::LayerSpec& layer, kernels::Precision wanted) {
  return kernels::has_bf16_kernels(layer) ? wanted : kernels::Precision::f32;
}

}  // namespace fatwood
