#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {
namespace {

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::model);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(GeneralReLU, leaks_below_zero_and_subtracts) {
  const Tensor x = torch::tensor({-2.0, 0.0, 3.0});
  EXPECT_TRUE(torch::allclose(make<GeneralReLU>({})->forward(x), torch::tensor({-0.6, -0.4, 2.6})));
  EXPECT_TRUE(torch::equal(make<GeneralReLU>({.a = 0, .b = 0})->forward(x), torch::relu(x)));
  EXPECT_TRUE(
      torch::allclose(make<GeneralReLU>({.a = 0, .b = 0.5})->forward(x), torch::relu(x) - 0.5));
}

TEST(GeneralReLU, gradient_is_the_slope_on_either_side) {
  for (const double a : {0.0, 0.1}) {
    const Tensor x = torch::tensor({-2.0, 3.0}, torch::requires_grad());
    make<GeneralReLU>({.a = a})->forward(x).sum().backward();
    EXPECT_TRUE(torch::allclose(x.grad(), torch::tensor({a, 1.0}).to(torch::kFloat)));
  }
}

TEST(Conv, computes_convolution_then_activation_then_norm) {
  torch::manual_seed(0);
  const auto conv = make<Conv>({.c_in = 3, .c_out = 4, .stride = 2, .ks = 5});
  const Tensor x = torch::randn({6, 3, 9, 7});
  const Tensor z = torch::leaky_relu(torch::conv2d(x, conv->weight, {}, 2, 2), 0.1) - 0.4;
  const Tensor expected = torch::batch_norm(z, {}, {}, {}, {}, true, 0.1, 1e-5, false);
  const Tensor y = conv->forward(x);
  EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{6, 4, 5, 4}));
  EXPECT_TRUE(torch::allclose(y, expected, 1e-4, 1e-5));
}

TEST(Conv, has_a_bias_exactly_when_it_has_no_norm) {
  const auto names = [](const Layer& layer) {
    std::vector<std::string> names;
    for (const auto& item : layer.named_parameters()) names.push_back(item.key());
    return names;
  };
  EXPECT_THAT(names(*make<Conv>({})),
              testing::UnorderedElementsAre("weight", "norm.weight", "norm.bias"));
  EXPECT_THAT(names(*make<Conv>({.norm = false})), testing::UnorderedElementsAre("weight", "bias"));
}

TEST(Conv, without_activation_and_norm_is_a_biased_convolution) {
  const auto conv = make<Conv>({.c_in = 2, .c_out = 3, .stride = 1, .act = false, .norm = false});
  const Tensor x = torch::randn({2, 2, 5, 5});
  EXPECT_TRUE(torch::equal(conv->forward(x), torch::conv2d(x, conv->weight, conv->bias, 1, 1)));
}

TEST(Conv, refuses_what_cannot_be) {
  EXPECT_THAT(message_of([] { make<Conv>({.ks = 4}); }),
              testing::HasSubstr("kernel size 4, wanted an odd one"));
  EXPECT_THAT(message_of([] { make<Conv>({.c_in = 0}); }), testing::HasSubstr("channels 0 → 8"));
  EXPECT_THAT(message_of([] { make<Conv>({.stride = 0}); }), testing::HasSubstr("stride 0"));
  EXPECT_THAT(message_of([] {
                make<Conv>({.c_in = 3})->forward(torch::zeros({2, 1, 8, 8}));
              }),
              testing::HasSubstr("input (2, 1, 8, 8), wanted (N, 3, H, W)"));
}

TEST(Conv, keeps_channels_last_as_the_layout_of_its_input) {
  const auto conv = make<Conv>({.c_in = 1, .c_out = 8});
  const Tensor x = torch::empty_strided({4, 1, 8, 8}, {64, 1, 8, 1}).normal_();
  EXPECT_TRUE(conv->forward(x).is_contiguous(torch::MemoryFormat::ChannelsLast));
}

TEST(Conv, clone_is_deep_and_leaves_the_generator_alone) {
  torch::manual_seed(3);
  const auto conv = make<Conv>({.c_in = 2, .c_out = 3});
  conv->forward(torch::randn({4, 2, 6, 6}));  // moves the running statistics
  conv->eval();
  torch::manual_seed(7);
  const auto copy = std::dynamic_pointer_cast<Conv>(conv->clone());
  const Tensor drawn = torch::rand({1});
  torch::manual_seed(7);
  EXPECT_TRUE(torch::equal(drawn, torch::rand({1})));
  const Tensor x = torch::randn({4, 2, 6, 6});
  EXPECT_FALSE(copy->is_training());
  EXPECT_TRUE(torch::equal(copy->forward(x), conv->forward(x)));
  copy->weight.data().zero_();
  EXPECT_GT(conv->weight.abs().sum().item<float>(), 0);
}

TEST(Conv, works_in_torchs_sequential) {
  const auto conv = make<Conv>({.c_in = 1, .c_out = 2});
  torch::nn::Sequential sequence(conv, torch::nn::Flatten());
  EXPECT_EQ(sequence->forward(torch::randn({3, 1, 4, 4})).sizes(),
            (std::vector<std::int64_t>{3, 8}));
}

TEST(Conv, describes_itself_in_a_line) {
  EXPECT_EQ(make<Conv>({.c_in = 1, .c_out = 8, .stride = 1, .ks = 5})->description(),
            "Conv(1 → 8, ks=5, stride=1, relu 0.1/0.4, norm)");
}

}  // namespace
}  // namespace fatwood
