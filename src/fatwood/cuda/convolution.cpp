#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/autograd.h>
#include <fatwood/cuda/convolution.h>
#include <fatwood/cuda/device.h>
#include <fatwood/cuda/program.h>
#include <fatwood/cuda/tiles.h>

namespace fatwood::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What a convolution may have for the kernels' registers and shared memory.
constexpr std::int64_t kMostChannels = 32, kMostProducts = 288;
constexpr int kMostPatch = 6144;  // values of a tile's patch
constexpr int kMostSharedWords = kMostSharedBytes / 4;
constexpr std::int64_t kMostPartials = std::int64_t{1} << 21;

std::int64_t tiles_of(const Gathering& g, std::int64_t images) {
  return images * g.tiles_y * g.tiles_x;
}

int patch_of(const Gathering& g) {
  return g.patch_h * g.patch_w * g.pitch;
}

/// The sizes of one convolution, in the kernels' words.
struct Sizes {
  std::int64_t images;
  int in, out, height, width, kernel, stride, pad, out_h, out_w;

  Sizes(const Tensor& x, const Tensor& weight, std::int64_t by)
      : images(x.size(0)),
        in(static_cast<int>(x.size(1))),
        out(static_cast<int>(weight.size(0))),
        height(static_cast<int>(x.size(2))),
        width(static_cast<int>(x.size(3))),
        kernel(static_cast<int>(weight.size(2))),
        stride(static_cast<int>(by)),
        pad(kernel / 2),
        out_h((height + stride - 1) / stride),
        out_w((width + stride - 1) / stride) {}
  int products() const { return kernel * kernel * in; }
};

/// What the output's pixels read of the input.
Gathering of_input(const Sizes& s) {
  Gathering g;
  g.row_h = s.out_h;
  g.row_w = s.out_w;
  g.mul = s.stride;
  g.height = s.height;
  g.width = s.width;
  g.channels = s.in;
  g.taps = s.kernel * s.kernel;
  for (int t = 0; t < g.taps; ++t) {
    g.tap[t] = {static_cast<signed char>(t / s.kernel - s.pad),
                static_cast<signed char>(t % s.kernel - s.pad), static_cast<short>(t)};
  }
  return g;
}

/// What the input's pixels (stride·v + y, stride·u + x) read of the output's gradient.
Gathering of_gradient(const Sizes& s, int y, int x) {
  Gathering g;
  g.row_h = (s.height - y + s.stride - 1) / s.stride;
  g.row_w = (s.width - x + s.stride - 1) / s.stride;
  g.height = s.out_h;
  g.width = s.out_w;
  g.channels = s.out;
  g.out_mul = s.stride;
  g.out_y = y;
  g.out_x = x;
  for (int t = 0; t < s.kernel * s.kernel; ++t) {
    const int dy = y + s.pad - t / s.kernel, dx = x + s.pad - t % s.kernel;
    if (dy % s.stride != 0 || dx % s.stride != 0) continue;
    g.tap[g.taps++] = {static_cast<signed char>(dy / s.stride),
                       static_cast<signed char>(dx / s.stride), static_cast<short>(t)};
  }
  return g;
}

/// The distance of a patch's pixels, at which a warp reads different banks of shared memory: four
/// lanes along the pixels that it multiplies, every `mul`th, and eight values of each.
int pitch_for(int channels, int mul) {
  if (channels < 4) return channels;
  const int whole = (channels + 3) / 4 * 4;
  return mul == 1 ? whole + (24 - whole % 16) % 16 : whole + (12 - whole % 8) % 8;
}

/// Cuts the rows into tiles whose patches fit.
void cut(Gathering& g, const Tensor& source) {
  int max_dy = 0, max_dx = 0;
  for (int t = 0; t < g.taps; ++t) {
    const Tap& tap = g.tap[t];
    g.min_dy = t == 0 ? tap.dy : std::min<int>(g.min_dy, tap.dy);
    g.min_dx = t == 0 ? tap.dx : std::min<int>(g.min_dx, tap.dx);
    max_dy = t == 0 ? tap.dy : std::max<int>(max_dy, tap.dy);
    max_dx = t == 0 ? tap.dx : std::max<int>(max_dx, tap.dx);
  }
  if (g.row_h == 0 || g.row_w == 0) return;  // no such pixels: no tiles
  g.pitch = pitch_for(g.channels, g.mul);
  g.quads = g.channels % 4 == 0 && aligned(source.const_data_ptr());
  const auto size = [&](int h, int w) {
    g.tile_h = h;
    g.tile_w = w;
    g.patch_h = (h - 1) * g.mul + max_dy - g.min_dy + 1;
    g.patch_w = (w - 1) * g.mul + max_dx - g.min_dx + 1;
    return patch_of(g);
  };
  int w = std::min((g.row_w + 7) / 8 * 8, 64);
  while (w > 8 && size(1, w) > kMostPatch) w = (w / 2 + 7) / 8 * 8;
  int h = std::min(g.row_h, kGroups * 8 / w);
  while (h > 1 && size(h, w) > kMostPatch) --h;
  size(h, w);
  g.tiles_y = (g.row_h + h - 1) / h;
  g.tiles_x = (g.row_w + w - 1) / w;
}

/// Strides of the weights in the order of the kernels' documentation.
struct WeightStrides {
  int out, in, tap;
};

/// How many blocks, `most` at most, are to take `tiles`, so that all are at work at once and each
/// has as many as any other: a multiprocessor holds as many as its shared memory and its registers,
/// of which a thread takes about as many as said, have room for.
std::int64_t blocks_for(std::int64_t tiles, std::int64_t shared_bytes, std::int64_t registers,
                        std::int64_t most = std::numeric_limits<std::int64_t>::max()) {
  // Of compute capability 9.0; a block takes a kilobyte more than it asks for.
  constexpr std::int64_t kSharedBytes = 227 << 10, kReserved = 1 << 10, kRegisters = 65536;
  const std::int64_t held =
      std::min(kSharedBytes / (shared_bytes + kReserved), kRegisters / (registers * kConvThreads));
  const std::int64_t at_once = std::min(multiprocessors() * std::max<std::int64_t>(held, 1), most);
  const std::int64_t each = (tiles + at_once - 1) / at_once;
  return (tiles + each - 1) / each;
}

/// `out`: channels-last, of `columns` channels.
void convolve(const Tensor& source, const Tensor& weight, const Tensor& bias, Gatherings g,
              int parts, WeightStrides strides, const Tensor& out) {
  int images = static_cast<int>(out.size(0)), columns = static_cast<int>(out.size(1));
  int height = static_cast<int>(out.size(2)), width = static_cast<int>(out.size(3));
  std::int64_t tiles = 0;
  int patch = 0, depth = 0;
  for (int i = 0; i < parts; ++i) {
    cut(g.part[i], source);
    tiles = std::max(tiles, tiles_of(g.part[i], images));
    patch = std::max(patch, patch_of(g.part[i]));
    depth = std::max(depth, (g.part[i].taps * g.part[i].channels + 7) / 8 * 8);
  }
  const int eights = columns <= 8 ? 1 : columns <= 16 ? 2 : 4;
  patch = (patch + 3) / 4 * 4;
  const int each =
      (16 * eights + 8) / 2 + 1;  // words a product: half of pair_stride() of convolution.cu
  depth = std::min(depth, (kMostSharedWords - patch) / each / 8 * 8);
  const std::int64_t shared = std::int64_t{sizeof(float)} * (patch + depth * each);
  const bool pairs = source.size(1) % 2 == 0;
  const std::int64_t blocks =
      blocks_for(parts * tiles, shared, /*registers=*/eights == 4 ? 120 : 80);
  const void* values = source.const_data_ptr();
  const void* weights = weight.const_data_ptr();
  const void* added = bias.defined() ? bias.const_data_ptr() : nullptr;
  void* result = out.data_ptr();
  auto arguments = addresses_of(values, weights, added, g, images, columns, strides.out, strides.in,
                                strides.tap, height, width, patch, depth, result);
  launch(
      ("convolve_" + std::to_string(eights) + (pairs ? "_pairs" : "_singles") + suffix_of(source))
          .c_str(),
      {.x = (blocks + parts - 1) / parts, .z = parts}, kConvThreads, arguments.data(), shared);
}

/// And to `bias_gradient`, where it is defined, the bias's.
Tensor weight_gradient(const Tensor& x, const Tensor& dy, const Tensor& weight, const Sizes& s,
                       const Tensor& bias_gradient) {
  Gathering g = of_input(s);
  cut(g, x);
  int images = static_cast<int>(s.images), outs = s.out, bias = bias_gradient.defined() ? 1 : 0;
  int columns = s.products(), count = outs * (columns + bias);
  const int each = (columns + bias + 31) / 32;  // eights of products for each of four warps
  const int stride = outs <= 16 ? 24 : 40;      // slope_stride() of weight_gradient.cu
  const std::int64_t patch_bytes = patch_of(g) * std::int64_t{sizeof(float)};
  int splits = static_cast<int>(blocks_for(
      tiles_of(g, images), patch_bytes + std::int64_t{sizeof(float)} * 8 * kGroups * stride,
      outs <= 16 ? 56 + 7 * each : 60 + 10 * each,
      std::max(kMostPartials / count, multiprocessors())));
  int out_quads = outs % 4 == 0 && aligned(dy.const_data_ptr()) ? 1 : 0;
  const Tensor partials = torch::empty({splits, count}, weight.options());
  const void* values = x.const_data_ptr();
  const void* slopes = dy.const_data_ptr();
  void* sums = partials.data_ptr();
  auto first = addresses_of(values, slopes, g, images, outs, out_quads, bias, sums);
  const std::string kernel = std::string("weight_gradient_") + (outs <= 16 ? "1" : "2") +
                             (each <= 1   ? "_1"
                              : each <= 3 ? "_3"
                              : each <= 5 ? "_5"
                              : each <= 7 ? "_7"
                                          : "_9") +
                             suffix_of(x);
  launch(kernel.c_str(), {.x = splits}, kConvThreads, first.data(), patch_bytes);
  Tensor gradient = torch::empty_like(weight);
  void* result = gradient.data_ptr();
  void* rest = bias == 1 ? bias_gradient.data_ptr() : nullptr;
  auto second = addresses_of(sums, splits, count, columns, result, rest);
  launch("sum_splits", {.x = (count + 31) / 32}, /*threads=*/1024, second.data());
  return gradient;
}

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias, std::int64_t stride) {
    const Sizes s(x, weight, stride);
    Tensor y = torch::empty({s.images, s.out, s.out_h, s.out_w},
                            x.options().memory_format(torch::MemoryFormat::ChannelsLast));
    convolve(x, weight, bias.value_or(Tensor()), {{of_input(s), {}, {}, {}}}, /*parts=*/1,
             {.out = s.products(), .in = 1, .tap = s.in}, y);
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["bias"] = bias.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_create_graph("convolution");
    const variable_list kept = context->get_saved_variables();
    const Tensor &x = kept[0], &weight = kept[1];
    const Sizes s(x, weight, context->saved_data["stride"].toInt());
    const Tensor dy =
        gradients[0].to(x.scalar_type()).contiguous(torch::MemoryFormat::ChannelsLast);
    Tensor dx, dw, db;
    if (context->needs_input_grad(0)) {
      dx = torch::empty(x.sizes(), x.options().memory_format(torch::MemoryFormat::ChannelsLast));
      // Pixels whose coordinates leave the same rest by the stride read the same taps.
      Gatherings g;
      for (int i = 0; i < s.stride * s.stride; ++i)
        g.part[i] = of_gradient(s, i / s.stride, i % s.stride);
      convolve(dy, weight, {}, g, s.stride * s.stride, {.out = 1, .in = s.products(), .tap = s.in},
               dx);
    }
    // The weights' kernel reads dy anyway; its smallest form has room for the bias.
    const bool bias = context->saved_data["bias"].toBool() && context->needs_input_grad(2);
    if (bias && context->needs_input_grad(1) && s.products() < 32)
      db = torch::empty({s.out}, weight.options());
    if (context->needs_input_grad(1)) dw = weight_gradient(x, dy, weight, s, db);
    if (bias && !db.defined()) db = dy.sum({0, 2, 3}, false, torch::kFloat);
    return {dx, dw, db, Tensor()};
  }
};

bool channels_last(const Tensor& tensor) {
  return tensor.is_contiguous(torch::MemoryFormat::ChannelsLast);
}

}  // namespace

bool takes_convolution(const Tensor& x, const Tensor& weight, std::int64_t stride) {
  if (!OwnKernels::active() || !on_device(x) || x.dim() != 4 || !has_kernel(x.scalar_type()) ||
      x.numel() == 0 || x.numel() >= (std::int64_t{1} << 30) || !channels_last(x) ||
      x.size(0) * x.size(2) * x.size(3) >= (1 << 24)) {
    return false;
  }
  return weight.dim() == 4 && weight.device() == x.device() &&
         weight.scalar_type() == torch::kFloat && channels_last(weight) &&
         weight.size(1) == x.size(1) && weight.size(2) == weight.size(3) &&
         weight.size(2) % 2 == 1 && weight.size(2) * weight.size(3) <= kMostTaps &&
         weight.size(0) <= kMostChannels && weight.size(1) <= kMostChannels && weight.size(0) > 0 &&
         weight.numel() / weight.size(0) <= kMostProducts && (stride == 1 || stride == 2) &&
         at::globalContext().allowTF32CuDNN() && multiplies_tf32();
}

Tensor convolution(const Tensor& x, const Tensor& weight, const Tensor& bias, std::int64_t stride) {
  const bool narrow = at::autocast::is_autocast_enabled(at::kCUDA) &&
                      at::autocast::get_autocast_dtype(at::kCUDA) == at::kBFloat16;
  return Convolution::apply(narrow ? x.to(torch::kBFloat16) : x, weight,
                            bias.defined() ? std::optional<Tensor>(bias) : std::nullopt, stride);
}

}  // namespace fatwood::cuda
