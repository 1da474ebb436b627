#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include <fatwood/core/error.h>
#include <fatwood/engine/engine.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>
#include <fatwood/model/threads.h>

#include "corners.h"
#include "doubled.h"

namespace fatwood {
namespace {

/// Two copies of one network, one for each engine.
struct Pair {
  LayerPtr torch, fused;

  explicit Pair(LayerPtr model) : torch(std::move(model)) {
    fused = std::static_pointer_cast<Layer>(torch->clone());
    use_engine(*fused, Engine::fused, kernels::default_isa(), KernelChoice::always);
  }
};

std::shared_ptr<DeeperCNN> network(BlockFactory block) {
  torch::manual_seed(1);
  return DeeperCNN::kaiming({.nfs = {8, 16, 12}, .n_outputs = 5, .block = std::move(block)});
}

const BlockFactory kBlocks[] = {make<Conv>, make<ResidualConvBlock>, make<DoubleConvBlock>};

double difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(0.1, b.abs().max().item<double>());
}

/// Normal, and such that no value of the network comes near an activation's corner.
Tensor clear_input(const Pair& pair, at::IntArrayRef shape) {
  const auto exact = std::static_pointer_cast<Layer>(pair.torch->clone());
  exact->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  for (int draw = 0; draw < 60; ++draw) {
    const Tensor x = torch::randn(shape);
    const CornerWatch watch;
    exact->forward(x.to(torch::kDouble));
    if (watch.clearance() > 5e-6) return x;
  }
  throw std::runtime_error("no input keeps clear of the corners");
}

/// What rounding alone can make of a gradient; see oracle.cpp for the bound by LibTorch's own
/// error.
constexpr double kRounding = 2e-4;

/// A loss whose gradient a norm at the end does not cancel, as it does that of a sum of squares.
Tensor weigh(const Tensor& out) {
  return (out * torch::linspace(-1, 1, out.numel()).view_as(out)).sum();
}

void step(Layer& model, const Tensor& x, const Tensor& y) {
  torch::cross_entropy_loss(model.forward(x), y).backward();
}

void expect_equal_state(const Pair& pair, double tolerance) {
  const auto theirs = pair.torch->named_parameters();
  for (const auto& ours : pair.fused->named_parameters()) {
    const Tensor& wanted = theirs[ours.key()].grad();
    ASSERT_EQ(ours->grad().defined(), wanted.defined()) << ours.key();
    if (!wanted.defined()) continue;
    EXPECT_LT(difference(ours->grad(), wanted), tolerance) << ours.key();
  }
  const auto buffers = pair.torch->named_buffers();
  for (const auto& ours : pair.fused->named_buffers()) {
    EXPECT_LT(difference(ours->to(torch::kFloat), buffers[ours.key()].to(torch::kFloat)), 1e-5)
        << ours.key();
  }
}

TEST(Engine, a_step_gives_torchs_gradients_running_statistics_and_counts) {
  for (const BlockFactory& block : kBlocks) {
    for (int batch : {64, 21}) {
      const Pair pair(network(block));
      const Tensor x = clear_input(pair, {batch, 1, 8, 8});
      const Tensor y = torch::randint(5, {batch});
      step(*pair.torch, x, y);
      step(*pair.fused, x, y);
      expect_equal_state(pair, kRounding);
    }
  }
}

TEST(Engine, gradients_accumulate_and_full_and_short_batches_alternate) {
  const Pair pair(network(make<ResidualConvBlock>));
  for (int batch : {40, 9, 40}) {
    const Tensor x = clear_input(pair, {batch, 1, 8, 8});
    const Tensor y = torch::randint(5, {batch});
    step(*pair.torch, x, y);
    step(*pair.fused, x, y);
  }
  expect_equal_state(pair, kRounding);
}

TEST(Engine, evaluation_between_a_forward_pass_and_its_backward_changes_nothing) {
  const Pair pair(network(make<Conv>));
  const Tensor x = clear_input(pair, {32, 1, 8, 8});
  for (const LayerPtr& model : {pair.torch, pair.fused}) {
    const Tensor loss = weigh(model->forward(x));
    {
      const torch::NoGradGuard no_grad;
      model->eval();
      model->forward(x + 1);
      model->train();
    }
    loss.backward();
  }
  expect_equal_state(pair, kRounding);
}

TEST(Engine, evaluation_is_torchs) {
  for (const BlockFactory& block : kBlocks) {
    const Pair pair(network(block));
    const torch::NoGradGuard no_grad;
    for (const LayerPtr& model : {pair.torch, pair.fused}) model->eval();
    const Tensor x = torch::randn({37, 1, 8, 8});
    EXPECT_LT(difference(pair.fused->forward(x), pair.torch->forward(x)), 1e-5);
  }
}

TEST(Engine, inputs_get_gradients_and_frozen_parameters_get_none) {
  const Pair pair(network(make<ResidualConvBlock>));
  Tensor grads[2];
  int i = 0;
  const Tensor x = clear_input(pair, {16, 1, 8, 8});
  for (const LayerPtr& model : {pair.torch, pair.fused}) {
    model->named_parameters()["layers.1.conv_a.weight"].set_requires_grad(false);
    const Tensor input = x.clone().requires_grad_();
    weigh(model->forward(input)).backward();
    grads[i++] = input.grad();
  }
  EXPECT_LT(difference(grads[1], grads[0]), kRounding);
  EXPECT_FALSE(pair.fused->named_parameters()["layers.1.conv_a.weight"].grad().defined());
  expect_equal_state(pair, kRounding);
}

TEST(Engine, taps_read_the_same_statistics) {
  const Pair pair(network(make<ResidualConvBlock>));
  std::vector<ActivationStatistics> readings[2];
  std::vector<TapHandle> handles;
  int i = 0;
  for (const LayerPtr& model : {pair.torch, pair.fused}) {
    auto& mine = readings[i++];
    for (const NamedLayer& part : model->layers()) {
      handles.push_back(part.layer->add_tap({.request = {.moments = true, .hist_period = 2},
                                             .deliver = [&mine](const TapReading& reading) {
                                               mine.push_back(*reading.statistics);
                                             }}));
    }
  }
  for (int pass = 0; pass < 2; ++pass) {
    const Tensor x = torch::randn({24, 1, 8, 8});
    pair.torch->forward(x);
    pair.fused->forward(x);
  }
  ASSERT_EQ(readings[0].size(), readings[1].size());
  ASSERT_GT(readings[0].size(), 4u);
  for (std::size_t r = 0; r < readings[0].size(); ++r) {
    EXPECT_NEAR(readings[1][r].mean, readings[0][r].mean, 1e-4);
    EXPECT_NEAR(readings[1][r].std, readings[0][r].std, 1e-4);
    EXPECT_EQ(readings[1][r].hist.size(), readings[0][r].hist.size());
    for (std::size_t bin = 0; bin < readings[0][r].hist.size(); ++bin) {
      EXPECT_NEAR(readings[1][r].hist[bin], readings[0][r].hist[bin], 3) << bin;
    }
  }
}

TEST(Engine, a_tap_on_tensors_gets_them) {
  const Pair pair(network(make<Conv>));
  Tensor seen;
  const TapHandle handle = pair.fused->layers()[1].layer->add_tap(
      {.request = {.tensors = true},
       .deliver = [&](const TapReading& reading) { seen = reading.output.detach().clone(); }});
  const Tensor x = torch::randn({8, 1, 8, 8});
  const Tensor out = pair.fused->forward(x);
  ASSERT_TRUE(seen.defined());
  EXPECT_EQ(seen.size(1), 16);
  EXPECT_LT(difference(out, pair.torch->forward(x)), 1e-4);
}

TEST(Engine, layers_without_kernels_run_as_they_are_between_fused_ones) {
  torch::manual_seed(3);
  const auto conv = [](std::int64_t c_in, std::int64_t c_out, std::int64_t stride) {
    return make<Conv>({.c_in = c_in, .c_out = c_out, .stride = stride});
  };
  const Pair pair(make<Sequential>(
      {conv(1, 8, 1), conv(8, 8, 2), std::make_shared<Doubled>(), conv(8, 4, 2), conv(4, 4, 3)}));
  const auto rows = describe_plan(*pair.fused);
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_TRUE(rows[0].fused && rows[1].fused && !rows[2].fused && rows[3].fused && !rows[4].fused);
  EXPECT_EQ(rows[2].name, "2");
  EXPECT_EQ(rows[2].reason, "no kernels for Doubled");
  EXPECT_THAT(rows[4].reason, testing::HasSubstr("stride 3"));

  const Tensor x = clear_input(pair, {16, 1, 9, 9});
  for (const LayerPtr& model : {pair.torch, pair.fused}) weigh(model->forward(x)).backward();
  expect_equal_state(pair, kRounding);
}

TEST(Engine, a_plan_for_a_batch_names_the_kernels_and_follows_the_table) {
  torch::manual_seed(3);
  const auto model = make<Sequential>(
      {make<ResidualConvBlock>({.c_in = 1, .c_out = 8}), make<Conv>({.c_in = 8, .c_out = 4})});
  model->train();
  const auto full = describe_plan(*model, torch::zeros({512, 1, 8, 8}));
  ASSERT_EQ(full.size(), 2u);
  EXPECT_TRUE(full[0].fused && full[1].fused);
  EXPECT_THAT(full[0].kernels, testing::HasSubstr("sum with average pool and conv 1×1/1 1 → 8"));
  EXPECT_THAT(full[1].kernels, testing::StartsWith("conv 3×3/2 8 → 4, leaky relu, norm ["));
  const auto stride_1 = make<Sequential>({make<Conv>({.c_in = 1, .c_out = 8, .stride = 1}),
                                          make<Conv>({.c_in = 8, .c_out = 16, .stride = 1})});
  stride_1->train();
  EXPECT_THAT(describe_plan(*stride_1, torch::zeros({512, 1, 28, 28}))[1].kernels,
              testing::HasSubstr("[input gradient: Winograd; weight gradient: Winograd]"));
  const auto direct =
      describe_plan(*stride_1, torch::zeros({512, 1, 28, 28}), kernels::default_isa(),
                    kernels::Precision::f32, nullptr, kernels::WinogradUse::off);
  EXPECT_THAT(direct[1].kernels, testing::Not(testing::HasSubstr("Winograd")));
  const auto small = describe_plan(*model, torch::zeros({1, 1, 8, 8}));
  EXPECT_FALSE(small[0].fused);
  EXPECT_THAT(small[0].reason, testing::HasSubstr("a batch of 1 fills"));
  EXPECT_TRUE(model->is_training());
  EXPECT_FALSE((*model)[0]->has_taps());
}

// Runs its layers on the whole image and on every second pixel of it.
class AtTwoSizes : public Layer {
 public:
  explicit AtTwoSizes(std::shared_ptr<Sequential> layers)
      : layers_(register_module("inner", std::move(layers))) {}
  std::string kind() const override { return "AtTwoSizes"; }
  LayerPtr remake() const override { return std::make_shared<AtTwoSizes>(layers_); }

 protected:
  Tensor compute(const Tensor& x) override {
    const Tensor every_second = x.slice(2, 0, x.size(2), 2).slice(3, 0, x.size(3), 2).contiguous();
    const Tensor whole = layers_->forward(x).flatten(2).sum(2);
    return whole + layers_->forward(every_second).flatten(2).sum(2);
  }

 private:
  std::shared_ptr<Sequential> layers_;
};

TEST(Engine, a_plan_has_a_row_for_each_shape_that_a_layer_is_given) {
  torch::manual_seed(3);
  const auto conv = [](std::int64_t c_in) { return make<Conv>({.c_in = c_in, .c_out = 8}); };
  const auto names = [](const std::vector<PlanRow>& rows) {
    std::vector<std::string> found;
    for (const PlanRow& row : rows)
      found.push_back(row.name + (row.fused ? ": " : "! ") + row.reason);
    return found;
  };
  const auto model = std::make_shared<AtTwoSizes>(make<Sequential>({conv(1), conv(8)}));
  EXPECT_THAT(names(describe_plan(*model, torch::zeros({64, 1, 16, 16}))),
              testing::ElementsAre("inner.0 at (64, 1, 16, 16): ", "inner.0 at (64, 1, 8, 8): ",
                                   "inner.1 at (64, 8, 8, 8): ", "inner.1 at (64, 8, 4, 4): "));
  // One layer at two places: a shape at each, in their order.
  const LayerPtr again = conv(8);
  const auto places = make<Sequential>({conv(1), again, again});
  EXPECT_THAT(names(describe_plan(*places, torch::zeros({64, 1, 16, 16}))),
              testing::ElementsAre("0: ", "1: ", "2: "));
}

TEST(Engine, the_table_of_choices_is_a_function_of_lanes_and_threads) {
  using kernels::Isa;
  EXPECT_DOUBLE_EQ(occupancy(4, Isa::portable, 1), 1.0);
  EXPECT_DOUBLE_EQ(occupancy(5, Isa::portable, 1), 5.0 / 8);
  EXPECT_DOUBLE_EQ(occupancy(5, Isa::portable, 4), 5.0 / 16);
  const kernels::LayerSpec conv = kernels::ConvSpec{};
  const kernels::LayerSpec block = kernels::ResidualSpec{};
  EXPECT_TRUE(why_not_kernels(conv, 1, Isa::portable, 2).empty());
  EXPECT_FALSE(why_not_kernels(block, 1, Isa::portable, 2).empty());
  EXPECT_TRUE(why_not_kernels(block, 4, Isa::portable, 2).empty());
}

TEST(Engine, says_what_it_cannot_differentiate) {
  const Pair pair(network(make<Conv>));
  const Tensor x = torch::randn({8, 1, 8, 8});
  const Tensor first = pair.fused->forward(x).sum();
  pair.fused->forward(x);
  EXPECT_THROW(first.backward(), Error);
  const Tensor second = pair.fused->forward(x).square().sum();
  const auto weight = pair.fused->parameters()[0];
  EXPECT_THROW(torch::autograd::grad({second}, {weight}, {}, /*retain_graph=*/true,
                                     /*create_graph=*/true),
               Error);
}

TEST(Engine, a_gradient_changed_in_place_leaves_its_neighbours_as_they_were_saved) {
  const Pair pair(network(make<Conv>));
  pair.fused->forward(torch::randn({8, 1, 8, 8})).square().sum().backward();
  const auto parameters = pair.fused->parameters();
  const Tensor factor = torch::ones_like(parameters[0]).requires_grad_();
  const Tensor product = (parameters[0].grad() * factor).sum();
  const Tensor before = parameters[0].grad().clone();
  parameters[1].mutable_grad().mul_(0.5);
  product.backward();
  EXPECT_TRUE(torch::equal(factor.grad(), before));
}

TEST(Engine, double_precision_and_other_states_fall_back_to_torch) {
  const Pair pair(network(make<Conv>));
  pair.fused->to(torch::kDouble);
  EXPECT_EQ(pair.fused->forward(torch::randn({4, 1, 8, 8}, torch::kDouble)).dtype(),
            torch::kDouble);
  EXPECT_FALSE(describe_plan(*pair.fused)[0].fused);
}

TEST(Engine, training_over_one_value_is_an_error_of_the_data) {
  const Pair pair(network(make<Conv>));
  try {
    pair.fused->forward(torch::randn({1, 1, 8, 8}));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
  }
}

TEST(Engine, the_pool_runs_tasks_side_by_side) {
  if (torch_threads().threads() < 2) GTEST_SKIP() << "one thread";
  // Each task waits for the other: a serial loop would never end, so it gives up.
  std::atomic<int> arrived{0};
  std::atomic<bool> met{true};
  torch_threads().for_each(2, [&](std::int64_t) {
    ++arrived;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (arrived < 2) {
      if (std::chrono::steady_clock::now() > end) {
        met = false;
        return;
      }
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(met);
}

TEST(Engine, names) {
  EXPECT_EQ(engine_named("fused"), Engine::fused);
  EXPECT_THROW(engine_named("fast"), Error);
}

}  // namespace
}  // namespace fatwood
