// What each instruction set provides, as a table of functions. The tables are built in targets/,
// one file per instruction set, all from the same templates in simd/; the public headers beside
// this one choose a table and split work over threads.
#pragma once

#include <cstdint>

#include <fatwood/kernels/geometry.h>
#include <fatwood/kernels/isa.h>

namespace fatwood::kernels {

/// Mean and Σ(x - mean)² of one run of values.
struct PartialMoments {
  std::int64_t count = 0;
  double mean = 0;
  double m2 = 0;
};

struct AdamWCoefficients {
  float keep;          ///< 1 - lr·decay
  float one_minus_b1;  ///< 1 - beta1
  float beta2;
  float one_minus_b2;
  float step_size;  ///< lr / (1 - beta1^t)
  float root_bc2;   ///< √(1 - beta2^t)
  float eps;
};

struct SgdCoefficients {
  float lr, momentum, one_minus_dampening, weight_decay;
  bool nesterov, first;
};

// Layer kernels work on one group of L = lanes_of(isa) images at a time, in the layout
// (channels, height, width, L): "a plane" is (height, width, L). All pointers are aligned to 64
// bytes. Output channels are taken in blocks of B = channel_block.
//
// In bf16 a 32-bit lane holds two channels, 2c in its lower and 2c + 1 in its upper half: a tensor
// (channels, height, width, L) is then one of ⌈channels/2⌉ planes of such lanes, an absent last
// channel being 0, and lies where the f32 one would. So do packed weights, whose input channels
// come in pairs. Bias tables, statistics, coefficients, scales, shifts and sums stay f32, and those
// by channel are padded to an even number of channels at least.

/// out[o] = epilogue(bias + Σ_c Σ_taps in[c]·weight[o][c]) over the pixels that `y` and `x` select.
struct Correlate {
  Axis y, x;
  int in_channels = 0;
  int out_channels = 0;
  const float* in = nullptr;       ///< (in_channels, y.extent, x.extent, L)
  const float* weights = nullptr;  ///< (⌈out_channels/B⌉, in_channels, y.taps, x.taps, B)
  const float* bias = nullptr;  ///< (⌈out_channels/B⌉, y.border_classes(), x.border_classes(), B)
  float* out = nullptr;         ///< (out_channels, out_height, out_width, L)
  int out_height = 0;
  int out_width = 0;
  float slope = 1;  ///< of the activation, for values up to 0; 1: none

  // Forward: out = act(sum + add_scale[o]·add), and statistics of out.
  const float* add = nullptr;        ///< like out
  const float* add_scale = nullptr;  ///< (out_channels)
  float* stats = nullptr;  ///< (out_channels, 3, L): shift, Σ(v - shift), Σ(v - shift)²

  // Input gradient, when `activation` is given: sum += extra, then
  // out = (activation > 0 ? 1 : slope)·(A·sum + B·activation + C), and 0 in lanes from `images` on.
  const float* activation = nullptr;    ///< like out; out may be the same memory
  const float* coefficients = nullptr;  ///< (out_channels, 4): A, B, C, unused
  const float* extra = nullptr;         ///< (out_channels, …, extra_width, L)
  int extra_shift = 0;                  ///< pixel (y, x) adds extra pixel (y >> s, x >> s)
  int extra_height = 0;
  int extra_width = 0;
  int images = 0;

  /// Another job, or null: done row by row beside this one, so that what both read and write is
  /// still near. Same tensors, other pixels of out, no stats; not by Winograd's way.
  const Correlate* next = nullptr;

  // Winograd's way: weights as pack_winograd leaves them, and winograd_scratch_size floats.
  float* scratch = nullptr;

  /// Memory that the next call reads, or null: brought into the second-level cache between the
  /// products of this one. Of the first of several jobs; not by Winograd's way.
  const float* ahead = nullptr;
  std::int64_t ahead_floats = 0;
};

/// Gradients with respect to a convolution's weights, summed over the images of a group.
struct WeightGradient {
  Axis y, x;  ///< of the forward pass
  int in_channels = 0;
  int out_channels = 0;
  /// (in_channels, y.extent, x.extent, L); bf16: (pairs of channels, y.extent, x.extent, L/2 pairs
  /// of images, 2 channels), in lanes of two images.
  const float* in = nullptr;
  /// For channel lanes (y.count, x.count, L, out_channels rounded up to L), else
  /// (out_channels, y.count, x.count, L); bf16: (y.count, x.count, L/2 pairs of images,
  /// out_channels rounded up to L), up to L/2 channels standing twice.
  const float* grad = nullptr;
  /// Added to. For channel lanes (tiles, in_channels, y.taps, x.taps, vectors·L), the tile's width
  /// being vectors·L output channels, else (out_channels, in_channels, y.taps, x.taps, L). bf16:
  /// in_channels are rounded up to an even number, and few channels have (pairs of in_channels,
  /// y.taps, x.taps, L), a lane being 2·(output channel) + (channel of the pair).
  float* sums = nullptr;
  int vectors = 1;  ///< channel lanes only: channel_lane_vectors
  /// Channel lanes only: groups taken in one pass over the sums, and floats from one to the next.
  int groups = 1;
  std::int64_t in_group = 0;
  std::int64_t grad_group = 0;
};

/// 3×3 windows of stride 2 and padding 1 over act(scale·in + shift).
struct MaxPool {
  int channels = 0;
  int height = 0;
  int width = 0;
  const float* in = nullptr;     ///< (channels, height, width, L)
  const float* scale = nullptr;  ///< (channels)
  const float* shift = nullptr;  ///< (channels)
  float slope = 1;
  float* scratch = nullptr;  ///< (height, width, L)
};

inline constexpr int kWinogradOutputs = 4;  ///< of a tile along an axis
inline constexpr int kWinogradInputs = 6;
inline constexpr int kWinogradPoints = kWinogradInputs * kWinogradInputs;
inline constexpr int kWinogradBlock = 4;  ///< output channels that are packed together
inline constexpr int kWinogradTiles = 3;  ///< most at once with vectors of less than 16 lanes

/// The same for a 3×3 convolution of stride 1 by Winograd's way (kernels/winograd.h). Points of
/// several tiles, of one group after another, are collected before they are multiplied.
struct WinogradGradient {
  int height = 0;
  int width = 0;
  int in_channels = 0;
  int out_channels = 0;
  const float* in = nullptr;      ///< (in_channels, height, width, L)
  const float* grad = nullptr;    ///< (height, width, L, out_channels rounded up to L)
  int capacity = 1;               ///< tiles that the points hold
  int tiles = 0;                  ///< tiles that they hold now
  float* input_points = nullptr;  ///< 36 × (in_channels, capacity, L), input_stride apart
  std::int64_t input_stride = 0;
  float* gradient_points = nullptr;  ///< 36 × (capacity, L, out_channels rounded up to L)
  std::int64_t gradient_stride = 0;
  float* sums = nullptr;  ///< added to: (36, in_channels, out_channels rounded up to L)
  int vectors = 1;        ///< channel_lane_vectors
};

/// What a layer is made of, for one precision. The bf16 kernels have no Winograd's way and nothing
/// for norms before activations: those are null.
struct LayerKernels {
  int channel_block;

  void (*correlate)(const Correlate& job);
  /// The same for 3 × 3 taps, stride 1 and as many outputs as inputs, by Winograd's way.
  void (*correlate_winograd)(const Correlate& job);
  /// Folds stats (channels, 3, L) over `pixels` values in each of the first `images` lanes into
  /// moments (channels).
  void (*fold_stats)(const float* stats, int channels, int images, int pixels,
                     PartialMoments* moments);
  /// grad (channels, y.count, x.count, L) → turned (y.count, x.count, L, channels rounded up to L),
  /// and adds each pixel's sum over the images to
  /// sums (y.border_classes(), x.border_classes(), channels rounded up).
  void (*turn_gradient)(const Axis& y, const Axis& x, int channels, const float* grad,
                        float* turned, float* sums);
  /// The sums of turn_gradient alone.
  void (*sum_gradient)(const Axis& y, const Axis& x, int channels, const float* grad, float* sums);
  void (*weight_gradient_channel_lanes)(const WeightGradient& job);
  /// For few channels. f32: images in the lanes; bf16: half as many output channels, each twice.
  void (*weight_gradient_few_channels)(const WeightGradient& job);
  /// bf16 alone, else null: (channels, pixels, L) → what `WeightGradient::in` is.
  void (*split_channels)(const float* in, int channels, std::int64_t pixels, float* out);

  /// Adds a group's tiles, and multiplies when the points are full.
  void (*winograd_gradient_add)(WinogradGradient& job);
  /// Multiplies what is left.
  void (*winograd_gradient_flush)(WinogradGradient& job);

  /// `count` images (channels, plane), one after the other → (channels, plane, L), lanes past count
  /// zero.
  void (*interleave)(const float* images, int count, int channels, std::int64_t plane, float* out);
  /// Back: out[i][c][p] = scale[c]·in[c][p][i] + shift[c].
  void (*deinterleave)(const float* in, int count, int channels, std::int64_t plane,
                       const float* scale, const float* shift, float* out);

  /// dy (channels, pixels, L) and a likewise: out = (a > 0 ? 1 : slope)·(A·dy + B·a + C), absent
  /// lanes zero. out may be dy or a.
  void (*norm_backward)(int channels, int pixels, int images, const float* dy, const float* a,
                        const float* coefficients, float slope, float* out);
  /// 2×2 average with stride 2, windows cut at the border (ceil_mode):
  /// in (channels, height, width, L) → out (channels, ⌈height/2⌉, ⌈width/2⌉, L).
  void (*average_pool)(int channels, int height, int width, const float* in, float* out);
  /// What each pixel of a window receives from the pooled gradient: out = in / window size, both
  /// (channels, ⌈height/2⌉, ⌈width/2⌉, L). In place allowed.
  void (*average_pool_backward)(int channels, int height, int width, const float* in, float* out);
  /// out = act(scale_a·a + scale_b·b + offset), all (channels, pixels, L), scales per channel;
  /// stats as in Correlate, or null.
  void (*join)(int channels, int pixels, const float* a, const float* scale_a, const float* b,
               const float* scale_b, const float* offset, float slope, float* out, float* stats);
  /// sums (channels, 2) += Σ dy, Σ dy·a over all pixels and lanes (absent lanes of dy are zero).
  void (*gradient_sums)(int channels, int pixels, const float* dy, const float* a, double* sums);

  /// out = act(scale·in + shift), (channels, pixels, L), scale and shift per channel.
  void (*affine_activate)(int channels, int pixels, const float* in, const float* scale,
                          const float* shift, float slope, float* out);
  /// out (channels, ⌈height/2⌉, ⌈width/2⌉, L); stats as in Correlate, or null.
  void (*max_pool)(const MaxPool& job, float* out, float* stats);
  /// grad like max_pool's out → out, the gradient with respect to scale·in + shift.
  void (*max_pool_backward)(const MaxPool& job, const float* grad, float* out);
  /// out (channels, L) = the mean over the pixels of scale·in + shift; stats as in Correlate.
  void (*mean_pool)(int channels, int pixels, const float* in, const float* scale,
                    const float* shift, float* out, float* stats);
  /// grad (channels, L) → out (channels, pixels, L) = (a > 0 ? 1 : slope)·grad / pixels. out may
  /// be a.
  void (*mean_pool_backward)(int channels, int pixels, const float* grad, const float* a,
                             float slope, float* out);

  /// KernelTable::histogram over scale[c]·x + shift[c], x (channels, pixels, L), of the first
  /// `images` lanes.
  void (*affine_histogram)(const float* x, int channels, int pixels, int images, const float* scale,
                           const float* shift, int bins, float top, std::int64_t* counts);
};

struct KernelTable {
  PartialMoments (*moments)(const float* x, std::int64_t n);
  /// Adds the counts of |x| in `bins` equal bins over [0, top] to counts.
  void (*histogram)(const float* x, std::int64_t n, int bins, float top, std::int64_t* counts);
  void (*adamw)(const AdamWCoefficients& c, float* param, const float* grad, float* mean,
                float* square, std::int64_t n);
  void (*sgd)(const SgdCoefficients& c, float* param, const float* grad, float* momentum,
              std::int64_t n);
  /// out[i] = in[i]·scale + shift
  void (*scale_bytes)(const std::uint8_t* in, std::int64_t n, float scale, float shift, float* out);
  /// One group of lanes_of(isa) images, `images` of them present: plane after plane of `size`
  /// pixels, out[p·lanes + i] = image i's pixel p, scaled; absent images become zero.
  void (*interleave_bytes)(const std::uint8_t* const* images, int count, std::int64_t size,
                           float scale, float shift, float* out);

  /// For benchmarks: `rounds` rounds of multiply-adds on registers alone.
  float (*run_multiply_adds)(std::int64_t rounds);
  int multiply_adds_per_round;

  LayerKernels layers;  ///< in f32
};

const KernelTable& table_for(Isa isa);
const LayerKernels& layer_kernels_for(Isa isa, Precision precision);

}  // namespace fatwood::kernels
