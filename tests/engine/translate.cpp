// Layers whose parts are not what their options say: they are left to LibTorch, which runs them or
// says what is wrong.
#include <gmock/gmock.h>

#include <fatwood/engine/engine.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/resnet.h>
#include <fatwood/model/sequential.h>

#include "on_kernels.h"

namespace fatwood {
namespace {

using testing::HasSubstr;

/// Why the kernels do not run the layer; empty where they do.
std::string reason_against(const LayerPtr& layer) {
  return describe_plan(*make<Sequential>({layer})).at(0).reason;
}

TEST(Translate, a_head_of_replaced_weights_runs_by_them) {
  const auto head = make<Head>(torch::nn::Linear(4, 10));
  const auto model = make<Sequential>({head});
  put_on_kernels(*model);
  EXPECT_EQ(reason_against(head), "");
  head->fc()->weight.set_data(torch::randn({100, 4}));
  head->fc()->bias.set_data(torch::randn({100}));
  EXPECT_EQ(reason_against(head), "a parameter is (100, 4), not (10, 4)");
  const Tensor x = torch::randn({8, 4, 3, 3});
  const Tensor found = model->forward(x);
  EXPECT_EQ(found.sizes(), (std::vector<std::int64_t>{8, 100}));
  const PlainExecution plainly;
  EXPECT_TRUE(torch::equal(found, model->forward(x)));
}

TEST(Translate, a_norm_of_other_channels_is_for_libtorch_to_report) {
  const auto conv = torch::nn::Conv2d(
      torch::nn::Conv2dOptions(1, 8, /*kernel_size=*/3).stride(2).padding(1).bias(false));
  const auto stem = make<Stem>({conv, torch::nn::BatchNorm2d(4)});
  EXPECT_EQ(reason_against(stem), "a parameter is (4), not (8)");
  const auto model = make<Sequential>({stem});
  put_on_kernels(*model);
  EXPECT_THROW(model->forward(torch::randn({4, 1, 8, 8})), c10::Error);
}

TEST(Translate, running_statistics_must_be_there_and_one_a_channel) {
  const auto conv = make<Conv>({.c_in = 1, .c_out = 8});
  EXPECT_EQ(reason_against(conv), "");
  const Tensor mean = conv->norm->running_mean;
  conv->norm->running_mean = torch::zeros({3});
  EXPECT_THAT(reason_against(conv), HasSubstr("running statistics"));
  conv->norm->running_mean = mean;
  conv->norm->running_var = Tensor();
  EXPECT_THAT(reason_against(conv), HasSubstr("running statistics"));
}

TEST(Translate, a_residual_block_of_other_convolutions_is_none_that_the_kernels_know) {
  const auto block = make<ResidualConvBlock>({.c_in = 2, .c_out = 4, .stride = 1});
  EXPECT_EQ(reason_against(block), "");
  block->id_conv->options.stride(2);
  EXPECT_THAT(reason_against(block), HasSubstr("identity path"));
  block->conv_b = make<Conv>({.c_in = 4, .c_out = 4, .stride = 2, .act = false});
  EXPECT_THAT(reason_against(block), HasSubstr("not those that its options describe"));
}

/// A convolution of one's own.
class ScaledConv : public Conv {
 public:
  using Conv::Conv;
  std::string kind() const override { return "ScaledConv"; }
  Tensor compute(const Tensor& x) override { return Conv::compute(x) * 2; }
};

TEST(Translate, a_part_of_a_class_of_the_users_own_is_run_as_it_is) {
  const auto residual = make<ResidualConvBlock>({.c_in = 2, .c_out = 4, .stride = 1});
  const auto doubled = make<DoubleConvBlock>({.c_in = 2, .c_out = 4, .stride = 1});
  for (const auto& [block, part] :
       {std::pair<LayerPtr, std::shared_ptr<Conv>*>{residual, &residual->conv_b},
        {doubled, &doubled->conv_a}}) {
    EXPECT_EQ(reason_against(block), "");
    *part = make<ScaledConv>((*part)->options());
    EXPECT_EQ(reason_against(block), "a part of the block is ScaledConv");
    const auto model = make<Sequential>({block});
    put_on_kernels(*model);
    const Tensor x = torch::randn({8, 2, 6, 6});
    const Tensor found = model->forward(x);
    const PlainExecution plainly;
    EXPECT_TRUE(torch::equal(found, model->forward(x)));
  }
}

TEST(Translate, a_stride_of_zero_is_refused) {
  const auto block = make<BasicBlock>({.c_in = 4, .c_out = 4});
  EXPECT_EQ(reason_against(block), "");
  block->conv1->options.stride(0);
  EXPECT_THAT(reason_against(block), HasSubstr("of stride 1 or 2"));
}

}  // namespace
}  // namespace fatwood
