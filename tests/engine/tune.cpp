#include <gmock/gmock.h>

#include <fatwood/engine/engine.h>
#include <fatwood/engine/tune.h>
#include <fatwood/model/adaptor.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>
#include <fatwood/model/threads.h>

#include "support/thrown.h"

namespace fatwood {
namespace {

using testing::HasSubstr;

LayerPtr small_network() {
  torch::manual_seed(3);
  return make<Sequential>(
      {make<ResidualConvBlock>({.c_in = 1, .c_out = 8}), make<Conv>({.c_in = 8, .c_out = 4})});
}

/// A table that gives every layer of the network to one of the two, for that batch.
TuningPtr table_for(Layer& model, const Tensor& batch, bool kernels) {
  const auto table = std::make_shared<kernels::TuningTable>();
  for (const TunedLayer& layer : tune_layers(model, batch, {.seconds = 0}).layers) {
    kernels::TuningEntry entry = layer.entry;
    entry.kernels = kernels;
    entry.kernels_ms = 2;
    entry.torch_ms = 3;
    table->put(entry);
  }
  return table;
}

std::vector<bool> fused_by(Layer& model, const Tensor& batch, const TuningPtr& tuning) {
  std::vector<bool> fused;
  for (const PlanRow& row :
       describe_plan(model, batch, kernels::default_isa(), kernels::Precision::f32, tuning))
    fused.push_back(row.fused);
  return fused;
}

TEST(Tune, a_choice_leaves_the_built_in_one_only_for_five_percent) {
  EXPECT_TRUE(tuned_choice(true, 1.0, 2.0));
  EXPECT_TRUE(tuned_choice(true, 1.04, 1.0));
  EXPECT_FALSE(tuned_choice(true, 1.06, 1.0));
  EXPECT_FALSE(tuned_choice(false, 2.0, 1.0));
  EXPECT_FALSE(tuned_choice(false, 1.0, 1.04));
  EXPECT_TRUE(tuned_choice(false, 1.0, 1.06));
}

TEST(Tune, an_entry_decides_and_the_row_says_so) {
  const LayerPtr model = small_network();
  const Tensor full = torch::zeros({64, 1, 8, 8}), small = torch::zeros({2, 1, 8, 8});
  ASSERT_THAT(fused_by(*model, full, nullptr), testing::Each(true));
  const auto to_torch = describe_plan(*model, full, kernels::default_isa(), kernels::Precision::f32,
                                      table_for(*model, full, false));
  for (const PlanRow& row : to_torch) {
    EXPECT_FALSE(row.fused);
    EXPECT_EQ(row.reason, "tuned: kernels 2.00 ms, LibTorch 3.00 ms for a batch of 64");
  }
  ASSERT_FALSE(fused_by(*model, small, nullptr)[0]);
  const auto to_kernels = describe_plan(*model, small, kernels::default_isa(),
                                        kernels::Precision::f32, table_for(*model, small, true));
  for (const PlanRow& row : to_kernels) {
    EXPECT_TRUE(row.fused && row.reason.empty());
    EXPECT_EQ(row.tuned, "tuned: kernels 2.00 ms, LibTorch 3.00 ms");
    EXPECT_THAT(row.kernels, HasSubstr("conv 3×3"));
  }
}

TEST(Tune, a_layer_at_two_places_is_measured_at_the_shape_of_each) {
  torch::manual_seed(3);
  const LayerPtr again = make<Conv>({.c_in = 8, .c_out = 8});
  const auto model = make<Sequential>({make<Conv>({.c_in = 1, .c_out = 8}), again, again});
  std::vector<std::pair<std::string, int>> heights;
  for (const TunedLayer& layer :
       tune_layers(*model, torch::zeros({64, 1, 16, 16}), {.seconds = 0}).layers)
    heights.emplace_back(layer.names, layer.entry.key.height);
  EXPECT_THAT(heights,
              testing::ElementsAre(std::pair("0", 16), std::pair("1", 8), std::pair("2", 4)));
}

TEST(Tune, what_was_not_measured_is_chosen_as_without_a_table) {
  const LayerPtr model = small_network();
  const Tensor full = torch::zeros({64, 1, 8, 8});
  const TuningPtr tuning = table_for(*model, full, false);
  EXPECT_THAT(fused_by(*model, full, tuning), testing::Each(false));
  const Tensor other = torch::zeros({128, 1, 8, 8}), wider = torch::zeros({64, 1, 8, 10});
  EXPECT_EQ(fused_by(*model, other, tuning), fused_by(*model, other, nullptr));
  EXPECT_EQ(fused_by(*model, wider, tuning), fused_by(*model, wider, nullptr));
  const int before = torch_threads().threads();
  at::set_num_threads(before + 1);
  EXPECT_EQ(fused_by(*model, full, tuning), fused_by(*model, full, nullptr));
  at::set_num_threads(before);
}

/// The nodes of the autograd graph behind a forward pass that are stretches of kernels.
int stretches_in(Layer& model, const Tensor& x) {
  std::set<torch::autograd::Node*> seen;
  const Tensor out = model.forward(x);  // holds the graph
  std::vector<torch::autograd::Node*> next{out.grad_fn().get()};
  int stretches = 0;
  while (!next.empty()) {
    torch::autograd::Node* node = next.back();
    next.pop_back();
    if (!node || !seen.insert(node).second) continue;
    stretches += node->name().find("Fused") != std::string::npos ? 1 : 0;
    for (const auto& edge : node->next_edges()) next.push_back(edge.function.get());
  }
  return stretches;
}

TEST(Tune, what_runs_is_what_the_plan_says) {
  const LayerPtr model =
      make<Sequential>({make<Conv>({.c_in = 1, .c_out = 8}), make<Conv>({.c_in = 8, .c_out = 8}),
                        make<Conv>({.c_in = 8, .c_out = 4})});
  const Tensor x = torch::randn({64, 1, 16, 16});
  const auto table = std::make_shared<kernels::TuningTable>();
  for (const TunedLayer& layer : tune_layers(*model, x, {.seconds = 0}).layers) {
    kernels::TuningEntry entry = layer.entry;
    entry.kernels = layer.names != "1";
    table->put(entry);
  }
  EXPECT_THAT(fused_by(*model, x, table), testing::ElementsAre(true, false, true));
  const auto stretches = [&](const TuningPtr& tuning) {
    use_engine(*model, Engine::fused, kernels::default_isa(), KernelChoice::table,
               kernels::Precision::f32, tuning);
    return stretches_in(*model, x);
  };
  EXPECT_EQ(stretches(nullptr), 1);
  EXPECT_EQ(stretches(table), 2);
}

TEST(Tune, every_distinct_layer_is_measured_once_and_the_model_stays_as_it_was) {
  const auto conv = [] { return make<Conv>({.c_in = 8, .c_out = 8, .stride = 1}); };
  const LayerPtr model = make<Sequential>({make<Conv>({.c_in = 1, .c_out = 8}), conv(), conv(),
                                           make<Conv>({.c_in = 8, .c_out = 4, .stride = 3})});
  model->eval();
  std::vector<Tensor> before;
  for (const Tensor& tensor : model->parameters()) before.push_back(tensor.detach().clone());
  for (const Tensor& tensor : model->buffers()) before.push_back(tensor.clone());
  const TuneResult result = tune_layers(*model, torch::randn({32, 1, 8, 8}), {.seconds = 0});
  ASSERT_EQ(result.layers.size(), 2u);
  EXPECT_EQ(result.layers[0].names, "0");
  EXPECT_EQ(result.layers[1].names, "1, 2");
  EXPECT_EQ(result.layers[1].entry.key.layer, "Conv: conv 3x3/1 8->8, leaky relu, norm");
  EXPECT_EQ(result.layers[1].entry.key.height, 4);
  EXPECT_EQ(result.layers[1].entry.key.batch, 32);
  for (const TunedLayer& layer : result.layers) {
    EXPECT_GT(layer.entry.kernels_ms, 0);
    EXPECT_GT(layer.entry.torch_ms, 0);
  }
  ASSERT_EQ(result.left_out.size(), 1u);
  EXPECT_EQ(result.left_out[0].first, "3");
  EXPECT_THAT(result.left_out[0].second, HasSubstr("stride 3"));
  EXPECT_FALSE(model->is_training());
  std::size_t i = 0;
  for (const Tensor& tensor : model->parameters()) {
    EXPECT_TRUE(torch::equal(tensor, before[i++]));
    EXPECT_FALSE(tensor.grad().defined());
  }
  for (const Tensor& tensor : model->buffers()) EXPECT_TRUE(torch::equal(tensor, before[i++]));
}

TEST(Tune, entries_that_leave_the_built_in_choice_are_held_against_the_whole_network) {
  // A single image leaves most lanes empty, and the table there was measured on another machine:
  // whether anything changes is this one's to say, but what is kept must have been the faster.
  const LayerPtr model = small_network();
  const TuneResult result = tune_layers(*model, torch::randn({2, 1, 12, 12}), {.seconds = 0.05});
  if (result.changes()) {
    ASSERT_TRUE(result.network.has_value());
    EXPECT_LT(result.network->tuned_ms, result.network->built_in_ms);
  }
  for (const TunedLayer& layer : result.layers) {
    if (layer.entry.kernels == layer.built_in) continue;
    EXPECT_EQ(layer.entry.kernels, layer.entry.kernels_ms < layer.entry.torch_ms);
  }
}

TEST(Tune, in_bf16_layers_without_such_kernels_get_entries_in_f32) {
  const LayerPtr model = small_network();
  const TuneResult result = tune_layers(*model, torch::randn({32, 1, 8, 8}),
                                        {.precision = kernels::Precision::bf16, .seconds = 0});
  for (const TunedLayer& layer : result.layers)
    EXPECT_EQ(layer.entry.key.precision, kernels::Precision::bf16);
  kernels::LayerSpec basic = kernels::BasicSpec{};
  const kernels::TuningTable none;
  EXPECT_EQ(precision_for(basic, kernels::Precision::bf16), kernels::Precision::f32);
}

TEST(Tune, a_frozen_first_layer_is_measured_by_its_forward_pass) {
  const LayerPtr model = small_network();
  for (Tensor& parameter : model->layers()[0].layer->parameters()) {
    parameter.set_requires_grad(false);
  }
  const TuneResult result = tune_layers(*model, torch::randn({32, 1, 8, 8}), {.seconds = 0});
  ASSERT_EQ(result.layers.size(), 2u);
  for (const TunedLayer& layer : result.layers) {
    EXPECT_GT(layer.entry.kernels_ms, 0);
    EXPECT_GT(layer.entry.torch_ms, 0);
  }
}

TEST(Tune, a_model_that_cannot_be_copied_is_refused_before_the_work) {
  std::stop_source stop;
  stop.request_stop();  // nothing would be measured
  const LayerPtr model =
      make<Sequential>({make<Conv>({.c_in = 1, .c_out = 4}), adapt(torch::nn::Flatten())});
  EXPECT_THAT(thrown_by([&] {
                tune_layers(*model, torch::randn({8, 1, 4, 4}), {.stop = stop.get_token()});
              }),
              error_with(ErrorKind::model, "cannot be cloned"));
}

TEST(Tune, a_stop_ends_it_and_says_so) {
  std::stop_source stop;
  stop.request_stop();
  const LayerPtr model = small_network();
  const TuneResult result =
      tune_layers(*model, torch::randn({32, 1, 8, 8}), {.seconds = 100, .stop = stop.get_token()});
  EXPECT_TRUE(result.interrupted);
  EXPECT_TRUE(result.layers.empty());
}

TEST(Tune, output_shapes_are_those_of_the_layers) {
  const auto check_layer = [](const LayerPtr& layer, at::IntArrayRef shape) {
    const TuneResult result =
        tune_layers(*make<Sequential>({layer, make<Conv>({.c_in = 8, .c_out = 2})}),
                    torch::randn(shape), {.seconds = 0});
    ASSERT_EQ(result.layers.size(), 2u);
    const Tensor out = layer->forward(torch::randn(shape));
    const kernels::TuningKey& key = result.layers[1].entry.key;
    EXPECT_EQ(out.sizes().vec(),
              (std::vector<std::int64_t>{shape[0], key.channels, key.height, key.width}));
    // The runner finds the second layer's entry by the shape that it works out itself.
    const auto table = std::make_shared<kernels::TuningTable>();
    for (TunedLayer tuned : result.layers) {
      tuned.entry.kernels = tuned.names == "0";
      table->put(tuned.entry);
    }
    const auto model = make<Sequential>({layer, make<Conv>({.c_in = 8, .c_out = 2})});
    use_engine(*model, Engine::fused, kernels::default_isa(), KernelChoice::table,
               kernels::Precision::f32, table);
    const Tensor y = model->forward(torch::randn(shape));
    EXPECT_EQ(y.grad_fn()->name().find("Fused"), std::string::npos);
  };
  check_layer(make<Conv>({.c_in = 3, .c_out = 8, .stride = 2, .ks = 5}), {16, 3, 9, 7});
  check_layer(make<ResidualConvBlock>({.c_in = 3, .c_out = 8, .stride = 2}), {16, 3, 9, 7});
  check_layer(make<DoubleConvBlock>({.c_in = 3, .c_out = 8, .stride = 1}), {16, 3, 5, 6});
}

}  // namespace
}  // namespace fatwood
