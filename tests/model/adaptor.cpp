#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>

#include <fatwood/model/adaptor.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/state.h>

namespace fatwood {
namespace {

torch::nn::Sequential foreign_network() {
  return torch::nn::Sequential(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 4, 3)),
                               torch::nn::ReLU(), make<Conv>({.c_in = 4, .c_out = 2}),
                               torch::nn::Flatten());
}

TEST(Adaptor, computes_what_its_module_computes) {
  auto module = foreign_network();
  const LayerPtr layer = adapt(module);
  layer->eval();
  const Tensor x = torch::randn({2, 1, 6, 6});
  EXPECT_TRUE(torch::equal(layer->forward(x), module->forward(x)));
}

TEST(Adaptor, adds_nothing_to_the_names) {
  auto module = foreign_network();
  std::vector<std::string> names;
  for (const auto& [name, tensor] : named_parameters(*adapt(module))) names.push_back(name);
  EXPECT_THAT(names, testing::ElementsAre("0.weight", "0.bias", "2.weight", "2.norm.weight",
                                          "2.norm.bias"));
}

TEST(Adaptor, shows_a_sequentials_modules_as_layers_that_can_be_tapped) {
  auto module = foreign_network();
  const LayerPtr layer = adapt(module);
  std::vector<std::string> kinds;
  int served = 0;
  std::vector<TapHandle> handles;
  for (const NamedLayer& part : layer->layers()) {
    kinds.push_back(part.layer->kind());
    handles.push_back(part.layer->add_tap({.request = {.training = false, .evaluation = true},
                                           .deliver = [&](const auto&) { ++served; }}));
  }
  EXPECT_THAT(kinds, testing::ElementsAre("Conv2d", "ReLU", "Conv", "Flatten"));
  layer->eval();
  layer->forward(torch::randn({2, 1, 6, 6}));
  EXPECT_EQ(served, 4);
}

}  // namespace
}  // namespace fatwood
