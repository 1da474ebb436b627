#include <string>

#include <torch/csrc/autograd/custom_function.h>

#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/autograd.h>
#include <fatwood/cuda/convolution.h>
#include <fatwood/cuda/device.h>
#include <fatwood/cuda/program.h>

namespace fatwood::cuda {
namespace {

class AveragePool : public torch::autograd::Function<AveragePool> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x) {
    context->saved_data["sizes"] = x.sizes();
    Tensor y = torch::empty({x.size(0), x.size(1), (x.size(2) + 1) / 2, (x.size(3) + 1) / 2},
                            x.options().memory_format(torch::MemoryFormat::ChannelsLast));
    run("average_pool", x, x.sizes(), y);
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    refuse_create_graph("average_pool");
    const Tensor dy = gradients[0].contiguous(torch::MemoryFormat::ChannelsLast);
    const std::vector<std::int64_t> sizes = context->saved_data["sizes"].toIntVector();
    Tensor dx = torch::empty(sizes, dy.options().memory_format(torch::MemoryFormat::ChannelsLast));
    run("average_pool_gradient", dy, sizes, dx);
    return {dx};
  }

 private:
  static void run(const char* kernel, const Tensor& from, torch::IntArrayRef sizes,
                  const Tensor& to) {
    constexpr std::int64_t kThreads = 256;
    const void* source = from.const_data_ptr();
    void* target = to.data_ptr();
    int images = static_cast<int>(sizes[0]), channels = static_cast<int>(sizes[1]);
    int height = static_cast<int>(sizes[2]), width = static_cast<int>(sizes[3]);
    const bool fours = channels % 4 == 0 && aligned(source) && aligned(target);
    const std::int64_t windows =
        sizes[0] * ((sizes[2] + 1) / 2) * ((sizes[3] + 1) / 2) * sizes[1] / (fours ? 4 : 1);
    auto arguments = addresses_of(source, images, height, width, channels, target);
    launch((std::string(kernel) + (fours ? "_4" : "_1") + suffix_of(from)).c_str(),
           {.x = (windows + kThreads - 1) / kThreads}, kThreads, arguments.data());
  }
};

}  // namespace

bool takes_average_pool(const Tensor& x) {
  return OwnKernels::active() && on_device(x) && x.dim() == 4 && has_kernel(x.scalar_type()) &&
         x.numel() > 0 && x.numel() < (std::int64_t{1} << 30) &&
         x.is_contiguous(torch::MemoryFormat::ChannelsLast);
}

Tensor average_pool(const Tensor& x) {
  return AveragePool::apply(x);
}

}  // namespace fatwood::cuda
