#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>

namespace fatwood {
namespace {

TEST(ResidualBlock, adds_its_input) {
  const auto relu = make<GeneralReLU>({});
  const Tensor x = torch::randn({2, 3});
  EXPECT_TRUE(torch::equal(make<ResidualBlock>(relu)->forward(x), x + relu->forward(x)));
}

TEST(ResidualBlock, names_both_shapes_when_they_differ) {
  try {
    make<ResidualBlock>(make<Conv>({.c_in = 2, .c_out = 2}))->forward(torch::zeros({1, 2, 4, 4}));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::model);
    EXPECT_THAT(error.what(), testing::HasSubstr("(1, 2, 4, 4) to (1, 2, 2, 2)"));
  }
}

TEST(ResidualConvBlock, rounds_odd_sizes_up) {
  for (const std::int64_t size : {1, 2, 7, 8, 13}) {
    const auto block = make<ResidualConvBlock>({.c_in = 2, .c_out = 3});
    block->eval();
    const std::int64_t half = (size + 1) / 2;
    EXPECT_EQ(block->forward(torch::randn({2, 2, size, size})).sizes(),
              (std::vector<std::int64_t>{2, 3, half, half}));
  }
}

TEST(ResidualConvBlock, sums_the_paths_before_the_activation) {
  const auto block = make<ResidualConvBlock>({.c_in = 2, .c_out = 3});
  block->eval();
  const Tensor x = torch::randn({2, 2, 5, 5});
  const Tensor identity =
      block->id_conv->forward(torch::avg_pool2d(x, {2, 2}, {2, 2}, 0, /*ceil_mode=*/true));
  const Tensor sum = block->conv_b->forward(block->conv_a->forward(x)) + identity;
  EXPECT_TRUE(torch::equal(block->forward(x), torch::leaky_relu(sum, 0.1) - 0.4));
}

TEST(ResidualConvBlock, leaves_id_conv_without_a_gradient_when_channels_stay) {
  const auto block = make<ResidualConvBlock>({.c_in = 3, .c_out = 3, .stride = 1});
  block->forward(torch::randn({2, 3, 4, 4})).sum().backward();
  EXPECT_FALSE(block->id_conv->weight.grad().defined());
  EXPECT_TRUE(block->conv_a->weight.grad().defined());
}

TEST(ResidualConvBlock, refuses_a_stride_above_two) {
  try {
    make<ResidualConvBlock>({.stride = 3});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[ResidualConvBlock] stride 3, wanted 1 or 2");
  }
}

TEST(ResidualConvBlock, only_its_first_convolution_is_activated) {
  const auto block = make<ResidualConvBlock>({});
  EXPECT_TRUE(block->conv_a->options().act);
  EXPECT_EQ(block->conv_a->options().stride, 1);
  EXPECT_FALSE(block->conv_b->options().act);
  EXPECT_EQ(block->conv_b->options().stride, 2);
}

TEST(DoubleConvBlock, is_its_two_convolutions) {
  const auto block = make<DoubleConvBlock>({.c_in = 2, .c_out = 3});
  block->eval();
  const Tensor x = torch::randn({2, 2, 5, 5});
  EXPECT_TRUE(torch::equal(block->forward(x), block->conv_b->forward(block->conv_a->forward(x))));
  EXPECT_TRUE(block->conv_b->options().act);
}

TEST(Sequential, clone_of_blocks_is_deep) {
  const auto sequence = make<Sequential>({make<ResidualConvBlock>({.c_in = 1, .c_out = 2}),
                                          make<ResidualBlock>(make<GeneralReLU>({}))});
  sequence->eval();
  const auto copy = std::dynamic_pointer_cast<Sequential>(sequence->clone());
  const Tensor x = torch::randn({2, 1, 6, 6});
  EXPECT_TRUE(torch::equal(copy->forward(x), sequence->forward(x)));
  EXPECT_NE(copy->parameters()[0].data_ptr(), sequence->parameters()[0].data_ptr());
}

}  // namespace
}  // namespace fatwood
