#include <cmath>

#include <gtest/gtest.h>

#include <fatwood/model/blocks.h>
#include <fatwood/model/init.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>

namespace fatwood {
namespace {

// Mean and deviation of a weight over several seeds: enough draws for a relative error of about 1
// %.
template <class Draw>
std::pair<double, double> moments_over_seeds(Draw draw) {
  std::vector<Tensor> drawn;
  for (int seed = 0; seed < 20; ++seed) {
    torch::manual_seed(static_cast<std::uint64_t>(seed));
    drawn.push_back(draw().detach().flatten().clone());
  }
  const Tensor all = torch::cat(drawn);
  return {all.mean().item<double>(), all.std().item<double>()};
}

TEST(InitLeakyWeights, follows_the_gain_of_each_activation) {
  for (const auto& [act, a] : {std::pair{true, 0.1}, {true, 0.3}, {false, 0.1}}) {
    const ConvOptions options{.c_in = 16, .c_out = 32, .act = act, .relu = {.a = a}};
    const auto [mean, std] = moments_over_seeds([&options] {
      const auto conv = make<Conv>(options);
      init_leaky_weights(*conv);
      return conv->weight;
    });
    const double slope = act ? a : 0;
    const double wanted = std::sqrt(2 / (1 + slope * slope)) / std::sqrt(16.0 * 9);
    EXPECT_NEAR(mean, 0, wanted * 0.02);
    EXPECT_NEAR(std, wanted, wanted * 0.02);
  }
}

TEST(InitLeakyWeights, leaves_the_identity_convolution_at_its_default) {
  torch::manual_seed(1);
  const auto block = make<ResidualConvBlock>({.c_in = 8, .c_out = 16});
  const Tensor before = block->id_conv->weight.detach().clone();
  const Tensor conv_before = block->conv_a->weight.detach().clone();
  init_leaky_weights(*block);
  EXPECT_TRUE(torch::equal(block->id_conv->weight, before));
  EXPECT_FALSE(torch::equal(block->conv_a->weight, conv_before));
}

TEST(InitAsConv2d, is_uniform_within_pytorchs_bounds) {
  const ConvOptions options{.c_in = 16, .c_out = 32, .norm = false};
  const double bound = 1 / std::sqrt(16.0 * 9);
  const auto [mean, std] = moments_over_seeds([&options] { return make<Conv>(options)->weight; });
  EXPECT_NEAR(mean, 0, bound * 0.02);
  EXPECT_NEAR(std, bound / std::sqrt(3.0), bound * 0.01);
  const auto conv = make<Conv>(options);
  EXPECT_LE(conv->weight.abs().max().item<double>(), bound);
  EXPECT_LE(conv->bias.abs().max().item<double>(), bound);
}

TEST(Resnet18, starts_as_timms_does) {
  const auto [mean, std] = moments_over_seeds(
      [] { return build_model("resnet18")->named_parameters()["layer2.0.conv2.weight"]; });
  const double wanted = std::sqrt(2 / (128.0 * 9));
  EXPECT_NEAR(mean, 0, wanted * 0.01);
  EXPECT_NEAR(std, wanted, wanted * 0.01);
  const auto parameters = build_model("resnet18")->named_parameters();
  EXPECT_EQ(parameters["layer1.1.bn2.weight"].abs().sum().item<double>(), 0);
  EXPECT_EQ(parameters["layer1.1.bn1.weight"].min().item<double>(), 1);
}

}  // namespace
}  // namespace fatwood
