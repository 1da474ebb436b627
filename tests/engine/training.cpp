// Whole fits on either engine: what callbacks, hooks and replaced parts make of gradients and
// weights must not depend on who computed them.
#include <cmath>

#include <gmock/gmock.h>

#include <fatwood/engine/engine.h>
#include <fatwood/engine/fused_runner.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/sequential.h>
#include <fatwood/model/state.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/gradients.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/scheduling.h>

#include "doubled.h"

namespace fatwood {
namespace {

constexpr std::int64_t kBatch = 64, kBatches = 5, kEpochs = 2;

/// What a fit is given beside the usual, and what it must change.
struct Feature {
  std::string name;
  std::function<Callbacks()> callbacks = [] { return Callbacks{}; };
  LossFunction loss = {};
  std::function<void(Layer&)> prepare = [](Layer&) {};
  /// What is compared: the weights, or what a callback keeps.
  std::function<NamedTensors(const Layer&, const Callbacks&)> outcome =
      [](const Layer& model, const Callbacks&) { return named_state(model); };
};

void PrintTo(const Feature& feature, std::ostream* out) {
  *out << feature.name;
}

NamedTensors fit(Engine engine, const Feature& feature) {
  torch::manual_seed(11);
  const LayerPtr model =
      DeeperCNN::kaiming({.nfs = {8, 16, 12}, .n_outputs = 5, .block = make<ResidualConvBlock>});
  use_engine(*model, engine, kernels::default_isa(), KernelChoice::always);
  feature.prepare(*model);
  const Tensor x = torch::randn({kBatch * kBatches - 20, 1, 8, 8});
  const Tensor y = torch::randint(5, {x.size(0)});
  const Callbacks callbacks = feature.callbacks();
  Learner learner({.model = model,
                   .loaders = {tensor_batches(x, y, {.batch_size = kBatch, .shuffle = true})},
                   .optimizer = sgd(*model, {.lr = 0.02, .momentum = 0.9}),
                   .loss_function = feature.loss,
                   .callbacks = callbacks});
  learner.fit(kEpochs);
  NamedTensors outcome;
  for (const auto& [name, tensor] : feature.outcome(*model, callbacks))
    outcome.emplace_back(name, tensor.detach().clone());
  return outcome;
}

/// The largest distance of a tensor, in units of its own size.
double distance(const NamedTensors& a, const NamedTensors& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    const Tensor left = a[i].second.to(torch::kDouble), right = b[i].second.to(torch::kDouble);
    largest = std::max(
        largest, (left - right).norm().item<double>() / std::max(0.1, right.norm().item<double>()));
  }
  return largest;
}

std::vector<Feature> features() {
  const auto with = [](auto callback) { return [callback] { return Callbacks{callback()}; }; };
  std::vector<Feature> all;
  all.push_back({.name = "clipping",
                 .callbacks = with([] { return std::make_shared<ClipGradients>(0.05); })});
  all.push_back({.name = "accumulation",
                 .callbacks = with([] { return std::make_shared<AccumulateGradients>(2); })});
  all.push_back({.name = "gradient_momentum",
                 .callbacks = with([] { return std::make_shared<GradientMomentum>(0.5); })});
  all.push_back({.name = "schedule", .callbacks = with([] {
                                       return std::make_shared<Scheduling>(
                                           one_cycle({.total_steps = kBatches * kEpochs}));
                                     })});
  all.push_back({.name = "replaced_loss", .loss = [](const Tensor& predictions, const Tensor& y) {
                   return torch::cross_entropy_loss(predictions, y, {}, at::Reduction::Mean, -100,
                                                    /*label_smoothing=*/0.3);
                 }});
  all.push_back({.name = "hook_on_a_parameter", .prepare = [](Layer& model) {
                   for (const Tensor& parameter : model.parameters())
                     parameter.register_hook([](const Tensor& gradient) { return gradient * 0.5; });
                 }});
  all.push_back({.name = "frozen_layer", .prepare = [](Layer& model) {
                   model.named_parameters()["layers.1.conv_a.weight"].set_requires_grad(false);
                 }});
  all.push_back({.name = "averaged_weights",
                 .callbacks = with([] {
                   return std::make_shared<AveragedWeights>(AveragedWeightsOptions{.decay = 0.8});
                 }),
                 .outcome = [](const Layer&, const Callbacks& callbacks) {
                   return dynamic_cast<AveragedWeights&>(*callbacks.front()).average();
                 }});
  return all;
}

class TrainingOnEitherEngine : public testing::TestWithParam<Feature> {};

TEST_P(TrainingOnEitherEngine, ends_alike_and_elsewhere_than_without) {
  const NamedTensors torch = fit(Engine::torch, GetParam()), fused = fit(Engine::fused, GetParam());
  const double apart = distance(fused, torch);
  EXPECT_LT(apart, 2e-3);
  EXPECT_GT(distance(fit(Engine::torch, {.name = "usual"}), torch), 10 * std::max(apart, 1e-4));
}

INSTANTIATE_TEST_SUITE_P(Features, TrainingOnEitherEngine, testing::ValuesIn(features()),
                         [](const auto& info) { return info.param.name; });

/// Stretches that other layers part, more of them than a single one may have plans.
TEST(FusedRunner, keeps_the_plans_of_all_stretches_of_a_network_and_the_newest_of_each) {
  std::vector<LayerPtr> layers;
  for (int i = 0; i < 7; ++i) {
    layers.push_back(make<Conv>({.c_in = 2, .c_out = 2, .stride = 1}));
    layers.push_back(std::make_shared<Doubled>());
  }
  const auto network = make<Sequential>(layers);
  FusedRunner runner(kernels::default_isa(), KernelChoice::always, kernels::Precision::f32, nullptr,
                     kernels::WinogradUse::gradients);
  const auto plans_after = [&](std::int64_t batch) {
    runner.run(*network, torch::randn({batch, 2, 5, 5})).sum().backward();
    return runner.plans();
  };
  EXPECT_EQ(plans_after(8), 7u);
  EXPECT_EQ(plans_after(8), 7u);
  for (std::int64_t batch = 9; batch < 15; ++batch) plans_after(batch);
  EXPECT_EQ(runner.plans(), 49u);
  EXPECT_EQ(plans_after(15), 49u);
}

/// Losses of 50 steps of AdamW from equal state on the same batches.
std::vector<double> losses(const Layer& start, Engine engine, bool channels_last, int threads) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  const LayerPtr model = std::static_pointer_cast<Layer>(start.clone());
  if (channels_last) {
    // The weights' layout is what LibTorch's convolutions follow: one channel has no layout.
    const torch::NoGradGuard no_grad;
    for (Tensor& weight : model->parameters()) {
      if (weight.dim() == 4) weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  use_engine(*model, engine);
  const OptimizerPtr optimizer = adamw(*model, {.lr = 3e-3});
  std::vector<double> values;
  torch::manual_seed(77);
  for (int i = 0; i < 50; ++i) {
    const Tensor x = torch::randn({32, 1, 14, 14});
    const Tensor y = (x.flatten(1).sum(1) > 0).to(torch::kLong);
    const Tensor loss = torch::cross_entropy_loss(model->forward(x), y);
    loss.backward();
    optimizer->step();
    optimizer->zero_grad();
    values.push_back(loss.item<double>());
  }
  at::set_num_threads(before);
  return values;
}

double largest_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// LibTorch's variants: both layouts, one and two threads. One value that crosses an activation's
/// corner moves all later losses, in each variant at a step of its own, so the largest distances
/// over all steps and starts are compared.
TEST(FiftySteps, stay_within_twice_the_spread_of_torchs_layouts_and_threads) {
  for (const char* name : {"deeper_cnn", "residual_cnn", "double_conv_cnn", "resnet18"}) {
    SCOPED_TRACE(name);
    const std::string_view network = name;
    double spread = 0;
    double distance = 0;
    for (unsigned start : {5, 6, 7}) {
      torch::manual_seed(start);
      const LayerPtr model = build_model(
          name, {.n_outputs = 2,
                 .nfs = network == "resnet18" ? std::vector<std::int64_t>{16, 24, 32, 40}
                                              : std::vector<std::int64_t>{8, 16, 24, 32}});
      std::vector<std::vector<double>> torchs;
      for (bool channels_last : {false, true}) {
        for (int threads : {1, 2})
          torchs.push_back(losses(*model, Engine::torch, channels_last, threads));
      }
      for (const auto& one : torchs) {
        for (const auto& other : torchs) spread = std::max(spread, largest_distance(one, other));
      }
      for (int threads : {1, 2}) {
        const std::vector<double> ours = losses(*model, Engine::fused, false, threads);
        distance = std::max(distance, largest_distance(ours, torchs.front()));
        EXPECT_LT(ours.back(), ours.front());
      }
    }
    EXPECT_GT(spread, 0);
    EXPECT_LE(distance, 2 * spread);
    RecordProperty(std::string(network), std::to_string(distance / spread));
    std::printf("%s: spread %.2e, distance %.2e\n", name, spread, distance);
  }
}

}  // namespace
}  // namespace fatwood
