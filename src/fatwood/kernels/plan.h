// What a Stretch is made of: values in memory and the operations between them, laid out once.
// Internal to the stretch's sources.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fatwood/kernels/bf16_packing.h>
#include <fatwood/kernels/buffer.h>
#include <fatwood/kernels/packing.h>
#include <fatwood/kernels/stretch.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {

struct Convolution;
struct Junction;
struct Pooling;

/// A tensor between operations: (groups, channels, height, width, L), in bf16 with half as many
/// planes of pairs (table.h), stored raw (invariant 1), true value scale·raw + shift, or
/// act(scale·raw + shift) where `late`.
struct Value {
  ImageShape shape;
  std::int64_t group_size = 0;
  float* raw = nullptr;  ///< in Plan::storage
  std::size_t size = 0;  ///< floats there
  Activation activation;
  NormSpec* norm = nullptr;
  bool late = false;  ///< the norm comes before the activation

  bool affine = false;  ///< as readers find it; false: scale 1 and shift 0, or late
  Buffer<float> scale, shift;
  std::vector<double> mean, rstd;   ///< of raw, as the norm used them
  Buffer<float> coefficients;       ///< (channels, 4) for the backward pass
  std::vector<Moments> statistics;  ///< of raw by channel, where they were gathered
  bool has_statistics = false;

  // Who reads this value. A value without readers is the stretch's output.
  std::vector<Convolution*> readers;
  Junction* main_of = nullptr;      ///< as the sum's main path
  Junction* identity_of = nullptr;  ///< as the sum's identity path
  Pooling* pooled_by = nullptr;

  /// Gradient with respect to the true value, for values that cannot take it in place: their norm
  /// needs sums over it first, and it does not come from one convolution alone. Of a late value:
  /// with respect to what the activation takes.
  Buffer<float> gradient;

  /// Slope of the activation that the raw value went through.
  float raw_slope() const { return late ? 1.0F : activation.slope; }

  int pixels() const { return shape.height * shape.width; }
  std::int64_t plane(int lanes) const { return static_cast<std::int64_t>(pixels()) * lanes; }
  float* group(std::int64_t g) const { return raw + g * group_size; }
  float* gradient_group(std::int64_t g) const { return gradient.data() + g * group_size; }
};

/// One input-gradient correlation: a parity pair of a convolution.
struct GradientPart {
  GradientAxis y, x;
  Buffer<float> weights;
};

struct Convolution {
  ConvShape shape;
  ConvSpec* spec = nullptr;  ///< null for a residual block's 1×1 identity convolution
  Parameter* weight = nullptr;
  Parameter* bias = nullptr;
  Value* in = nullptr;
  Value* out = nullptr;

  /// Of a k×k convolution over one pixel, the middle tap alone meets it: `shape` is then 1×1, and
  /// these hold the middle weights and their gradient (c_out, c_in).
  int taps_in_parameter = 1;
  Buffer<float> middle, middle_gradient;

  Buffer<float> weights;  ///< packed, forward
  Buffer<float> table;    ///< bias by border class
  bool has_table = false;
  std::vector<GradientPart> gradient_parts;

  bool winograd_forward = false;   ///< forward pass
  bool winograd = false;           ///< input gradient
  bool winograd_gradient = false;  ///< weight gradient
  bool channel_lanes = true;
  int vectors = 1;
  std::int64_t sums_size = 0;
  std::int64_t border_sums_size = 0;
  std::int64_t turned_size = 0;  ///< of one group
  int chunk = 1;  ///< groups whose weight gradient is taken in one pass over the sums
  Buffer<float> tap_sums, totals;

  const float* values() const { return middle.data() ? middle.data() : weight->value; }
};

/// out = act(main + id(pool(identity)))
struct Junction {
  Value* main = nullptr;
  Value* identity = nullptr;
  Value* out = nullptr;
  bool pooled = false;
  bool projected = false;
  Convolution projection;  ///< when projected; reads the pooled identity
  Buffer<float> offset;    ///< per output channel: what the shifts of both paths add up to
};

/// out = the largest of each 3×3 window of `in`, or its mean.
struct Pooling {
  bool max = false;
  Value* in = nullptr;
  Value* out = nullptr;
};

/// One of the three.
struct Operation {
  Convolution* convolution = nullptr;
  Junction* junction = nullptr;
  Pooling* pooling = nullptr;
};

/// What one thread works with.
struct ThreadMemory {
  Buffer<float> stats;   ///< (channels, 3, L)
  Buffer<float> turned;  ///< the turned gradients of a chunk of groups
  Buffer<float> sums;    ///< weight gradient
  Buffer<float> border_sums;
  Buffer<float> pooled;     ///< identity path of one group
  Buffer<float> spread;     ///< its gradient, or a second reader's
  Buffer<float> formed;     ///< late values of a chunk of groups
  Buffer<float> split;      ///< bf16: a chunk of inputs, split by channels
  Buffer<float> reduction;  ///< one input channel's weight gradient
  Buffer<float> winograd;   ///< Correlate::scratch
  Buffer<float> input_points, gradient_points;
  int tiles = 0;  ///< that they hold
  std::vector<PartialMoments> moments;
  std::vector<double> gradient_sums;  ///< (2, channels, 2): of a sum's main path, of its identity's
};

struct Plan {
  StretchOptions options;
  const LayerKernels* table = nullptr;
  int lanes = 1;
  int block = 1;
  std::int64_t groups = 1;
  std::vector<std::unique_ptr<Value>> values;  ///< values[0] is the input
  std::vector<Buffer<float>> storage;          ///< of the values
  std::vector<std::unique_ptr<Convolution>> convolutions;
  std::vector<std::unique_ptr<Junction>> junctions;
  std::vector<std::unique_ptr<Pooling>> poolings;
  std::vector<Operation> operations;       ///< operation i makes values[i + 1]
  std::vector<std::size_t> layer_outputs;  ///< index into values
  std::vector<ThreadMemory> memory;
  std::vector<const float*> sums, border_sums;  ///< of every thread
  std::vector<float*> reductions;               ///< likewise
  std::vector<double> input_sums;               ///< (channels, 2)
  Buffer<float> plain;                          ///< coefficients without a norm: 1, 0, 0, 0
  std::size_t most_channels = 0;

  bool bf16() const { return options.precision == Precision::bf16; }
  /// Planes of `channels` channels in memory.
  int planes(int channels) const { return bf16() ? round_up(channels, 2) / 2 : channels; }

  int images_of(std::int64_t group) const {
    const std::int64_t left = options.batch - group * lanes;
    return static_cast<int>(left < lanes ? left : lanes);
  }
  Value& output() const { return *values.back(); }
  std::int64_t bytes() const;
};

/// The kernels of one layer: "conv 3×3/1 8 → 8, leaky relu, norm [weight gradient: …]; sum with …".
std::string describe(const Plan& plan, std::size_t layer);

/// Gives every value its memory, once every value and operation is there.
void place_values(Plan& plan);

/// Fills Plan::memory and what goes with it, once every value and operation is there.
void add_thread_memory(Plan& plan);

/// `layers` must outlive the plan and keep its place in memory.
Plan make_plan(std::vector<LayerSpec>& layers, const StretchOptions& options);

}  // namespace fatwood::kernels
