// Winograd's way against the direct sum and the double-precision reference: that it is taken where
// it should be, at every size of image, and what its rounding costs.
#include <fatwood/kernels/winograd.h>

#include "exact.h"
#include "support.h"

namespace fatwood::kernels {
namespace {

using WinogradOn = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(WinogradOn);

TEST(Winograd, is_taken_for_images_that_fill_its_tiles) {
  const auto pays = [](int c_in, int c_out, int ks, int stride, int size) {
    return winograd_pays({c_in, c_out, ks, stride, size, size});
  };
  EXPECT_TRUE(pays(8, 16, 3, 1, 28));
  EXPECT_TRUE(pays(16, 32, 3, 1, 14));
  EXPECT_TRUE(pays(32, 64, 3, 1, 7));
  EXPECT_TRUE(pays(64, 128, 3, 1, 4));
  EXPECT_FALSE(pays(128, 10, 3, 1, 2)) << "36 products against 16";
  EXPECT_FALSE(pays(64, 64, 3, 1, 5)) << "144 products against 169";
  EXPECT_FALSE(pays(1, 8, 3, 1, 28)) << "a transform for one channel";
  EXPECT_FALSE(pays(8, 16, 3, 2, 28));
  EXPECT_FALSE(pays(8, 16, 5, 1, 28));
}

/// Forward and backward pass of one convolution and its norm: output, input's and weight's
/// gradient.
struct Results {
  std::vector<float> out, grad_x, grad_weight;
};

Results run(const ConvSpec& spec, const StretchOptions& options) {
  const ImageShape& in = options.input;
  const auto pixels = static_cast<std::size_t>(options.batch) * in.height * in.width;
  const auto x = normal(pixels * in.channels, 1);
  Results results;
  results.out.resize(pixels * spec.c_out);
  results.grad_x.resize(x.size());
  const auto grad = normal(results.out.size(), 2);
  Stretch stretch({spec}, options);
  const ParallelFor parallel = threads(options.threads);
  stretch.forward(x.data(), results.out.data(), Mode::train, parallel);
  stretch.backward(grad.data(), results.grad_x.data(), parallel);
  results.grad_weight.assign(spec.weight.grad, spec.weight.grad + spec.c_in * spec.c_out * 9);
  return results;
}

/// Largest difference over the largest entry.
double difference(const std::vector<float>& found, const std::vector<float>& direct) {
  double largest = 0;
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(direct[i])));
    most = std::max(most, std::abs(static_cast<double>(found[i]) - static_cast<double>(direct[i])));
  }
  return most / largest;
}

/// Behind a norm, which a forward pass by Winograd's way folds into its weights and its biases.
void expect_agreement_behind_a_norm(Isa isa, int size, WinogradUse use) {
  const int width = size % 3 == 0 ? size + 1 : size;
  const int c_in = size == 4 ? 22 : size % 2 ? 8 : 19;
  const int c_out = size % 4 < 2 ? 24 : 9;
  if (!winograd_pays({c_in, c_out, 3, 1, size, width})) return;
  SCOPED_TRACE(testing::Message() << size << "x" << width << ", " << c_in << " -> " << c_out
                                  << (use == WinogradUse::everywhere ? ", everywhere" : ""));
  Network network(static_cast<unsigned>(size));
  const LayerSpec first = network.conv(2, c_in, 1, 1, {1, 0}, true, false);
  expect_agreement(static_cast<unsigned>(size),
                   {first, network.conv(c_in, c_out, 3, 1, {0.1F, 0.4F}, size % 5 != 0, true)},
                   {.batch = 3 + size,
                    .input = {2, size, width},
                    .threads = 1 + size % 2,
                    .isa = isa,
                    .input_gradient = true,
                    .winograd = use},
                   Mode::train, 1e-4);
}

TEST_P(WinogradOn, every_size_of_image_agrees_with_the_reference) {
  for (int size = 4; size <= 17; ++size) {
    expect_agreement_behind_a_norm(isa(), size, WinogradUse::gradients);
    expect_agreement_behind_a_norm(isa(), size, WinogradUse::everywhere);
  }
}

// The direct sum's own distance from double precision is 1e-6. Sanitized kernels are compiled at
// -O1, where other products and sums become one instruction than in what is released: found up
// to 5.12e-6.
#if defined(FATWOOD_SANITIZED)
constexpr double kRounding = 6e-6;
#else
constexpr double kRounding = 5e-6;
#endif

TEST_P(WinogradOn, the_page_s_layers_agree_with_the_direct_sum_to_rounding) {
  const ConvShape layers[] = {
      {8, 16, 3, 1, 28, 28}, {16, 32, 3, 1, 14, 14}, {32, 64, 3, 1, 7, 7}, {64, 128, 3, 1, 4, 4}};
  for (const ConvShape& layer : layers) {
    ASSERT_TRUE(winograd_pays(layer));
    Network network(static_cast<unsigned>(layer.c_in));
    const ConvSpec spec = network.conv(layer.c_in, layer.c_out, 3, 1, {1, 0}, true, false);
    StretchOptions options{.batch = 20,
                           .input = {layer.c_in, layer.height, layer.width},
                           .threads = 2,
                           .isa = isa(),
                           .input_gradient = true};
    options.winograd = WinogradUse::everywhere;
    const Results found = run(spec, options);
    options.winograd = WinogradUse::off;
    const Results direct = run(spec, options);
    EXPECT_NE(found.out, direct.out) << "the same bits: not Winograd's way";
    EXPECT_NE(found.grad_weight, direct.grad_weight);
    EXPECT_LT(difference(found.out, direct.out), kRounding);
    EXPECT_LT(difference(found.grad_x, direct.grad_x), kRounding);
    EXPECT_LT(difference(found.grad_weight, direct.grad_weight), kRounding);
  }
}

}  // namespace
}  // namespace fatwood::kernels
