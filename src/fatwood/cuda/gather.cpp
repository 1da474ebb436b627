#include <ATen/ops/empty.h>

#include <fatwood/core/error.h>
#include <fatwood/cuda/cuda.h>
#include <fatwood/cuda/program.h>

namespace fatwood::cuda {

void gather_images(const DeviceImages& images, const Tensor& order, std::int64_t first,
                   const Tensor& x, const Tensor& y) {
  constexpr std::int64_t kThreads = 256;
  const void* pixels = images.pixels.const_data_ptr();
  const void* labels = images.labels.const_data_ptr();
  const void* rows = order.const_data_ptr();
  void* floats = x.data_ptr();
  void* targets = y.data_ptr();
  std::int64_t n = x.size(0), channels = x.size(1), plane = x.size(2) * x.size(3);
  float scale = images.scale, shift = images.shift;
  auto arguments =
      addresses_of(pixels, labels, rows, first, n, plane, channels, scale, shift, floats, targets);
  launch("gather_images", {.x = (x.numel() + kThreads - 1) / kThreads}, kThreads, arguments.data());
}

}  // namespace fatwood::cuda
