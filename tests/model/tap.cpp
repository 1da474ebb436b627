#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>

namespace fatwood {
namespace {

TEST(Tap, delivers_what_the_layer_puts_out) {
  const auto relu = make<GeneralReLU>({});
  int served = 0;
  const auto handle =
      relu->add_tap({.request = {.moments = true, .hist_period = 1, .tensors = true},
                     .deliver = [&](const TapReading& reading) {
                       ++served;
                       const Tensor y = reading.output;
                       EXPECT_NEAR(reading.statistics->mean, y.mean().item<double>(), 1e-6);
                       EXPECT_NEAR(reading.statistics->std, y.std().item<double>(), 1e-6);
                       const Tensor hist = torch::histc(y.abs(), 40, 0, 10).to(torch::kLong);
                       const std::vector<std::int64_t> counts(hist.data_ptr<std::int64_t>(),
                                                              hist.data_ptr<std::int64_t>() + 40);
                       EXPECT_EQ(reading.statistics->hist, counts);
                     }});
  relu->forward(torch::randn({64, 33}) * 4);
  EXPECT_EQ(served, 1);
}

TEST(Tap, is_served_through_torchs_sequential_and_until_its_handle_goes) {
  const auto relu = make<GeneralReLU>({});
  torch::nn::Sequential sequence(relu);
  int served = 0;
  {
    const auto handle =
        relu->add_tap({.request = {}, .deliver = [&](const TapReading&) { ++served; }});
    sequence->forward(torch::randn({2, 2}));
  }
  sequence->forward(torch::randn({2, 2}));
  EXPECT_EQ(served, 1);
  EXPECT_FALSE(relu->has_taps());
}

TEST(Tap, keeps_to_its_modes_and_period) {
  const auto relu = make<GeneralReLU>({});
  std::vector<int> training, evaluation, hist;
  int pass = 0;
  const auto a = relu->add_tap(
      {.request = {.period = 2}, .deliver = [&](const auto&) { training.push_back(pass); }});
  const auto b = relu->add_tap({.request = {.training = false, .evaluation = true},
                                .deliver = [&](const auto&) { evaluation.push_back(pass); }});
  const auto c = relu->add_tap(
      {.request = {.moments = true, .hist_period = 3}, .deliver = [&](const TapReading& r) {
         if (!r.statistics->hist.empty()) hist.push_back(pass);
       }});
  for (; pass < 8; ++pass) {
    relu->train(pass != 4);
    relu->forward(torch::randn({2, 2}));
  }
  EXPECT_THAT(training, testing::ElementsAre(0, 2, 5, 7));
  EXPECT_THAT(evaluation, testing::ElementsAre(4));
  EXPECT_THAT(hist, testing::ElementsAre(0, 3, 7));
}

TEST(Tap, due_taps_joins_the_requests_without_moving_them_on) {
  const auto relu = make<GeneralReLU>({});
  EXPECT_FALSE(relu->due_taps(Mode::training));
  const auto a = relu->add_tap(
      {.request = {.moments = true, .hist_period = 2}, .deliver = [](const auto&) {}});
  const auto b =
      relu->add_tap({.request = {.tensors = true, .period = 2}, .deliver = [](const auto&) {}});
  for (int i = 0; i < 2; ++i) {
    const auto due = relu->due_taps(Mode::training);
    ASSERT_TRUE(due);
    EXPECT_TRUE(due->moments && due->tensors && due->hist_period == 1);
  }
  relu->serve_taps({}, torch::randn({2, 2}),
                   ActivationStatistics{1, 2, std::vector<std::int64_t>(40)});
  const auto due = relu->due_taps(Mode::training);
  EXPECT_TRUE(due->moments && !due->tensors && due->hist_period == 0);
  EXPECT_FALSE(relu->due_taps(Mode::evaluation));
}

TEST(Tap, due_taps_looks_ahead_and_counts_a_call_before_as_a_wish_for_tensors) {
  const auto relu = make<GeneralReLU>({});
  const auto handle = relu->add_tap(
      {.request = {.hist_period = 2, .period = 2}, .deliver = [](const auto&) {}, .before = [] {}});
  const auto due = [&](std::int64_t ahead) { return relu->due_taps(Mode::training, ahead); };
  EXPECT_TRUE(due(0)->tensors && due(0)->moments && due(0)->hist_period == 1);
  EXPECT_FALSE(due(1) || due(3));
  EXPECT_TRUE(due(2)->tensors && !due(2)->moments && due(2)->hist_period == 0);
  EXPECT_TRUE(due(4)->moments);
}

TEST(Tap, may_remove_itself_and_place_others_while_it_is_served) {
  const auto relu = make<GeneralReLU>({});
  int own_served = 0, others_served = 0;
  TapHandle own;
  std::vector<TapHandle> others;
  own = relu->add_tap({.deliver = [&](const TapReading&) {
    for (int i = 0; i < 20; ++i) {
      others.push_back(relu->add_tap({.deliver = [&](const TapReading&) { ++others_served; }}));
    }
    own.remove();
    ++own_served;
  }});
  relu->forward(torch::randn({2, 2}));
  EXPECT_EQ(own_served, 1);
  EXPECT_EQ(others_served, 0);
  relu->forward(torch::randn({2, 2}));
  EXPECT_EQ(own_served, 1);
  EXPECT_EQ(others_served, 20);
}

TEST(Tap, is_not_served_once_another_has_removed_it) {
  const auto relu = make<GeneralReLU>({});
  std::string calls;
  TapHandle second;
  const auto first = relu->add_tap({.before = [&] {
    calls += "first ";
    second.remove();
  }});
  second = relu->add_tap({.deliver = [&](const TapReading&) { calls += "served "; },
                          .before = [&] { calls += "second "; }});
  relu->forward(torch::randn({2, 2}));
  EXPECT_EQ(calls, "first ");
}

TEST(Tap, measures_any_layout_alike) {
  torch::manual_seed(0);
  const Tensor x = torch::randn({8, 3, 5, 7}) * 3;
  const auto expected = measure_activation(x, true);
  const auto last = measure_activation(x.contiguous(torch::MemoryFormat::ChannelsLast), true);
  const auto strided = measure_activation(torch::cat({x, x}, 1).narrow(1, 3, 3), true);
  EXPECT_EQ(last.hist, expected.hist);
  EXPECT_EQ(strided.hist, expected.hist);
  // Summed in another order: equal to a float's rounding of numbers this large.
  const double rounding = std::numeric_limits<float>::epsilon() * expected.std;
  EXPECT_NEAR(last.mean, expected.mean, rounding);
  EXPECT_NEAR(last.std, expected.std, rounding);
}

}  // namespace
}  // namespace fatwood
