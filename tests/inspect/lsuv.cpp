#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>

#include <fatwood/engine/engine.h>
#include <fatwood/inspect/lsuv.h>
#include <fatwood/model/adaptor.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/learner.h>

#include "support/bright_thirds.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

template <class Block>
BlockFactory without_norm(GeneralReLUOptions relu = {}) {
  return [relu](ConvOptions options) {
    options.norm = false;
    options.relu = relu;
    return make<Block>(options);
  };
}

// Mean and deviation of every top-level layer's output, by taps of its own and LibTorch's
// operators.
std::vector<std::pair<double, double>> outputs_of(Layer& model, const Tensor& batch) {
  std::vector<std::pair<double, double>> found;
  std::vector<TapHandle> taps;
  for (const NamedLayer& part : model.layers()) {
    taps.push_back(part.layer->add_tap(
        {.request = {.tensors = true}, .deliver = [&found](const TapReading& reading) {
           found.emplace_back(reading.output.mean().item<double>(),
                              reading.output.std().item<double>());
         }}));
  }
  const torch::NoGradGuard no_grad;
  model.forward(batch);
  return found;
}

NamedTensors copy_of(const Layer& model) {
  NamedTensors copy;
  for (const auto& [name, tensor] : named_state(model))
    copy.emplace_back(name, tensor.detach().clone());
  return copy;
}

std::vector<std::string> changed(const NamedTensors& before, const Layer& model) {
  std::vector<std::string> names;
  const NamedTensors after = named_state(model);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (!torch::equal(before[i].second, after[i].second)) names.push_back(before[i].first);
  }
  return names;
}

struct Case {
  const char* name;
  BlockFactory block;
};
class LsuvOn : public testing::TestWithParam<Case> {};

TEST_P(LsuvOn, brings_every_layer_to_mean_0_and_deviation_1_from_any_start) {
  for (const double scale : {0.2, 1.0, 6.0}) {
    torch::manual_seed(5);
    const LayerPtr model = DeeperCNN::kaiming({.nfs = {8, 12, 12}, .block = GetParam().block});
    for (Tensor parameter : model->parameters()) {
      const torch::NoGradGuard no_grad;
      if (parameter.dim() == 4) parameter.mul_(scale);
    }
    const Tensor batch = torch::randn({64, 1, 8, 8});
    const std::vector<LsuvRow> rows = lsuv(*model, batch);
    for (const LsuvRow& row : rows) {
      EXPECT_EQ(row.remark, "") << row.name;
      EXPECT_LE(std::abs(row.mean), 0.01) << row.name;
      EXPECT_LE(std::abs(row.std - 1), 0.01) << row.name;
    }
    for (const auto& [mean, std] : outputs_of(*model, batch)) {
      EXPECT_LE(std::abs(mean), 0.0101);
      EXPECT_LE(std::abs(std - 1), 0.0101);
    }
  }
}

TEST_P(LsuvOn, does_under_the_fused_engine_what_it_does_with_libtorchs_operators) {
  torch::manual_seed(5);
  const LayerPtr plain = DeeperCNN::kaiming({.nfs = {8, 12, 12}, .block = GetParam().block});
  const auto fused = std::dynamic_pointer_cast<Layer>(plain->clone());
  use_engine(*fused, Engine::fused);
  const Tensor batch = torch::randn({32, 1, 8, 8});
  const std::vector<LsuvRow> a = lsuv(*plain, batch), b = lsuv(*fused, batch);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].iterations, b[i].iterations);
  const NamedTensors wanted = named_state(*plain), found = named_state(*fused);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(torch::allclose(wanted[i].second, found[i].second, 1e-3, 1e-4)) << wanted[i].first;
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, LsuvOn,
                         testing::Values(Case{"conv", without_norm<Conv>()},
                                         Case{"conv_steeper",
                                              without_norm<Conv>({.a = 0.25, .b = 0})},
                                         Case{"conv_norm", make<Conv>},
                                         Case{"residual", without_norm<ResidualConvBlock>()},
                                         Case{"residual_norm", make<ResidualConvBlock>},
                                         Case{"double_conv", without_norm<DoubleConvBlock>()},
                                         Case{"double_conv_norm", make<DoubleConvBlock>}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Lsuv, changes_the_last_affine_parameters_alone) {
  torch::manual_seed(5);
  const LayerPtr model = DeeperCNN::kaiming({.nfs = {8, 12, 12}, .block = make<ResidualConvBlock>});
  model->layers()[1].layer->eval();
  const NamedTensors before = copy_of(*model);
  lsuv(*model, torch::randn({64, 1, 8, 8}));
  for (const std::string& name : changed(before, *model)) {
    EXPECT_THAT(name, testing::AnyOf(HasSubstr("norm.weight"), HasSubstr("norm.bias"),
                                     HasSubstr("id_conv")));
  }
  EXPECT_FALSE(model->layers()[1].layer->is_training());
  EXPECT_TRUE(model->layers()[2].layer->is_training());
  for (const NamedLayer& part : model->layers()) EXPECT_FALSE(part.layer->has_taps());
}

TEST(Lsuv, leaves_a_network_alone_whose_layers_are_well) {
  torch::manual_seed(5);
  const LayerPtr model = DeeperCNN::kaiming({.nfs = {8, 12, 12}});  // norms last
  const NamedTensors before = copy_of(*model);
  for (const LsuvRow& row : lsuv(*model, torch::randn({64, 1, 8, 8})))
    EXPECT_EQ(row.iterations, 0) << row.name;
  EXPECT_THAT(changed(before, *model), IsEmpty());
}

TEST(Lsuv, scales_torchs_own_layers) {
  torch::manual_seed(6);
  const LayerPtr model = adapt(torch::nn::Sequential(
      torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 3)), torch::nn::ReLU(),
      torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 8, 3).bias(false)), torch::nn::ReLU(),
      torch::nn::Flatten(), torch::nn::Linear(8 * 4 * 4, 5)));
  const std::vector<LsuvRow> rows = lsuv(*model, torch::randn({64, 1, 8, 8}) * 7 + 3);
  ASSERT_EQ(rows.size(), 3u);  // what has no parameters is passed over
  for (const LsuvRow& row : rows) EXPECT_LE(std::abs(row.std - 1), 0.01) << row.name;
  EXPECT_LE(std::abs(rows[0].mean), 0.01);
  EXPECT_THAT(rows[1].remark, HasSubstr("no bias"));
  EXPECT_EQ(rows[0].kind, "Conv2d");
}

TEST(Lsuv, scales_without_centring_where_a_plain_relu_is_never_below_zero) {
  torch::manual_seed(7);
  const LayerPtr model =
      CNN::kaiming({.nfs = {8, 8}, .block = without_norm<Conv>({.a = 0, .b = 0})});
  const Tensor batch = torch::randn({64, 1, 8, 8});
  const std::vector<LsuvRow> rows = lsuv(*model, batch);
  for (std::size_t i : {0, 1}) {
    EXPECT_THAT(rows[i].remark, HasSubstr("mean cannot be brought to 0"));
    EXPECT_LE(std::abs(rows[i].std - 1), 0.01);
  }
  EXPECT_EQ(rows[2].remark, "");  // the head has no activation
}

TEST(Lsuv, leaves_the_mean_alone_when_asked) {
  torch::manual_seed(8);
  const LayerPtr model = CNN::kaiming({.nfs = {8, 8}, .block = without_norm<Conv>()});
  const NamedTensors before = copy_of(*model);
  for (const LsuvRow& row : lsuv(*model, torch::randn({64, 1, 8, 8}), {.center = false})) {
    EXPECT_EQ(row.remark, "");
    EXPECT_LE(std::abs(row.std - 1), 0.01);
    EXPECT_LE(row.iterations, 2);  // a leaky relu scales with its input
  }
  EXPECT_FALSE(changed(before, *model).empty());
}

TEST(Lsuv, says_which_layers_cannot_be_scaled_and_leaves_them_as_they_were) {
  torch::manual_seed(9);
  const LayerPtr model = CNN::kaiming({.nfs = {8, 8}, .block = without_norm<Conv>()});
  const torch::NoGradGuard no_grad;
  for (auto& [name, parameter] : named_parameters(*model)) {
    if (name.starts_with("layers.1.")) Tensor(parameter).zero_();
  }
  const NamedTensors before = copy_of(*model);
  const std::vector<LsuvRow> rows = lsuv(*model, torch::randn({64, 1, 8, 8}));
  EXPECT_THAT(rows[1].remark, HasSubstr("constant"));
  for (const std::string& name : changed(before, *model))
    EXPECT_THAT(name, testing::Not(HasSubstr("layers.1.")));

  const LayerPtr resnet = build_model("resnet18");
  const std::vector<LsuvRow> of_resnet = lsuv(*resnet, torch::randn({8, 1, 28, 28}));
  EXPECT_EQ(of_resnet.size(), resnet->layers().size());
  EXPECT_THAT(of_resnet[0].remark, HasSubstr("no weight and bias of its own"));
  EXPECT_EQ(of_resnet.back().remark, "");
  EXPECT_LE(std::abs(of_resnet.back().std - 1), 0.01);
}

TEST(Lsuv, refuses_a_bad_batch_and_bad_options_and_changes_nothing) {
  torch::manual_seed(10);
  const LayerPtr model = CNN::kaiming({.nfs = {8, 8}, .block = without_norm<Conv>()});
  const NamedTensors before = copy_of(*model);
  const Tensor batch = torch::randn({4, 1, 8, 8});
  EXPECT_THAT(thrown_by([&] { lsuv(*model, batch, {.tolerance = 0}); }),
              error_with(ErrorKind::usage, "tolerance"));
  EXPECT_THAT(thrown_by([&] { lsuv(*model, batch, {.max_iterations = 0}); }),
              error_with(ErrorKind::usage, "iterations"));
  EXPECT_THAT(thrown_by([&] { lsuv(*model, batch * NAN); }),
              error_with(ErrorKind::model, "layers.0"));
  EXPECT_THAT(thrown_by([&] {
                lsuv(*model, torch::randn({4, 3, 8, 8}));
              }),
              error_with(ErrorKind::model, "(4, 3, 8, 8)"));
  EXPECT_THAT(thrown_by([&] { lsuv(*make<GeneralReLU>({}), batch); }),
              error_with(ErrorKind::model, "no layers"));
  EXPECT_THAT(changed(before, *model), IsEmpty());
}

struct LookAtFirstBatch : Callback {
  std::string name() const override { return "look"; }
  void before_epoch(Run& run) override {
    if (run.epoch == 0 && run.training())
      seen = outputs_of(*run.model, run.loaders.train->get(0, 0).x);
  }
  std::vector<std::pair<double, double>> seen;
};

TEST(LsuvCallback, runs_before_the_first_step_and_what_copies_the_weights) {
  const Loaders loaders = bright_thirds(64);
  const auto model =
      CNN::kaiming({.nfs = {8, 8, 8}, .n_outputs = 3, .block = without_norm<Conv>()});
  const auto init = std::make_shared<Lsuv>();
  std::size_t reported = 0;
  init->report = [&](const std::vector<LsuvRow>& rows) { reported = rows.size(); };
  const auto average = std::make_shared<AveragedWeights>(AveragedWeightsOptions{.decay = 0.5});
  const auto look = std::make_shared<LookAtFirstBatch>();
  Learner learner({.model = model,
                   .loaders = loaders,
                   .optimizer = sgd(*model, {.lr = 0}),
                   .callbacks = {average, look, init}});
  learner.fit(1);
  EXPECT_EQ(reported, 4u);
  EXPECT_EQ(init->rows().size(), 4u);
  for (const auto& [mean, std] : look->seen) EXPECT_LE(std::abs(std - 1), 0.0101);
  for (const auto& [name, tensor] : average->average()) {
    for (const auto& [key, weight] : named_parameters(*model)) {
      if (key == name) {
        EXPECT_TRUE(torch::allclose(tensor, weight)) << name;
      }
    }
  }
}

TEST(LsuvCallback, leaves_the_weights_of_a_fit_that_starts_in_the_middle_alone) {
  const Loaders loaders = bright_thirds(64);
  const auto model =
      CNN::kaiming({.nfs = {8, 8, 8}, .n_outputs = 3, .block = without_norm<Conv>()});
  const NamedTensors before = copy_of(*model);
  const auto init = std::make_shared<Lsuv>();
  Learner learner({.model = model,
                   .loaders = loaders,
                   .optimizer = sgd(*model, {.lr = 0}),
                   .callbacks = {init}});
  learner.start_at(0, 1);
  learner.fit(1);
  EXPECT_THAT(init->rows(), IsEmpty());
  EXPECT_THAT(changed(before, *model), IsEmpty());
}

TEST(LsuvTable, has_a_line_a_layer) {
  EXPECT_EQ(to_markdown(std::vector<LsuvRow>{{.name = "layers.0",
                                              .kind = "Conv",
                                              .mean_before = 0.25,
                                              .std_before = 3,
                                              .mean = 0.001,
                                              .std = 0.999,
                                              .iterations = 4,
                                              .remark = ""}}),
            "| Layer | Type | Mean before | STD before | Mean | STD | Changes | Remark |\n"
            "| -- | -- | -- | -- | -- | -- | -- | -- |\n"
            "| layers.0 | Conv | 0.250 | 3.000 | 0.001 | 0.999 | 4 | |\n");
}

}  // namespace
}  // namespace fatwood
