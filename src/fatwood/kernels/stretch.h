// The fused engine's core: a stretch of layers as data, and an executor that runs its forward and
// backward pass over memory planned once, for one batch size and image size. Knows pointers, not
// tensors; fatwood/engine wraps it into an autograd function.
//
// Invariants, which the sources refer to by number:
//  1. A value is stored as the raw output of its convolution (or sum), after the activation. What
//     follows (the subtraction of GeneralReLU and the norm) is an affine map per channel, kept
//     beside it and folded into the weights of whoever reads the value. A late value, whose norm
//     comes before its activation, is stored raw as well, and formed group by group where it is
//     read.
//  2. The sign of a stored value is the mask of its activation (of a late value: the sign of what
//     is formed): slopes are not negative.
//  3. The backward pass overwrites each value by its gradient; it can run once after a forward
//  pass.
//  4. Lanes of absent images (a short last group) may hold anything in values and hold zero in
//     gradients; statistics leave them out.
//  5. The two passes allocate nothing: their memory is there after construction, outputs and
//     gradients lie in the caller's. describe() and histogram() do allocate.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/moments.h>
#include <fatwood/kernels/parallel.h>

namespace fatwood::kernels {

/// A contiguous tensor in PyTorch's layout. `grad` is overwritten by the backward pass; null: the
/// gradient is not wanted. Both may change between steps.
struct Parameter {
  const float* value = nullptr;
  float* grad = nullptr;
};

/// y = x > 0 ? x : slope·x, then minus `subtract`. The default is no activation.
struct Activation {
  float slope = 1;
  float subtract = 0;
};

struct NormSpec {
  Parameter weight;  ///< γ (channels)
  Parameter bias;    ///< β (channels)
  float* running_mean = nullptr;
  float* running_var = nullptr;
  double momentum = 0.1;
  double eps = 1e-5;
};

/// conv2d (padding ks/2) → activation → batch norm.
struct ConvSpec {
  int c_in = 1;
  int c_out = 1;
  int ks = 3;
  int stride = 1;
  Activation activation;
  Parameter weight;               ///< (c_out, c_in, ks, ks)
  std::optional<Parameter> bias;  ///< (c_out)
  std::optional<NormSpec> norm;
};

/// act(b(a(x)) + id(pool(x))): `pool` averages 2×2 (ceil_mode) when b has stride 2, `id` is a
/// biased 1×1 convolution, absent where the channel counts agree.
struct ResidualSpec {
  ConvSpec a;
  ConvSpec b;
  std::optional<Parameter> id_weight;  ///< (c_out, c_in, 1, 1)
  std::optional<Parameter> id_bias;    ///< (c_out)
  Activation activation;
};

/// b(a(x))
struct DoubleSpec {
  ConvSpec a;
  ConvSpec b;
};

/// act(norm(conv_b(act(norm(conv_a(x))))) + identity): ResNet's order. identity: x, or `down`, a
/// 1×1 convolution with a norm. Each convolution has a norm and no activation of its own.
struct BasicSpec {
  ConvSpec a;
  ConvSpec b;
  std::optional<ConvSpec> down;
  Activation activation{0, 0};
};

/// max_pool(act(norm(conv(x)))), windows 3×3 of stride 2 and padding 1; conv as in BasicSpec.
struct StemSpec {
  ConvSpec conv;
  Activation activation{0, 0};
};

/// linear(mean over the pixels), as (N, c_out, 1, 1).
struct HeadSpec {
  int c_in = 1;
  int c_out = 1;
  Parameter weight;               ///< (c_out, c_in)
  std::optional<Parameter> bias;  ///< (c_out)
};

using LayerSpec = std::variant<ConvSpec, ResidualSpec, DoubleSpec, BasicSpec, StemSpec, HeadSpec>;

struct ImageShape {
  int channels = 1;
  int height = 1;
  int width = 1;

  bool operator==(const ImageShape&) const = default;
};

struct LayerKernels;  // table.h

/// Which sums of 3×3 convolutions go Winograd's way where that is faster. Its rounding is twice the
/// direct sum's; in the forward pass it goes on through every norm behind it, and small gradients
/// then miss f64 by more than four times LibTorch's own error.
enum class WinogradUse { off, gradients, everywhere };

struct StretchOptions {
  int batch = 1;
  ImageShape input;
  int threads = 1;  ///< parts that work is cut into, whatever a pass's ParallelFor has
  Isa isa = default_isa();
  bool input_gradient = false;
  WinogradUse winograd = WinogradUse::gradients;  ///< in bf16: off
  /// bf16: values and gradients between layers, and the products of convolutions. Inputs, outputs,
  /// parameters, their gradients and all statistics are f32 either way.
  Precision precision = Precision::f32;
  /// For benchmarks that look inside a step: instead of the instruction set's own. Must outlive the
  /// stretch.
  const LayerKernels* kernels = nullptr;
  /// false: for forward passes alone. Values share memory as soon as all have read them, and
  /// neither backward() nor histogram() may be called.
  bool keeps_values = true;
};

/// Whether the layer has kernels in bf16: those of ResNet's order, the norm before the activation,
/// have none.
bool has_bf16_kernels(const LayerSpec& layer);

enum class Mode { train, eval };

class Stretch {
 public:
  /// Throws Error{model} for a layer that does not fit its input or has no kernels: an even kernel,
  /// a stride other than 1 or 2, a negative slope, one without kernels in bf16.
  Stretch(std::vector<LayerSpec> layers, const StretchOptions& options);
  ~Stretch();
  Stretch(const Stretch&) = delete;
  Stretch& operator=(const Stretch&) = delete;

  /// Pointers in the layers may be changed here between steps; shapes may not.
  std::vector<LayerSpec>& layers();

  ImageShape output_shape() const;
  std::int64_t bytes() const;  ///< of all buffers together
  /// Layer i's kernels in words: "conv 3×3/1 8 → 8, leaky relu, norm [weight gradient: …]; sum …".
  std::string describe(std::size_t layer) const;

  /// x (N, C, H, W) → out (N, C', H', W'), both contiguous. In training mode norms use the batch's
  /// statistics and update the running ones as torch does; a norm over a single value is an
  /// Error{data}.
  void forward(const float* x, float* out, Mode mode, const ParallelFor& parallel = {});

  /// grad_out (N, C', H', W') → every parameter's grad, and grad_x (N, C, H, W) when it is given,
  /// which needs StretchOptions::input_gradient. Throws Error{model} unless a forward pass has run
  /// since the last backward pass.
  void backward(const float* grad_out, float* grad_x, const ParallelFor& parallel = {});

  /// Whether forward passes gather statistics of every layer's output (default: no).
  void watch(bool on);
  /// Of layer i's output in the last forward pass; between it and the backward pass.
  Moments moments(std::size_t layer) const;
  /// |output| in counts.size() bins over [0, top]; throws Error{internal} for more than 1024.
  void histogram(std::size_t layer, float top, std::span<std::int64_t> counts,
                 const ParallelFor& parallel = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fatwood::kernels
