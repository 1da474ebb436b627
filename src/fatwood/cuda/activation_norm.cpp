#include <algorithm>
#include <optional>

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

// As in activation_norm.cu.
constexpr std::int64_t kNormThreads = 256, kTileGroups = 16;
constexpr std::int64_t kMostBlocks = 264;
// What every block of the second of two kernels reads of the first one's sums, in pairs.
constexpr std::int64_t kMostSums = 8192;
constexpr std::int64_t kMostTiles = 65535;  // of a grid

struct Running {
  void* mean;
  void* variance;
  void* batches;
  float momentum, eps;
  double share, unbiased;
};

/// The rows and channels of a channels-last tensor, and the grid that covers them.
struct Shape {
  std::int64_t rows;
  int channels, lanes, splits;
  std::int64_t tiles;
  /// `values`: all that is read or written of x's type.
  Shape(const Tensor& x, std::initializer_list<const void*> values)
      : rows(x.numel() / x.size(1)),
        channels(static_cast<int>(x.size(1))),
        lanes(channels % 4 == 0 && std::all_of(values.begin(), values.end(), aligned) ? 4 : 1) {
    const std::int64_t groups = channels / lanes, width = std::min(groups, kTileGroups);
    const std::int64_t at_once = kNormThreads / width;
    tiles = (groups + width - 1) / width;
    // Some four rows a thread, or more where there are many.
    splits = static_cast<int>(std::clamp<std::int64_t>(
        (rows + 4 * at_once - 1) / (4 * at_once), 1,
        std::clamp<std::int64_t>(2 * kMostBlocks / tiles, 1,
                                 std::min(kMostBlocks, kMostSums / (width * lanes)))));
  }
  /// Where the first of two kernels leaves its sums for the second.
  Tensor partials(const Tensor& like) const {
    return torch::empty({splits, channels, 2}, like.options());
  }
  void run(const char* name, const Tensor& x, void** arguments) const {
    launch((std::string(name) + "_" + std::to_string(lanes) + suffix_of(x)).c_str(),
           {.x = splits, .y = tiles}, kNormThreads, arguments);
  }
};

/// What stands around the norm: act(·) before it, a sum with `skip` (where it is defined) and
/// max(leak·z, z) behind it.
struct Around {
  double before_leak = 1, before_shift = 0, after_leak = 1;
  Activation before() const {
    return {static_cast<float>(before_leak), static_cast<float>(before_shift)};
  }
};

class Norm : public torch::autograd::Function<Norm> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const std::optional<Tensor>& skip,
                        const Tensor& running_mean, const Tensor& running_var,
                        const Tensor& tracked, double eps, double momentum, double before_leak,
                        double before_shift, double after_leak) {
    const Tensor saved = torch::empty({2, x.size(1)}, weight.options());
    Tensor y = torch::empty_like(x);
    const void* values = x.const_data_ptr();
    const void* added = skip ? skip->const_data_ptr() : nullptr;
    void* out = y.data_ptr();
    Shape shape(x, {values, added, out});
    const Tensor sums = shape.partials(weight);
    Activation act = Around{before_leak, before_shift, after_leak}.before();
    const auto rows = static_cast<double>(shape.rows);
    Running running{running_mean.data_ptr(), running_var.data_ptr(),
                    tracked.data_ptr(),      static_cast<float>(momentum),
                    static_cast<float>(eps), 1 / rows,
                    rows / (rows - 1)};
    void* partials = sums.data_ptr();
    auto first = addresses_of(values, shape.rows, shape.channels, act, partials);
    shape.run("norm_sums", x, first.data());
    const void* gamma = weight.const_data_ptr();
    const void* beta = bias.const_data_ptr();
    auto leak = static_cast<float>(after_leak);
    void* statistics = saved.data_ptr();
    auto second = addresses_of(values, shape.rows, shape.channels, act, partials, shape.splits,
                               gamma, beta, running, added, leak, statistics, out);
    shape.run("norm_apply", x, second.data());
    context->save_for_backward({x, weight, saved, after_leak == 1 ? Tensor() : y});
    context->saved_data["around"] = std::vector<double>{before_leak, before_shift, after_leak};
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_create_graph("activation_norm");
    const variable_list kept = context->get_saved_variables();
    const Tensor &x = kept[0], &weight = kept[1], &saved = kept[2], &y = kept[3];
    const Tensor dy =
        gradients[0].to(x.scalar_type()).contiguous(torch::MemoryFormat::ChannelsLast);
    const Tensor totals = torch::empty({2, x.size(1)}, weight.options());
    Tensor dx = torch::empty_like(x), dskip;
    const std::vector<double> around = context->saved_data["around"].toDoubleVector();
    Activation act = Around{around[0], around[1], around[2]}.before();
    auto leak = static_cast<float>(around[2]);
    const bool skips = context->needs_input_grad(3);
    if (skips) dskip = torch::empty_like(x);
    const void* values = x.const_data_ptr();
    const void* slopes = dy.const_data_ptr();
    const void* results = y.defined() ? y.const_data_ptr() : nullptr;
    const void* statistics = saved.const_data_ptr();
    void* skipped = skips ? dskip.data_ptr() : nullptr;
    void* out = dx.data_ptr();
    Shape shape(x, {values, slopes, results, skipped, out});
    const Tensor sums = shape.partials(weight);
    void* partials = sums.data_ptr();
    auto first = addresses_of(values, slopes, results, shape.rows, shape.channels, act, leak,
                              statistics, partials);
    shape.run("norm_gradient_sums", x, first.data());
    const void* gamma = weight.const_data_ptr();
    void* both = totals.data_ptr();
    auto second = addresses_of(values, slopes, results, shape.rows, shape.channels, act, leak,
                               partials, shape.splits, statistics, gamma, both, skipped, out);
    shape.run("norm_gradient", x, second.data());
    return {dx,       totals[1], totals[0], dskip,    Tensor(), Tensor(),
            Tensor(), Tensor(),  Tensor(),  Tensor(), Tensor(), Tensor()};
  }
};

Tensor run_norm(const Tensor& x, torch::nn::BatchNorm2dImpl& norm,
                const std::optional<Tensor>& skip, const Around& around) {
  return Norm::apply(x, norm.weight, norm.bias, skip, norm.running_mean, norm.running_var,
                     norm.num_batches_tracked, norm.options.eps(),
                     norm.options.momentum().value_or(0), around.before_leak, around.before_shift,
                     around.after_leak);
}

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
    constexpr std::int64_t kMostAtOnce = 2112;  // blocks; each goes on to what is left
    std::int64_t n = like.numel();
    Activation act{static_cast<float>(leak), static_cast<float>(shift)};
    void* result = out.data_ptr();
    bool fours = n % 4 == 0 && aligned(result);
    std::vector<void*> arguments;
    for (const void*& input : inputs) {
      fours &= aligned(input);
      arguments.push_back(static_cast<void*>(&input));
    }
    for (void* argument :
         {static_cast<void*>(&n), static_cast<void*>(&act), static_cast<void*>(&result)})
      arguments.push_back(argument);
    const std::int64_t each = kNormThreads * (fours ? 4 : 1);
    launch((std::string(kernel) + (fours ? "_4" : "_1") + suffix_of(like)).c_str(),
           {.x = std::clamp<std::int64_t>((n + each - 1) / each, 1, kMostAtOnce)}, kNormThreads,
           arguments.data());
  }
};

bool float_on(const Tensor& tensor, const torch::Device& device, std::int64_t channels) {
  return tensor.defined() && tensor.scalar_type() == torch::kFloat && tensor.device() == device &&
         tensor.is_contiguous() && tensor.numel() == channels;
}

}  // namespace

bool takes_norm(const Tensor& x, const torch::nn::BatchNorm2dImpl& norm) {
  if (!OwnKernels::active() || !on_device(x) || x.dim() != 4 || !has_kernel(x.scalar_type()) ||
      x.numel() <= x.size(1) || x.size(1) > kMostTiles * kTileGroups ||
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
  return run_norm(x, norm, {}, {.before_leak = activation.leak, .before_shift = activation.shift});
}

Tensor norm_relu(const Tensor& x, torch::nn::BatchNorm2dImpl& norm, const Tensor& skip) {
  return run_norm(x, norm, skip.defined() ? std::optional<Tensor>(skip) : std::nullopt,
                  {.after_leak = 0});
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
