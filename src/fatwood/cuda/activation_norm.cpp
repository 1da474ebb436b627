#include <algorithm>
#include <map>
#include <mutex>

#include <torch/csrc/autograd/custom_function.h>

#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/autograd.h>
#include <fatwood/cuda/device.h>
#include <fatwood/cuda/program.h>

namespace fatwood::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kNormThreads = 256;  // as in activation_norm.cu
constexpr std::int64_t kMostBlocks = 512;
constexpr std::int64_t kMostTiles = 64;

/// Where a kernel's blocks leave their sums: one piece of memory a stream, since those of one
/// stream run after one another. Kept until the process ends.
struct Scratch {
  Tensor partials, done;
};

Scratch& scratch_for(std::int64_t blocks, std::int64_t channels) {
  static std::mutex mutex;
  static auto* all = new std::map<std::int64_t, Scratch>;  // outlives LibTorch's own ending
  const std::scoped_lock lock(mutex);
  Scratch& scratch = (*all)[current_stream()];
  const std::int64_t wanted = 2 * blocks * channels;
  if (!scratch.partials.defined() || scratch.partials.numel() < wanted)
    scratch.partials = torch::empty({wanted}, torch::dtype(torch::kFloat).device(kDevice));
  if (!scratch.done.defined())
    scratch.done = torch::zeros({kMostTiles}, torch::dtype(torch::kInt).device(kDevice));
  return scratch;
}

/// The rows and channels of a channels-last tensor, and the grid that covers them.
struct Shape {
  std::int64_t rows;
  int channels, lanes;
  std::int64_t blocks, tiles;
  explicit Shape(const Tensor& x)
      : rows(x.numel() / x.size(1)),
        channels(static_cast<int>(x.size(1))),
        lanes(channels % 4 == 0 ? 4 : 1) {
    const std::int64_t groups = channels / lanes;
    const std::int64_t width = std::min<std::int64_t>(groups, kNormThreads);
    const std::int64_t at_once = kNormThreads / width;
    tiles = (groups + width - 1) / width;
    // Some eight rows a thread, so that the blocks' sums stay few.
    blocks = std::clamp<std::int64_t>((rows + 8 * at_once - 1) / (8 * at_once), 1,
                                      std::max<std::int64_t>(kMostBlocks / tiles, 1));
  }
  std::string kernel(const char* name, const Tensor& x) const {
    return std::string(name) + "_" + std::to_string(lanes) + suffix_of(x);
  }
};

class ActivationNorm : public torch::autograd::Function<ActivationNorm> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                        const Tensor& tracked, double eps, double momentum, double leak,
                        double shift) {
    Shape shape(x);
    const Scratch& scratch = scratch_for(shape.blocks, shape.channels);
    const Tensor saved = torch::empty({2, x.size(1)}, weight.options());
    Tensor y = torch::empty_like(x);
    Activation act{static_cast<float>(leak), static_cast<float>(shift)};
    float eps_f = static_cast<float>(eps), momentum_f = static_cast<float>(momentum);
    const void* values = x.const_data_ptr();
    void* partials = scratch.partials.data_ptr();
    void* done = scratch.done.data_ptr();
    void* mean = running_mean.data_ptr();
    void* variance = running_var.data_ptr();
    void* count = tracked.data_ptr();
    void* statistics = saved.data_ptr();
    auto first = addresses_of(values, shape.rows, shape.channels, act, eps_f, momentum_f, partials,
                              done, mean, variance, count, statistics);
    launch(shape.kernel("norm_statistics", x).c_str(), {.x = shape.blocks, .y = shape.tiles},
           kNormThreads, first.data());
    const void* gamma = weight.const_data_ptr();
    const void* beta = bias.const_data_ptr();
    void* out = y.data_ptr();
    auto second =
        addresses_of(values, shape.rows, shape.channels, act, statistics, gamma, beta, out);
    launch(shape.kernel("norm_apply", x).c_str(), {.x = shape.blocks, .y = shape.tiles},
           kNormThreads, second.data());
    context->save_for_backward({x, weight, saved});
    context->saved_data["leak"] = leak;
    context->saved_data["shift"] = shift;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_create_graph("activation_norm");
    const variable_list kept = context->get_saved_variables();
    const Tensor &x = kept[0], &weight = kept[1], &saved = kept[2];
    const Tensor dy =
        gradients[0].to(x.scalar_type()).contiguous(torch::MemoryFormat::ChannelsLast);
    Shape shape(x);
    const Scratch& scratch = scratch_for(shape.blocks, shape.channels);
    const Tensor sums = torch::empty({2, x.size(1)}, weight.options());
    Tensor dx = torch::empty_like(x);
    Activation act{static_cast<float>(context->saved_data["leak"].toDouble()),
                   static_cast<float>(context->saved_data["shift"].toDouble())};
    const void* values = x.const_data_ptr();
    const void* slopes = dy.const_data_ptr();
    const void* statistics = saved.const_data_ptr();
    void* partials = scratch.partials.data_ptr();
    void* done = scratch.done.data_ptr();
    void* totals = sums.data_ptr();
    auto first = addresses_of(values, slopes, shape.rows, shape.channels, act, statistics, partials,
                              done, totals);
    launch(shape.kernel("norm_gradient_sums", x).c_str(), {.x = shape.blocks, .y = shape.tiles},
           kNormThreads, first.data());
    const void* gamma = weight.const_data_ptr();
    void* out = dx.data_ptr();
    auto second = addresses_of(values, slopes, shape.rows, shape.channels, act, statistics, gamma,
                               totals, out);
    launch(shape.kernel("norm_gradient", x).c_str(), {.x = shape.blocks, .y = shape.tiles},
           kNormThreads, second.data());
    return {dx,       sums[1],  sums[0],  Tensor(), Tensor(),
            Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

class SumActivation : public torch::autograd::Function<SumActivation> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& u, const Tensor& v, double leak,
                        double shift) {
    Tensor y = torch::empty_like(u);
    run("sum_activation", {u.const_data_ptr(), v.const_data_ptr()}, u, leak, shift, y);
    context->save_for_backward({u, v});
    context->saved_data["leak"] = leak;
    context->saved_data["shift"] = shift;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_create_graph("sum_activation");
    const variable_list kept = context->get_saved_variables();
    const Tensor &u = kept[0], &v = kept[1];
    Tensor dy = gradients[0].to(u.scalar_type());
    if (dy.strides() != u.strides()) dy = torch::empty_like(u).copy_(dy);
    Tensor dx = torch::empty_like(u);
    run("sum_activation_gradient", {u.const_data_ptr(), v.const_data_ptr(), dy.const_data_ptr()}, u,
        context->saved_data["leak"].toDouble(), context->saved_data["shift"].toDouble(), dx);
    return {dx, dx, Tensor(), Tensor()};
  }

 private:
  static void run(const char* kernel, std::vector<const void*> inputs, const Tensor& like,
                  double leak, double shift, const Tensor& out) {
    std::int64_t n = like.numel();
    Activation act{static_cast<float>(leak), static_cast<float>(shift)};
    void* result = out.data_ptr();
    std::vector<void*> arguments;
    for (const void*& input : inputs) arguments.push_back(static_cast<void*>(&input));
    for (void* argument :
         {static_cast<void*>(&n), static_cast<void*>(&act), static_cast<void*>(&result)})
      arguments.push_back(argument);
    launch(
        (std::string(kernel) + suffix_of(like)).c_str(),
        {.x = std::clamp<std::int64_t>((n + kNormThreads - 1) / kNormThreads, 1, 8 * kMostBlocks)},
        kNormThreads, arguments.data());
  }
};

bool float_on(const Tensor& tensor, const torch::Device& device, std::int64_t channels) {
  return tensor.defined() && tensor.scalar_type() == torch::kFloat && tensor.device() == device &&
         tensor.is_contiguous() && tensor.numel() == channels;
}

}  // namespace

bool takes_norm(const Tensor& x, const torch::nn::BatchNorm2dImpl& norm) {
  if (!OwnKernels::active() || !on_device(x) || x.dim() != 4 || !has_kernel(x.scalar_type()) ||
      x.numel() <= x.size(1) || x.size(1) > kMostTiles * kNormThreads ||
      !x.is_contiguous(torch::MemoryFormat::ChannelsLast) || !norm.is_training() ||
      !norm.options.momentum()) {
    return false;
  }
  const std::int64_t channels = x.size(1);
  return float_on(norm.weight, x.device(), channels) && float_on(norm.bias, x.device(), channels) &&
         float_on(norm.running_mean, x.device(), channels) &&
         float_on(norm.running_var, x.device(), channels) && norm.num_batches_tracked.defined() &&
         norm.num_batches_tracked.scalar_type() == torch::kLong &&
         norm.num_batches_tracked.device() == x.device();
}

Tensor activation_norm(const Tensor& x, Activation activation, torch::nn::BatchNorm2dImpl& norm) {
  return ActivationNorm::apply(
      x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.num_batches_tracked,
      norm.options.eps(), norm.options.momentum().value_or(0), static_cast<double>(activation.leak),
      static_cast<double>(activation.shift));
}

bool takes_sum(const Tensor& u, const Tensor& v) {
  return OwnKernels::active() && on_device(u) && u.device() == v.device() &&
         has_kernel(u.scalar_type()) && u.scalar_type() == v.scalar_type() &&
         u.sizes() == v.sizes() && u.strides() == v.strides() && u.is_non_overlapping_and_dense() &&
         u.numel() > 0;
}

Tensor sum_activation(const Tensor& u, const Tensor& v, Activation activation) {
  return SumActivation::apply(u, v, static_cast<double>(activation.leak),
                              static_cast<double>(activation.shift));
}

}  // namespace fatwood::cuda
