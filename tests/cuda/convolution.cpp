#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/convolution.h>

#include "cuda/gpu.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

class GpuConvolution : public Gpu {
 protected:
  void SetUp() override {
    Gpu::SetUp();
    at::globalContext().setAllowTF32CuDNN(true);
  }
};

struct ConvolutionCase {
  std::int64_t n, in, out, height, width, kernel, stride;
  bool bias = false;
};

/// Small whole numbers: TF32 and bfloat16 hold them, and floats hold sums of their products,
/// exactly.
Tensor whole_numbers(at::IntArrayRef sizes) {
  return torch::randint(-3, 4, sizes, torch::kFloat);
}

TEST_F(GpuConvolution, is_exact_where_its_numbers_are) {
  const cuda::OwnKernels own;
  for (const ConvolutionCase c : {ConvolutionCase{1, 1, 1, 1, 1, 1, 1},
                                  {2, 1, 8, 28, 28, 5, 1},
                                  {3, 8, 8, 13, 11, 5, 1},
                                  {2, 8, 16, 7, 9, 3, 2},
                                  {3, 16, 32, 8, 8, 3, 2},
                                  {5, 3, 10, 6, 5, 3, 1},
                                  {2, 32, 32, 7, 7, 3, 1},
                                  {17, 16, 24, 4, 4, 3, 1},
                                  {9, 32, 10, 2, 2, 3, 2},
                                  {4, 10, 10, 1, 1, 3, 2},
                                  {2, 5, 24, 9, 9, 7, 2},
                                  {3, 20, 32, 5, 6, 1, 1, true},
                                  {40, 8, 8, 9, 9, 3, 1, true},
                                  {2, 32, 32, 3, 3, 3, 1, true},
                                  {5, 32, 16, 9, 9, 3, 1},
                                  {1, 5, 32, 9, 9, 7, 1},
                                  {kEmulated ? 1 : 2000, 8, 8, 9, 9, 3, 1},
                                  {1, 3, 8, 50, 150, 3, 1},
                                  {2, 3, 16, 70, 66, 5, 2},
                                  {2, 8, 16, 5, 5, 1, 2, true},
                                  {150, 4, 6, 3, 3, 3, 1}}) {
    for (const torch::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(std::to_string(c.in) + " to " + std::to_string(c.out) + ", kernel " +
                   std::to_string(c.kernel) + ", stride " + std::to_string(c.stride) + ", " +
                   std::to_string(c.height) + "x" + std::to_string(c.width) + ", " +
                   toString(type));
      Tensor x = channels_last(to_gpu(whole_numbers({c.n, c.in, c.height, c.width})))
                     .to(type)
                     .requires_grad_();
      Tensor w =
          channels_last(to_gpu(whole_numbers({c.out, c.in, c.kernel, c.kernel}))).requires_grad_();
      Tensor b = c.bias ? to_gpu(whole_numbers({c.out})).requires_grad_() : Tensor();
      ASSERT_TRUE(cuda::takes_convolution(x, w, c.stride));
      const Tensor y = cuda::convolution(x, w, b, c.stride);
      const Tensor dy = channels_last(to_gpu(whole_numbers(y.sizes()))).to(type);
      y.backward(dy);

      Tensor x64 = x.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
      Tensor w64 = w.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
      Tensor b64 = c.bias ? b.detach().to(torch::kCPU, torch::kDouble).requires_grad_() : Tensor();
      const Tensor y64 = torch::conv2d(x64, w64, b64, c.stride, c.kernel / 2);
      y64.backward(dy.to(torch::kCPU, torch::kDouble));
      const auto expect_equal = [&](const Tensor& found, const Tensor& wanted, const char* what) {
        ASSERT_EQ(found.sizes(), wanted.sizes()) << what;
        EXPECT_TRUE(found.detach().to(torch::kCPU).equal(wanted.detach().to(found.scalar_type())))
            << what;
      };
      expect_equal(y, y64, "result");
      expect_equal(x.grad(), x64.grad(), "input's gradient");
      expect_equal(w.grad(), w64.grad(), "weights' gradient");
      EXPECT_EQ(w.grad().strides(), w.strides());
      if (c.bias) expect_equal(b.grad(), b64.grad(), "bias's gradient");
    }
  }
}

TEST_F(GpuConvolution, rounds_as_tf32_does) {
  const cuda::OwnKernels own;
  Tensor x = channels_last(to_gpu(torch::randn({64, 16, 14, 14}))).requires_grad_();
  Tensor w = channels_last(to_gpu(torch::randn({32, 16, 3, 3}))).requires_grad_();
  Tensor one = channels_last(to_gpu(torch::randn({32, 16, 1, 1}))).requires_grad_();
  Tensor bias = to_gpu(torch::randn({32})).requires_grad_();
  const Tensor dy = channels_last(to_gpu(torch::randn({64, 32, 14, 14})));
  cuda::convolution(x, w, {}, 1).backward(dy);
  cuda::convolution(x.detach(), one, bias, 1).backward(dy);
  Tensor x64 = x.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
  Tensor w64 = w.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
  const Tensor y64 = torch::conv2d(x64, w64, {}, 1, 1);
  y64.backward(dy.to(torch::kCPU, torch::kDouble));
  const auto error = [](const Tensor& found, const Tensor& wanted) {
    return ((found.to(torch::kCPU, torch::kDouble) - wanted).norm() / wanted.norm()).item<double>();
  };
  EXPECT_LT(error(cuda::convolution(x, w, {}, 1).detach(), y64.detach()), 5e-4);
  EXPECT_LT(error(x.grad(), x64.grad()), 5e-4);
  EXPECT_LT(error(w.grad(), w64.grad()), 5e-4);
  EXPECT_LT(error(bias.grad(), dy.to(torch::kCPU, torch::kDouble).sum({0, 2, 3})), 5e-4);
}

TEST_F(GpuConvolution, pools_as_libtorch_does) {
  const cuda::OwnKernels own;
  for (const auto& [height, width, channels] :
       {std::tuple{1, 1, 6}, {4, 6, 6}, {7, 5, 6}, {28, 28, 8}, {5, 7, 12}}) {
    for (const torch::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
      Tensor x = channels_last(to_gpu(whole_numbers({3, channels, height, width})))
                     .to(type)
                     .requires_grad_();
      ASSERT_TRUE(cuda::takes_average_pool(x));
      const Tensor y = cuda::average_pool(x);
      const Tensor dy = channels_last(to_gpu(4 * whole_numbers(y.sizes()))).to(type);
      y.backward(dy);
      Tensor x64 = x.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
      const Tensor y64 = torch::avg_pool2d(x64, 2, 2, 0, /*ceil_mode=*/true);
      y64.backward(dy.to(torch::kCPU, torch::kDouble));
      EXPECT_TRUE(y.detach().to(torch::kCPU).equal(y64.detach().to(type))) << height << width;
      EXPECT_TRUE(x.grad().to(torch::kCPU).equal(x64.grad().to(type))) << height << width;
    }
  }
}

TEST_F(GpuConvolution, leaves_to_libtorch_what_it_has_no_kernel_for) {
  const Tensor x = channels_last(to_gpu(torch::randn({2, 8, 5, 5})));
  const Tensor w = channels_last(to_gpu(torch::randn({8, 8, 3, 3})));
  EXPECT_FALSE(cuda::takes_convolution(x, w, 1)) << "OwnKernels are not active";
  const cuda::OwnKernels own;
  EXPECT_TRUE(cuda::takes_convolution(x, w, 1));
  EXPECT_FALSE(cuda::takes_convolution(x, w, 3));
  EXPECT_FALSE(cuda::takes_convolution(x.contiguous(), w, 1));
  EXPECT_FALSE(cuda::takes_convolution(x, w.contiguous(), 1));
  EXPECT_FALSE(cuda::takes_convolution(x, w.to(torch::kDouble), 1));
  EXPECT_FALSE(cuda::takes_convolution(x, channels_last(to_gpu(torch::randn({33, 8, 3, 3}))), 1));
  at::globalContext().setAllowTF32CuDNN(false);
  EXPECT_FALSE(cuda::takes_convolution(x, w, 1)) << "floats are wanted";
}

TEST_F(GpuConvolution, refuses_a_second_derivative) {
  const cuda::OwnKernels own;
  Tensor x = channels_last(to_gpu(torch::randn({2, 8, 5, 5}))).requires_grad_();
  const Tensor w = channels_last(to_gpu(torch::randn({8, 8, 3, 3})));
  const Tensor y = cuda::convolution(x, w, {}, 1).sum();
  EXPECT_THAT(thrown_by([&] {
                torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
              }),
              error_with(ErrorKind::model, "create_graph"));
}

}  // namespace
}  // namespace fatwood
