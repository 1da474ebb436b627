// Between PyTorch's weight layout (O, I, ky, kx) and the blocks that the kernels read, with the
// norm of the layer below folded in.
//
// A convolution reads a value whose true form is s·a + t per input channel (padding stays 0):
//     Σ w·(s·a + t) = Σ (w·s)·a + Σ_{valid taps} w·t,
// so the scale goes into the weights and the shift into one bias for each border class. Its weight
// gradient is likewise dW = s·G + t·S with G = Σ dz·a and S = Σ dz over the outputs whose tap is
// valid.
#pragma once

#include <cstdint>

#include <fatwood/kernels/geometry.h>
#include <fatwood/kernels/parallel.h>

namespace fatwood::kernels {

struct ConvShape {
  int c_in = 1;
  int c_out = 1;
  int ks = 1;
  int stride = 1;
  int height = 1;  ///< of the input
  int width = 1;

  Axis y() const { return forward_axis(height, ks, stride); }
  Axis x() const { return forward_axis(width, ks, stride); }
  int taps() const { return ks * ks; }
  std::int64_t weights() const { return static_cast<std::int64_t>(c_out) * c_in * taps(); }
  int border_classes() const { return y().border_classes() * x().border_classes(); }
};

constexpr int round_up(int n, int multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Vectors of output channels that a weight gradient's tile takes at a time
/// (WeightGradient::vectors): what divides them, and leaves registers for enough input channels
/// beside them.
constexpr int channel_lane_vectors(int outputs, int lanes) {
  const int vectors = round_up(outputs, lanes) / lanes;
  return vectors % 4 == 0 && lanes == 16 ? 4 : vectors % 2 == 0 ? 2 : 1;
}

/// Floats of the packed weights and of the bias table, for blocks of `block` output channels.
std::int64_t packed_weights_size(const ConvShape& conv, int block);
std::int64_t bias_table_size(const ConvShape& conv, int block);

/// The largest block of output channels of any instruction set.
inline constexpr int kMostChannelBlock = 8;

/// bias (ks, ks, block) per tap → table (y classes, x classes, block) of one block: each class adds
/// its valid taps, and bias (channels) unless null.
void fill_bias_table(const ConvShape& conv, int block, const double* tap_bias, const float* bias,
                     int channels, float* table);

/// weight (O, I, ky, kx) → packed (⌈O/block⌉, I, ky, kx, block), multiplied by scale (I), and
/// table (⌈O/block⌉, y classes, x classes, block) from shift (I) and bias (O). scale, shift, bias,
/// packed and table may be null.
void pack_forward(const ConvShape& conv, int block, const float* weight, const float* scale,
                  const float* shift, const float* bias, float* packed, float* table,
                  const ParallelFor& parallel);

/// Floats of the packed weights of one parity pair of the input gradient.
std::int64_t packed_gradient_size(const ConvShape& conv, int block, const GradientAxis& y,
                                  const GradientAxis& x);

/// weight → packed (⌈I/block⌉, O, y taps, x taps, block) for one parity pair.
void pack_gradient(const ConvShape& conv, int block, const float* weight, const GradientAxis& y,
                   const GradientAxis& x, float* packed, const ParallelFor& parallel);

/// How the kernels left G: `parts` buffers, one a thread, `lanes` wide.
struct GradientParts {
  const float* const* sums = nullptr;         ///< see WeightGradient::sums
  const float* const* border_sums = nullptr;  ///< (y classes, x classes, O rounded up to lanes)
  int parts = 1;
  int lanes = 1;
  bool channel_lanes = true;
  bool winograd = false;  ///< sums as of WinogradGradient
  bool bf16 = false;      ///< sums as of the bf16 kernels
  int vectors = 1;
};

/// tap_sums (ky, kx, O rounded up): S; totals (O): Σ dz.
void sum_taps(const ConvShape& conv, const GradientParts& parts, float* tap_sums, float* totals);

/// grad (O, I, ky, kx) = scale·G + shift·S, or nothing when grad is null; and, where `input_sums`
/// (I, 2) is given, the sums over the input's gradient that its norm needs: Σdy = Σ w·S and
/// Σdy·a = Σ w·G.  scale and shift may be null (1 and 0). scratch: for each of parts.parts
/// (ky, kx, O rounded up to lanes); `parallel` may have more threads or fewer.
void reduce_weight_gradient(const ConvShape& conv, const GradientParts& parts,
                            const float* tap_sums, const float* weight, const float* scale,
                            const float* shift, float* grad, double* input_sums,
                            float* const* scratch, const ParallelFor& parallel);

}  // namespace fatwood::kernels
