#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/state.h>

namespace fatwood {
namespace {

class EveryModel : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(ModelTable, EveryModel,
                         testing::Values("cnn", "deeper_cnn", "residual_cnn", "double_conv_cnn",
                                         "resnet18"),
                         [](const auto& param) { return param.param; });

TEST_P(EveryModel, has_its_parameter_count) {
  const std::map<std::string, std::int64_t> counts{{"cnn", 30'412},
                                                   {"deeper_cnn", 110'156},
                                                   {"residual_cnn", 321'438},
                                                   {"double_conv_cnn", 309'012},
                                                   {"resnet18", 11'175'370}};
  EXPECT_EQ(count_parameters(*build_model(GetParam())), counts.at(GetParam()));
}

TEST_P(EveryModel, gives_logits_and_finite_gradients) {
  torch::manual_seed(0);
  const LayerPtr model = build_model(GetParam());
  const Tensor logits = model->forward(torch::randn({4, 1, 28, 28}));
  EXPECT_EQ(logits.sizes(), (std::vector<std::int64_t>{4, 10}));
  torch::cross_entropy_loss(logits, torch::arange(4)).backward();
  for (const auto& [name, parameter] : named_parameters(*model)) {
    ASSERT_TRUE(parameter.grad().defined()) << name;
    EXPECT_TRUE(parameter.grad().isfinite().all().item<bool>()) << name;
  }
}

TEST_P(EveryModel, takes_other_channels_and_classes) {
  const LayerPtr model = build_model(GetParam(), {.c_in = 3, .n_outputs = 7});
  EXPECT_EQ(model->forward(torch::randn({2, 3, 28, 28})).sizes(),
            (std::vector<std::int64_t>{2, 7}));
}

TEST_P(EveryModel, clone_computes_the_same) {
  const LayerPtr model = build_model(GetParam());
  model->eval();
  const auto copy = std::dynamic_pointer_cast<Layer>(model->clone());
  const Tensor x = torch::randn({2, 1, 28, 28});
  EXPECT_TRUE(torch::equal(copy->forward(x), model->forward(x)));
}

TEST_P(EveryModel, layers_compose_to_the_whole_and_carry_their_mode) {
  const LayerPtr model = build_model(GetParam());
  model->eval();
  Tensor x = torch::randn({2, 1, 28, 28});
  const Tensor whole = model->forward(x);
  for (const NamedLayer& part : model->layers()) {
    EXPECT_FALSE(part.layer->is_training()) << part.name;
    x = part.layer->forward(x);
  }
  EXPECT_TRUE(torch::equal(x.flatten(1), whole));
}

TEST(ModelTable, unknown_name_is_a_usage_error_that_lists_the_known) {
  try {
    build_model("alexnet");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(),
                testing::HasSubstr("cnn, deeper_cnn, residual_cnn, double_conv_cnn, resnet18"));
  }
}

TEST(CNN, keeps_the_originals_keys) {
  std::vector<std::string> keys;
  for (const auto& [name, tensor] :
       named_state(*make<DeeperCNN>({.block = make<ResidualConvBlock>}))) {
    if (name.starts_with("layers.5.")) keys.push_back(name.substr(9));
  }
  EXPECT_THAT(keys, testing::ElementsAre(
                        "conv_a.weight", "conv_a.norm.weight", "conv_a.norm.bias",
                        "conv_a.norm.running_mean", "conv_a.norm.running_var",
                        "conv_a.norm.num_batches_tracked", "conv_b.weight", "conv_b.norm.weight",
                        "conv_b.norm.bias", "conv_b.norm.running_mean", "conv_b.norm.running_var",
                        "conv_b.norm.num_batches_tracked", "id_conv.weight", "id_conv.bias"));
}

TEST(CNN, generalises_in_depth_and_names_the_shape_that_does_not_fit) {
  const auto model = make<CNN>({.nfs = {4, 8}, .n_outputs = 3, .c_in = 3});
  EXPECT_EQ(model->forward(torch::randn({2, 3, 8, 8})).sizes(), (std::vector<std::int64_t>{2, 3}));
  try {
    model->forward(torch::randn({2, 3, 28, 28}));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::model);
    EXPECT_THAT(error.what(), testing::HasSubstr("ends as (2, 3, 4, 4), wanted (2, 3, 1, 1)"));
  }
  EXPECT_THROW(make<CNN>({.nfs = {}}), Error);
}

TEST(CNN, prints_a_line_per_layer) {
  std::ostringstream text;
  text << *make<CNN>({.nfs = {8}});
  EXPECT_EQ(text.str(),
            "CNN(): 956 parameters\n"
            "  layers.0  Conv(1 → 8, ks=5, stride=2, relu 0.1/0.4, norm): 216\n"
            "  layers.1  Conv(8 → 10, ks=3, stride=2, norm): 740");
}

}  // namespace
}  // namespace fatwood
